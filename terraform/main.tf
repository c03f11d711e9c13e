locals {
  name = "ray-platform-${var.environment}"
}

module "vpc" {
  source = "./modules/vpc"

  name               = local.name
  cidr               = var.vpc_cidr
  nat_gateway_mode   = var.nat_gateway_mode
  endpoint_services  = var.endpoint_services
  log_key_arn        = module.storage.log_key_arn
  log_retention_days = var.log_retention_days
}

module "eks_cluster" {
  source = "./modules/eks_cluster"

  name               = local.name
  kubernetes_version = var.kubernetes_version
  vpc_id             = module.vpc.vpc_id
  vpc_cidr           = var.vpc_cidr
  subnet_ids         = module.vpc.private_subnet_ids
  ray_namespace      = var.ray_namespace
  artifact_bucket    = module.storage.artifact_bucket_arn
  artifact_key_arn   = module.storage.artifact_key_arn
  log_key_arn        = module.storage.log_key_arn
  log_retention_days = var.log_retention_days
}

module "node_pools" {
  source = "./modules/node_pools"

  name               = local.name
  cluster_name       = module.eks_cluster.name
  kubernetes_version = var.kubernetes_version
  subnet_ids         = module.vpc.private_subnet_ids
  node_pools         = var.node_pools
  instance_tags      = local.tags
}

module "storage" {
  source = "./modules/storage"

  name               = local.name
  cluster_name       = module.eks_cluster.name
  ebs_csi_role_arn   = module.eks_cluster.role_arns.ebs_csi
  node_group_arns    = module.node_pools.node_group_arns
  log_retention_days = var.log_retention_days
}

module "platform" {
  source = "./modules/platform"

  name               = local.name
  vpc_id             = module.vpc.vpc_id
  vpc_cidr           = var.vpc_cidr
  subnet_ids         = module.vpc.private_subnet_ids
  oidc_provider_arn  = module.eks_cluster.oidc_provider_arn
  log_key_arn        = module.storage.log_key_arn
  log_retention_days = var.log_retention_days
  platform           = var.platform
}
