resource "aws_db_instance" "two_zones" {
  identifier                  = "two-zones"
  engine                      = "postgres"
  instance_class              = "db.m6g.large"
  allocated_storage           = 400
  storage_type                = "gp3"
  iops                        = 14000
  multi_az                    = true
  username                    = "dagster"
  manage_master_user_password = true
  skip_final_snapshot         = true
}

resource "aws_db_instance" "sql_server" {
  identifier          = "sql-server"
  engine              = "sqlserver-se"
  license_model       = "license-included"
  instance_class      = "db.m6i.xlarge"
  allocated_storage   = 100
  username            = "dagster"
  password            = "0f1e2d3c4b5a6978"
  skip_final_snapshot = true
}
