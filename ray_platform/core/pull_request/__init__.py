"""Pull requests: what they change, who approved them, what is next for them, and how they are told."""
