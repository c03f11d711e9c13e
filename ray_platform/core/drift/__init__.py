"""What differs from the state, why, and how bad it is."""
