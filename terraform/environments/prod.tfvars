# The prod environment on AWS: a NAT gateway in each zone, so that one may fail.
environment        = "prod"
region             = "us-east-1"
kubernetes_version = "1.35"

vpc_cidr           = "10.0.0.0/16"
nat_gateway_mode   = "per_zone"
endpoint_services  = ["ecr.api", "ecr.dkr", "logs", "sts"]
log_retention_days = 365

# Over all pools at most 20 CPU and 10 GPU nodes: the sum of max_size (policies/terraform.rego).
node_pools = {
  system = {
    instance_types = ["m6i.large"]
    min_size       = 2
    max_size       = 4
    ray_workers    = false
  }
  cpu = {
    instance_types = ["m5.xlarge"]
    min_size       = 2
    max_size       = 16
  }
  gpu = {
    instance_types = ["g4dn.xlarge"]
    min_size       = 0
    max_size       = 8
    gpu            = true
    taints         = [{ key = "nvidia.com/gpu", value = "true", effect = "NO_SCHEDULE" }]
  }
}

# Dagster's database and Redis for Ray's control store, each with a standby in another zone.
platform = {
  database                = true
  redis                   = true
  multi_az                = true
  deletion_protection     = true
  database_instance_class = "db.m6g.large"
  database_gib            = 100
  database_max_gib        = 500
  database_backup_days    = 30
  redis_node_type         = "cache.t4g.medium"
}
