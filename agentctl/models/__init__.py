"""Models: one call with its timeout and retries, and the providers that answer it."""
