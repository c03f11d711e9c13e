variable "name" {
  description = "Names the cluster and its parts."
  type        = string
}

variable "kubernetes_version" {
  description = "MAJOR.MINOR."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "vpc_cidr" {
  description = "From where the Kubernetes API may be reached."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of the control plane's interfaces."
  type        = list(string)
}

variable "ray_namespace" {
  description = "Namespace of the service accounts ray and dagster."
  type        = string
}

variable "artifact_bucket" {
  description = "ARN of the bucket that Ray and Dagster use."
  type        = string
}

variable "artifact_key_arn" {
  description = "Key of that bucket."
  type        = string
}

variable "log_key_arn" {
  description = "Key that encrypts the control plane's logs."
  type        = string
}

variable "log_retention_days" {
  description = "How long they are kept, in days."
  type        = number
}
