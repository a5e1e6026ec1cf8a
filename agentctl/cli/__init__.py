"""The command line: verbs, options, what is printed and how failures end."""
