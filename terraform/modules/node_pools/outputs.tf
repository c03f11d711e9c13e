output "node_pools" {
  description = "What scheduling and prices need, by name."
  value = {
    for name, pool in var.node_pools : name => {
      instance_types = aws_eks_node_group.this[name].instance_types
      capacity_type  = pool.capacity_type
      min_size       = pool.min_size
      max_size       = pool.max_size
      gpu            = pool.gpu
      ray_workers    = pool.ray_workers
      volume_gib     = pool.volume_gib
      labels         = local.labels[name]
      taints         = pool.taints
    }
  }
}

output "node_group_arns" {
  description = "The node groups, by name."
  value       = { for name, group in aws_eks_node_group.this : name => group.arn }
}
