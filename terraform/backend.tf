# Bucket, key and region come from environments/NAME.toml by -backend-config. S3 itself holds the lock.
terraform {
  backend "s3" {
    use_lockfile = true
    encrypt      = true
  }
}
