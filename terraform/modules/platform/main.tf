# What the platform itself needs on AWS: Dagster's database, and Redis for Ray's control store. Each stands only
# where it is wanted.

locals {
  database = var.platform.database ? 1 : 0
  redis    = var.platform.redis ? 1 : 0
  any      = var.platform.database || var.platform.redis ? 1 : 0
}

resource "aws_kms_key" "platform" {
  count = local.any

  description             = "Database, its password, and Redis of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
}

resource "aws_kms_alias" "platform" {
  count = local.any

  name          = "alias/${var.name}-platform"
  target_key_id = aws_kms_key.platform[0].key_id
}
