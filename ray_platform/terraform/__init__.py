"""Terraform: its plans, state, locks, configuration, and what its provider says of itself."""
