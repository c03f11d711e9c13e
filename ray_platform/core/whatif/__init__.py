"""A recorded burst on other worker groups."""
