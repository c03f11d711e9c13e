"""What stands in for the cloud on one machine: the AWS emulator and the local Ray nodes."""
