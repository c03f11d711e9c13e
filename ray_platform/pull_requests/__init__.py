"""Pull requests: what the platform remembers of them beyond one process."""
