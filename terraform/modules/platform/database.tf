# Dagster's storage: runs, events, schedules. It takes TLS alone: so does PostgreSQL 15 and later on RDS unless a
# parameter group of one's own says otherwise (rds.force_ssl), and it has none.

resource "aws_db_subnet_group" "database" {
  count = local.database

  name       = "${var.name}-database"
  subnet_ids = var.subnet_ids
}

# Rules stand inline, so that one added by hand is seen as drift.
resource "aws_security_group" "database" {
  count = local.database

  name        = "${var.name}-database"
  description = "PostgreSQL from inside the VPC"
  vpc_id      = var.vpc_id

  ingress {
    description = "PostgreSQL from inside the VPC"
    from_port   = 5432
    to_port     = 5432
    protocol    = "tcp"
    cidr_blocks = [var.vpc_cidr]
  }

  tags = { Name = "${var.name}-database" }
}

# RDS would make it without a key.
resource "aws_cloudwatch_log_group" "database" {
  for_each = var.platform.database ? toset(["postgresql", "upgrade"]) : toset([])

  name              = "/aws/rds/instance/${var.name}-dagster/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_key_arn
}

resource "aws_db_instance" "database" {
  count = local.database

  identifier     = "${var.name}-dagster"
  engine         = "postgres"
  engine_version = "16"
  instance_class = var.platform.database_instance_class
  db_name        = "dagster"
  username       = "dagster"

  # RDS makes the password, keeps it in Secrets Manager and turns it: it is in no plan and no state.
  manage_master_user_password   = true
  master_user_secret_kms_key_id = aws_kms_key.platform[0].key_id

  allocated_storage     = var.platform.database_gib
  max_allocated_storage = var.platform.database_max_gib
  storage_type          = "gp3"
  storage_encrypted     = true
  kms_key_id            = aws_kms_key.platform[0].arn

  db_subnet_group_name   = aws_db_subnet_group.database[0].name
  vpc_security_group_ids = [aws_security_group.database[0].id]
  publicly_accessible    = false
  multi_az               = var.platform.multi_az

  backup_retention_period   = var.platform.database_backup_days
  backup_window             = "02:00-03:00"
  maintenance_window        = "sun:03:30-sun:04:30"
  copy_tags_to_snapshot     = true
  delete_automated_backups  = false
  deletion_protection       = var.platform.deletion_protection
  skip_final_snapshot       = false
  final_snapshot_identifier = "${var.name}-dagster-last"

  auto_minor_version_upgrade      = true
  apply_immediately               = false
  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]

  depends_on = [aws_cloudwatch_log_group.database]
}
