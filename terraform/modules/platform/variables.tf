variable "name" {
  description = "Names everything."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "vpc_cidr" {
  description = "Who may reach the database and Redis."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, one a zone."
  type        = list(string)
}

variable "oidc_provider_arn" {
  description = "Identity provider of the service accounts."
  type        = string
}

variable "log_key_arn" {
  description = "Key of the log groups."
  type        = string
}

variable "log_retention_days" {
  description = "How long logs are kept, in days."
  type        = number
}

variable "platform" {
  description = "What is wanted, as in the root's variable of that name."
  type = object({
    database                = bool
    redis                   = bool
    multi_az                = bool
    deletion_protection     = bool
    database_instance_class = string
    database_gib            = number
    database_max_gib        = number
    database_backup_days    = number
    redis_node_type         = string
  })
}
