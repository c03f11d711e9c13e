"""What things cost: prices, estimates, the usage ledger, reports."""
