"""Stage `pull requests`: found, planned, told, approved by reviews, and applied as approved."""
