"""What the platform knows: pure functions and frozen dataclasses. No I/O, no Dagster, no client."""
