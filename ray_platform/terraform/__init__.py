"""Terraform's own lock on a state."""
