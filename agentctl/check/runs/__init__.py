"""What a run may do at most: its ways through the graph, what bounds its loops, and what it may spend."""
