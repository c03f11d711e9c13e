variable "environment" {
  description = "Name of the environment; part of every name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.environment))
    error_message = "environment must be 2 to 20 lower-case letters, digits or hyphens, starting with a letter."
  }
}

variable "region" {
  description = "AWS region of everything."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be an AWS region, such as us-east-1."
  }
}

variable "kubernetes_version" {
  description = "Kubernetes version of the control plane and the nodes, MAJOR.MINOR."
  type        = string

  # Amazon Linux 2023 images exist for these; raise the upper end as EKS adds versions.
  validation {
    condition     = contains(["1.32", "1.33", "1.34", "1.35"], var.kubernetes_version)
    error_message = "kubernetes_version must be one that EKS supports: 1.32, 1.33, 1.34 or 1.35."
  }
}

variable "vpc_cidr" {
  description = "Address range of the VPC. Subnets are the /24 (for a /16) numbered 1 to 3 (private) and 101 to 103 (public)."
  type        = string
  default     = "10.0.0.0/16"

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && try(tonumber(split("/", var.vpc_cidr)[1]) == 16, false)
    error_message = "vpc_cidr must be a /16 range, such as 10.0.0.0/16."
  }
}

variable "nat_gateway_mode" {
  description = "One NAT gateway for all zones (single), or one for each (per_zone): cheaper, or surviving the loss of a zone."
  type        = string
  default     = "single"

  validation {
    condition     = contains(["single", "per_zone"], var.nat_gateway_mode)
    error_message = "nat_gateway_mode must be single or per_zone."
  }
}

variable "endpoint_services" {
  description = "AWS services reached by interface endpoints inside the VPC. S3 always has its gateway endpoint."
  type        = set(string)
  default     = ["ecr.api", "ecr.dkr"]

  validation {
    condition     = alltrue([for service in var.endpoint_services : can(regex("^[a-z0-9.-]+$", service)) && service != "s3"])
    error_message = "endpoint_services must be service names such as ecr.api; s3 has its gateway endpoint already."
  }
}

variable "node_pools" {
  description = "Node groups by name. With ray_workers, also the Ray worker group of the same name and bounds."
  type = map(object({
    instance_types = list(string)
    capacity_type  = optional(string, "ON_DEMAND")
    min_size       = number
    max_size       = number
    desired_size   = optional(number)
    gpu            = optional(bool, false)
    ray_workers    = optional(bool, true)
    volume_gib     = optional(number, 100)
    labels         = optional(map(string), {})
    taints = optional(list(object({
      key    = string
      value  = optional(string, "")
      effect = string
    })), [])
  }))

  validation {
    condition     = length(var.node_pools) > 0 && alltrue([for name in keys(var.node_pools) : can(regex("^[a-z][a-z0-9-]{0,19}$", name))])
    error_message = "node_pools needs at least one pool, each named by up to 20 lower-case letters, digits or hyphens."
  }

  validation {
    condition     = alltrue([for pool in values(var.node_pools) : length(pool.instance_types) > 0])
    error_message = "Each node pool needs at least one instance type."
  }

  validation {
    condition = alltrue([
      for pool in values(var.node_pools) :
      pool.min_size >= 0 && pool.max_size >= 1 && pool.min_size <= pool.max_size &&
      floor(pool.min_size) == pool.min_size && floor(pool.max_size) == pool.max_size
    ])
    error_message = "Each node pool needs whole numbers with 0 <= min_size <= max_size and max_size >= 1."
  }

  validation {
    condition = alltrue([
      for pool in values(var.node_pools) :
      pool.desired_size == null ? true : pool.desired_size >= pool.min_size && pool.desired_size <= pool.max_size
    ])
    error_message = "A node pool's desired_size must lie between its min_size and max_size."
  }

  validation {
    condition     = alltrue([for pool in values(var.node_pools) : contains(["ON_DEMAND", "SPOT"], pool.capacity_type)])
    error_message = "A node pool's capacity_type must be ON_DEMAND or SPOT."
  }

  validation {
    condition     = alltrue([for pool in values(var.node_pools) : pool.volume_gib >= 20 && pool.volume_gib <= 16384])
    error_message = "A node pool's volume_gib must lie between 20 and 16384."
  }

  validation {
    condition = alltrue(flatten([
      for pool in values(var.node_pools) : [
        for taint in pool.taints : contains(["NO_SCHEDULE", "NO_EXECUTE", "PREFER_NO_SCHEDULE"], taint.effect)
      ]
    ]))
    error_message = "A taint's effect must be NO_SCHEDULE, NO_EXECUTE or PREFER_NO_SCHEDULE."
  }
}

variable "log_retention_days" {
  description = "How long the log groups keep their events, in days."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days must be one that CloudWatch offers: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731."
  }
}

variable "ray_namespace" {
  description = "Kubernetes namespace of Ray and Dagster; their service accounts take their roles there."
  type        = string
  default     = "ray"

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.ray_namespace))
    error_message = "ray_namespace must be a Kubernetes name."
  }
}

variable "platform" {
  description = "What the platform itself needs here: a PostgreSQL for Dagster, Redis for Ray's control store. Nothing unless it is asked for."
  type = object({
    database                = optional(bool, false)
    redis                   = optional(bool, false)
    multi_az                = optional(bool, false)
    deletion_protection     = optional(bool, false)
    database_instance_class = optional(string, "db.t4g.medium")
    database_gib            = optional(number, 20)
    database_max_gib        = optional(number, 100)
    database_backup_days    = optional(number, 7)
    redis_node_type         = optional(string, "cache.t4g.small")
  })
  default = {}

  validation {
    condition     = var.platform.database_gib >= 20 && var.platform.database_max_gib >= var.platform.database_gib
    error_message = "platform.database_gib must be at least 20, and database_max_gib not less than that."
  }

  # Without a backup the history of what ran on what would be lost with the instance.
  validation {
    condition     = var.platform.database_backup_days >= 1 && var.platform.database_backup_days <= 35
    error_message = "platform.database_backup_days must lie between 1 and 35."
  }

  validation {
    condition     = startswith(var.platform.database_instance_class, "db.") && startswith(var.platform.redis_node_type, "cache.")
    error_message = "platform.database_instance_class must be a class such as db.t4g.medium, redis_node_type one such as cache.t4g.small."
  }
}

# Set by the platform for each run, not in the environment's file.

variable "repository" {
  description = "The Git repository of this configuration: the repo tag."
  type        = string
  default     = "unknown"

  validation {
    condition     = can(regex("^[a-zA-Z0-9 _.:/=+@-]{1,256}$", var.repository))
    error_message = "repository must be 1 to 256 characters that a tag may hold."
  }
}

variable "commit" {
  description = "The Git commit that is applied: the commit tag of what it creates."
  type        = string
  default     = "unknown"

  validation {
    condition     = can(regex("^[a-zA-Z0-9 _.:/=+@-]{1,256}$", var.commit))
    error_message = "commit must be 1 to 256 characters that a tag may hold."
  }
}

variable "emulator" {
  description = "Whether an AWS emulator answers instead of AWS."
  type        = bool
  default     = false
}
