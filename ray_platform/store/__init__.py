"""What is stored beyond one process: artifacts, records, leases, the audit log."""
