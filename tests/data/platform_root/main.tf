# The smallest root that the module `platform` stands in, with everything on: for tests against the emulator.

terraform {
  required_providers {
    aws = {
      source  = "registry.terraform.io/hashicorp/aws"
      version = "5.100.0"
    }
  }
}

provider "aws" {
  region                      = "us-east-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true

  default_tags {
    tags = { repo = "test", environment = "local", managed-by = "terraform" }
  }
}

variable "platform" {
  type = map(any)
}

resource "aws_vpc" "this" {
  cidr_block = "10.0.0.0/16"
}

resource "aws_subnet" "private" {
  for_each = { a = "10.0.1.0/24", b = "10.0.2.0/24" }

  vpc_id            = aws_vpc.this.id
  cidr_block        = each.value
  availability_zone = "us-east-1${each.key}"
}

resource "aws_kms_key" "logs" {
  enable_key_rotation     = true
  deletion_window_in_days = 30
}

module "platform" {
  source = "../../../terraform/modules/platform"

  name               = "ray-platform-test"
  vpc_id             = aws_vpc.this.id
  vpc_cidr           = aws_vpc.this.cidr_block
  subnet_ids         = [for subnet in aws_subnet.private : subnet.id]
  oidc_provider_arn  = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/0123456789ABCDEF"
  log_key_arn        = aws_kms_key.logs.arn
  log_retention_days = 30
  platform           = var.platform
}

output "database" {
  value = module.platform.database
}

output "redis" {
  value = module.platform.redis
}
