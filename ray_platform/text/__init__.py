"""Texts: masking, escaping, canonical forms."""
