"""What stands in for the cloud on one machine: the AWS emulator, local Ray nodes, PostgreSQL, a GitHub."""
