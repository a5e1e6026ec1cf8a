"""Long-term memory: documents found again by their words and by their meaning."""
