"""What the tools of a file may do to the world and who may call them, as data and as a table."""
