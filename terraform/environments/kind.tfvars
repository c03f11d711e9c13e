# The kind environment: the same infrastructure against the emulator, with pools that fit into 4 CPUs and 16 GB.
environment        = "kind"
region             = "us-east-1"
kubernetes_version = "1.35"

vpc_cidr          = "10.0.0.0/16"
nat_gateway_mode  = "single" # or "per_zone"
endpoint_services = ["ecr.api", "ecr.dkr"]

# deploy/kind/cluster.yaml has a node with the label of each pool. A node of kind is as large as the machine, so one
# carries all workers of its pool. There are no GPUs.
node_pools = {
  system = {
    instance_types = ["m6i.large"]
    min_size       = 1
    max_size       = 1
    ray_workers    = false
  }
  cpu = {
    instance_types = ["m5.large"]
    min_size       = 1
    max_size       = 2
  }
}

# Dagster's history is on this machine (RAY_PLATFORM_STORAGE), and Ray's control store lives with its head.
platform = {}
