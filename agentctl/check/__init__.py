"""What a static check can find in a file: names, graph, routers, expressions and data."""
