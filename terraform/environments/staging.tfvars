# The staging environment on AWS: as prod, at half its size.
environment        = "staging"
region             = "us-east-1"
kubernetes_version = "1.35"

vpc_cidr           = "10.0.0.0/16"
nat_gateway_mode   = "single"
endpoint_services  = ["ecr.api", "ecr.dkr"]
log_retention_days = 30

# Over all pools at most 20 CPU and 10 GPU nodes: the sum of max_size (policies/terraform.rego).
node_pools = {
  system = {
    instance_types = ["m6i.large"]
    min_size       = 2
    max_size       = 3
    ray_workers    = false
  }
  cpu = {
    instance_types = ["m5.xlarge"]
    min_size       = 2
    max_size       = 8
  }
  gpu = {
    instance_types = ["g4dn.xlarge"]
    min_size       = 0
    max_size       = 3
    gpu            = true
    taints         = [{ key = "nvidia.com/gpu", value = "true", effect = "NO_SCHEDULE" }]
  }
}

# Dagster's database and Redis for Ray's control store.
platform = {
  database = true
  redis    = true
}
