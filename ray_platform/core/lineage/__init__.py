"""What runs ran on, what differs between two, and how they are told elsewhere."""
