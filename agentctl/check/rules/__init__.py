"""The rules by family: each a small generator of findings over the model of a file."""
