# Redis for the fault tolerance of Ray's control store (GCS): a head that is lost comes back with its cluster.

resource "aws_elasticache_subnet_group" "redis" {
  count = local.redis

  name       = "${var.name}-redis"
  subnet_ids = var.subnet_ids
}

# Rules stand inline, so that one added by hand is seen as drift.
resource "aws_security_group" "redis" {
  count = local.redis

  name        = "${var.name}-redis"
  description = "Redis from inside the VPC"
  vpc_id      = var.vpc_id

  ingress {
    description = "Redis from inside the VPC"
    from_port   = 6379
    to_port     = 6379
    protocol    = "tcp"
    cidr_blocks = [var.vpc_cidr]
  }

  tags = { Name = "${var.name}-redis" }
}

# Nobody gets in until a user is added beside Terraform, which would keep its password in the state
# (docs/how-to/deploy-dagster.md). Each user group must hold a user named default: this one may do nothing.
resource "aws_elasticache_user" "nobody" {
  count = local.redis

  user_id       = "${var.name}-nobody"
  user_name     = "default"
  engine        = "redis"
  access_string = "off ~* -@all"

  authentication_mode {
    type = "no-password-required"
  }
}

resource "aws_elasticache_user_group" "redis" {
  count = local.redis

  user_group_id = "${var.name}-redis"
  engine        = "redis"
  user_ids      = [aws_elasticache_user.nobody[0].user_id]

  lifecycle {
    ignore_changes = [user_ids]
  }
}

resource "aws_elasticache_replication_group" "redis" {
  count = local.redis

  replication_group_id = "${var.name}-redis"
  description          = "Ray's control store of ${var.name}"
  engine               = "redis"
  engine_version       = "7.1"
  node_type            = var.platform.redis_node_type
  port                 = 6379

  num_cache_clusters         = var.platform.multi_az ? 2 : 1
  automatic_failover_enabled = var.platform.multi_az
  multi_az_enabled           = var.platform.multi_az

  at_rest_encryption_enabled = true
  kms_key_id                 = aws_kms_key.platform[0].arn
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  user_group_ids             = [aws_elasticache_user_group.redis[0].user_group_id]

  subnet_group_name  = aws_elasticache_subnet_group.redis[0].name
  security_group_ids = [aws_security_group.redis[0].id]

  # What Ray keeps here is worth nothing without the pods that it tells of: one day is enough to look back.
  snapshot_retention_limit   = 1
  snapshot_window            = "01:00-02:00"
  maintenance_window         = "sun:05:00-sun:06:00"
  auto_minor_version_upgrade = true
}
