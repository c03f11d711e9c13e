variable "name" {
  description = "Names roles and launch templates."
  type        = string
}

variable "cluster_name" {
  description = "The cluster that the nodes join."
  type        = string
}

variable "kubernetes_version" {
  description = "MAJOR.MINOR of the nodes."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of the nodes."
  type        = list(string)
}

variable "instance_tags" {
  description = "Tags of the instances and their volumes."
  type        = map(string)
}

variable "node_pools" {
  description = "As in the root, with every default filled in."
  type = map(object({
    instance_types = list(string)
    capacity_type  = string
    min_size       = number
    max_size       = number
    desired_size   = optional(number)
    gpu            = bool
    ray_workers    = bool
    volume_gib     = number
    labels         = map(string)
    taints         = list(object({ key = string, value = string, effect = string }))
  }))
}
