"""Sinks: where the events of a turn go."""
