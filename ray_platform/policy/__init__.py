"""Policies: what the rules are handed, who evaluates them, and what was agreed to in spite of them."""
