resource "aws_sqs_queue" "events" { name = "events" }

resource "aws_redshift_cluster" "warehouse" {
  cluster_identifier     = "warehouse"
  node_type              = "ra3.xlplus"
  number_of_nodes        = 2
  master_username        = "dagster"
  manage_master_password = true
  skip_final_snapshot    = true
}

resource "aws_s3_bucket" "artifacts" { bucket = "artifacts-of-a-corpus" }

resource "aws_s3_bucket_versioning" "artifacts" {
  bucket = aws_s3_bucket.artifacts.id
  versioning_configuration { status = "Enabled" }
}
