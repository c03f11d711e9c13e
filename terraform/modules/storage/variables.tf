variable "name" {
  description = "Names everything."
  type        = string
}

variable "cluster_name" {
  description = "The cluster that gets the EBS CSI driver."
  type        = string
}

variable "ebs_csi_role_arn" {
  description = "Role of the EBS CSI driver."
  type        = string
}

variable "node_group_arns" {
  description = "The node groups that must exist before the driver."
  type        = map(string)
}

variable "log_retention_days" {
  description = "How long logs are kept, in days."
  type        = number
}
