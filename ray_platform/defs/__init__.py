"""Dagster only: one file a stage of the walk, each asset with its checks, job, sensor and schedule."""
