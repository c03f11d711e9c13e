"""Whom the platform talks to: one outside system a file."""
