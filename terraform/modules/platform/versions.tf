terraform {
  required_version = ">= 1.10"

  required_providers {
    aws = {
      source = "registry.terraform.io/hashicorp/aws"
    }
  }
}
