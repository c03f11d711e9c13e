output "artifact_bucket" {
  description = "Name of the artifact bucket."
  value       = aws_s3_bucket.artifacts.bucket
}

output "artifact_bucket_arn" {
  description = "ARN of the artifact bucket."
  value       = aws_s3_bucket.artifacts.arn
}

output "artifact_key_arn" {
  description = "Key of the artifact bucket and the registry."
  value       = aws_kms_key.artifacts.arn
}

output "log_key_arn" {
  description = "Key of the log groups."
  value       = aws_kms_key.logs.arn
}

output "registry_url" {
  description = "Where the Ray image is pushed to."
  value       = aws_ecr_repository.ray.repository_url
}

output "log_group" {
  description = "Log group of Ray."
  value       = aws_cloudwatch_log_group.ray.name
}
