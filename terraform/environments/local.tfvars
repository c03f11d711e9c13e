# The local environment: the same infrastructure as on AWS, against the emulator on this machine.
environment        = "local"
region             = "us-east-1"
kubernetes_version = "1.35"

vpc_cidr          = "10.0.0.0/16"
nat_gateway_mode  = "single" # or "per_zone"
endpoint_services = ["ecr.api", "ecr.dkr"]

# One entry is one EKS node group. Every pool with ray_workers = true is also a Ray worker group of the
# same name with the same bounds (one worker a node): Terraform, Helm, policies and Python all read it here.
node_pools = {
  system = {
    instance_types = ["m6i.large"]
    min_size       = 1
    max_size       = 3
    ray_workers    = false
  }
  cpu = {
    instance_types = ["m5.xlarge"]
    min_size       = 2
    max_size       = 10
  }
  gpu = {
    instance_types = ["g4dn.xlarge"]
    min_size       = 0
    max_size       = 5
    gpu            = true
    taints         = [{ key = "nvidia.com/gpu", value = "true", effect = "NO_SCHEDULE" }]
  }
}

# Dagster's history is on this machine (RAY_PLATFORM_STORAGE), and Ray's control store lives with its head.
platform = {}
