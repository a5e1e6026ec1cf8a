"""What keeps a tool to what it was granted: profiles, their means, and the proof that they work here."""
