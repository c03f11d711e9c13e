terraform {
  required_version = ">= 1.10"

  required_providers {
    aws = {
      source  = "registry.terraform.io/hashicorp/aws"
      version = "5.100.0"
    }
  }
}

locals {
  tags = {
    repo        = var.repository
    environment = var.environment
    managed-by  = "terraform"
  }
}

provider "aws" {
  region = var.region

  # Only the emulator has no account to ask and no metadata service.
  skip_credentials_validation = var.emulator
  skip_metadata_api_check     = var.emulator
  skip_requesting_account_id  = var.emulator
  s3_use_path_style           = var.emulator

  default_tags {
    tags = merge(local.tags, { commit = var.commit })
  }

  # A resource gets the tag when it is created and keeps it: another commit is no change (README.md).
  ignore_tags {
    keys = ["commit"]
  }
}
