output "environment" {
  description = "Name of the environment."
  value       = var.environment
}

output "region" {
  description = "AWS region of everything."
  value       = var.region
}

output "tags" {
  description = "Tags by which bills and resources are attributed; resources also carry the commit that created them."
  value       = local.tags
}

output "vpc_id" {
  description = "The VPC."
  value       = module.vpc.vpc_id
}

output "private_subnet_ids" {
  description = "Subnets of the nodes, one a zone."
  value       = module.vpc.private_subnet_ids
}

output "public_subnet_ids" {
  description = "Subnets of the NAT gateways and load balancers, one a zone."
  value       = module.vpc.public_subnet_ids
}

output "nat_addresses" {
  description = "Public addresses from which the nodes reach the internet."
  value       = module.vpc.nat_addresses
}

output "cluster_name" {
  description = "The EKS cluster."
  value       = module.eks_cluster.name
}

output "cluster_endpoint" {
  description = "Address of the Kubernetes API, inside the VPC."
  value       = module.eks_cluster.endpoint
}

output "cluster_certificate_authority" {
  description = "Base64 certificate of the Kubernetes API."
  value       = module.eks_cluster.certificate_authority
}

output "cluster_version" {
  description = "Kubernetes version of the control plane."
  value       = module.eks_cluster.version
}

output "oidc_provider_arn" {
  description = "Identity provider by which service accounts take roles."
  value       = module.eks_cluster.oidc_provider_arn
}

output "role_arns" {
  description = "Roles of the service accounts: ebs_csi, cluster_autoscaler, ray, dagster."
  value       = module.eks_cluster.role_arns
}

output "node_pools" {
  description = "By name: instance types, capacity type, sizes, labels, taints, volume; what scheduling and prices need."
  value       = module.node_pools.node_pools
}

output "artifact_bucket" {
  description = "Bucket of artifacts, training data and checkpoints."
  value       = module.storage.artifact_bucket
}

output "artifact_key_arn" {
  description = "Key by which the artifact bucket and the registry are encrypted."
  value       = module.storage.artifact_key_arn
}

output "registry_url" {
  description = "Container registry of the Ray image."
  value       = module.storage.registry_url
}

output "log_groups" {
  description = "CloudWatch log groups: flow_logs, control_plane, ray."
  value = {
    flow_logs     = module.vpc.log_group
    control_plane = module.eks_cluster.log_group
    ray           = module.storage.log_group
  }
}

output "database" {
  description = "Dagster's database: host, port, user, name, secret_arn, secrets_role_arn; null where there is none."
  value       = module.platform.database
}

output "redis" {
  description = "Redis of Ray's control store: host, port, user_group_id; null where there is none."
  value       = module.platform.redis
}
