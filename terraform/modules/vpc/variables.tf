variable "name" {
  description = "Names everything."
  type        = string
}

variable "cidr" {
  description = "Address range of the VPC."
  type        = string
}

variable "nat_gateway_mode" {
  description = "single or per_zone."
  type        = string
}

variable "endpoint_services" {
  description = "Services with an interface endpoint."
  type        = set(string)
}

variable "log_key_arn" {
  description = "Key that encrypts the flow logs."
  type        = string
}

variable "log_retention_days" {
  description = "How long flow logs are kept, in days."
  type        = number
}
