"""What resources cost: shapes (attributes to units of a SKU) apart from price data."""
