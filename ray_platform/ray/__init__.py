"""Ray on Kubernetes: what its clusters are to be, and how they are."""
