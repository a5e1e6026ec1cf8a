"""What is kept: threads as append-only logs, and the memo of identical tool calls."""
