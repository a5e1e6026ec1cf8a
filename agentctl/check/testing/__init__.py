"""The tests of a file: what each is about, the way it takes, and what its values must fit."""
