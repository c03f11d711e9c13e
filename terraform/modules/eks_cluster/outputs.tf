output "name" {
  description = "The cluster."
  value       = aws_eks_cluster.this.name
}

output "endpoint" {
  description = "Address of the Kubernetes API, inside the VPC."
  value       = aws_eks_cluster.this.endpoint
}

output "certificate_authority" {
  description = "Base64 certificate of the Kubernetes API."
  value       = aws_eks_cluster.this.certificate_authority[0].data
}

output "version" {
  description = "Kubernetes version of the control plane."
  value       = aws_eks_cluster.this.version
}

output "oidc_provider_arn" {
  description = "Identity provider of the service accounts."
  value       = aws_iam_openid_connect_provider.this.arn
}

output "role_arns" {
  description = "Roles of the service accounts, by purpose."
  value       = { for purpose, role in aws_iam_role.service_account : purpose => role.arn }
}

output "log_group" {
  description = "Where the control plane's logs go."
  value       = aws_cloudwatch_log_group.control_plane.name
}
