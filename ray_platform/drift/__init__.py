"""Drift: what lives against what the Terraform state says."""
