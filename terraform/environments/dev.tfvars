# The dev environment on AWS: small, and its Ray workers on spot.
environment        = "dev"
region             = "us-east-1"
kubernetes_version = "1.35"

vpc_cidr           = "10.0.0.0/16"
nat_gateway_mode   = "single"
endpoint_services  = ["ecr.api", "ecr.dkr"]
log_retention_days = 14

# Over all pools at most 20 CPU and 10 GPU nodes: the sum of max_size (policies/terraform.rego).
node_pools = {
  system = {
    instance_types = ["m6i.large"]
    min_size       = 1
    max_size       = 2
    ray_workers    = false
  }
  cpu = {
    instance_types = ["m5.xlarge", "m6i.xlarge"]
    capacity_type  = "SPOT"
    min_size       = 0
    max_size       = 6
  }
  gpu = {
    instance_types = ["g4dn.xlarge"]
    min_size       = 0
    max_size       = 2
    gpu            = true
    taints         = [{ key = "nvidia.com/gpu", value = "true", effect = "NO_SCHEDULE" }]
  }
}

# No database and no Redis of its own: `make dev` keeps Dagster's history.
platform = {}
