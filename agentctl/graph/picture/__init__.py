"""The picture of a graph: one value (`data`), and a module for each way to show it."""
