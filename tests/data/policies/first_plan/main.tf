# A first plan, made by the real provider without an account: names with `good_` break no rule, names with
# `bad_RULE` break that rule. tests/integration/terraform/test_first_plans.py reads the names.
terraform {
  required_providers {
    aws = { source = "registry.terraform.io/hashicorp/aws" }
  }
}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "x"
  secret_key                  = "x"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true

  default_tags {
    tags = { repo = "r", environment = "local", managed-by = "terraform" }
  }
}

provider "aws" {
  alias                       = "bare"
  region                      = "us-east-1"
  access_key                  = "x"
  secret_key                  = "x"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

# Buckets: what belongs to one is told by the reference, not by the name.

resource "aws_s3_bucket" "good_data" {
  bucket_prefix = "data-"
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.good_data.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "aws:kms"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "closed" {
  bucket                  = aws_s3_bucket_server_side_encryption_configuration.this.bucket
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket" "good_many" {
  for_each      = toset(["a", "b"])
  bucket_prefix = each.key
}

resource "aws_s3_bucket_server_side_encryption_configuration" "many" {
  for_each = aws_s3_bucket.good_many
  bucket   = each.value.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "aws:kms"
    }
  }
}

module "closed" {
  source  = "./closed"
  buckets = { for name, bucket in aws_s3_bucket.good_many : name => bucket.id }
}

resource "aws_s3_bucket" "bad_bucket_public" {
  bucket_prefix = "open-"
}

resource "aws_s3_bucket_server_side_encryption_configuration" "bad_bucket_public" {
  bucket = aws_s3_bucket.bad_bucket_public.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "aws:kms"
    }
  }
}

# Named like the open bucket, but of another.
resource "aws_s3_bucket_public_access_block" "bad_bucket_public" {
  bucket                  = aws_s3_bucket.good_data.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

# Tags

resource "aws_sqs_queue" "good_tags" {
  name = "q"
  tags = { Owner = aws_s3_bucket.good_data.id }
}

resource "aws_sqs_queue" "bad_required_tags_none" {
  provider = aws.bare
  name     = "q2"
}

resource "aws_sqs_queue" "bad_required_tags_some" {
  provider = aws.bare
  name     = "q3"
  tags     = { repo = "r", environment = aws_s3_bucket.good_data.id }
}

# One value that is unknown makes the provider hide all of them: default tags are the way out.
resource "aws_sqs_queue" "bad_required_tags_hidden" {
  provider = aws.bare
  name     = "q4"
  tags     = { repo = "r", environment = aws_s3_bucket.good_data.id, managed-by = "terraform" }
}

# Addresses

resource "aws_vpc" "good" {
  cidr_block = "10.0.0.0/16"
}

resource "aws_subnet" "good" {
  vpc_id     = aws_vpc.good.id
  cidr_block = "10.0.1.0/24"
}

resource "aws_subnet" "bad_public_node_ipv6" {
  vpc_id                          = aws_vpc.good.id
  cidr_block                      = "10.0.2.0/24"
  assign_ipv6_address_on_creation = true
  ipv6_cidr_block                 = "2001:db8::/64"
}

resource "aws_eip" "good_gateway" {
  domain = "vpc"
}

resource "aws_nat_gateway" "good" {
  allocation_id = aws_eip.good_gateway.id
  subnet_id     = aws_subnet.good.id
}

resource "aws_instance" "good" {
  ami                         = "ami-12345678"
  instance_type               = "m5.large"
  subnet_id                   = aws_subnet.good.id
  associate_public_ip_address = false
  metadata_options {
    http_tokens = "required"
  }
  root_block_device {
    encrypted = true
  }
}

resource "aws_eip" "bad_public_node" {
  domain   = "vpc"
  instance = aws_instance.good.id
}

resource "aws_security_group" "good" {
  vpc_id = aws_vpc.good.id
  ingress {
    from_port   = 443
    to_port     = 443
    protocol    = "tcp"
    cidr_blocks = [aws_vpc.good.cidr_block]
  }
  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_security_group" "good_without_rules" {
  vpc_id = aws_vpc.good.id
}

resource "aws_security_group" "bad_open_security_group_halves" {
  vpc_id = aws_vpc.good.id
  ingress {
    from_port   = 22
    to_port     = 22
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/1", "128.0.0.0/1"]
  }
}

resource "aws_vpc_security_group_ingress_rule" "bad_open_security_group_v6" {
  security_group_id = aws_security_group.good.id
  cidr_ipv6         = "::/0"
  ip_protocol       = "-1"
}

resource "aws_vpc_security_group_ingress_rule" "bad_open_security_group_unknown" {
  security_group_id = aws_security_group.good.id
  cidr_ipv4         = "${aws_eip.good_gateway.public_ip}/0"
  ip_protocol       = "-1"
}

# Documents

data "aws_iam_policy_document" "reads_own" {
  statement {
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.good_data.arn}/*"]
  }
}

resource "aws_iam_policy" "good" {
  policy = data.aws_iam_policy_document.reads_own.json
}

data "aws_iam_policy_document" "all" {
  source_policy_documents = [data.aws_iam_policy_document.reads_own.json]
  statement {
    actions   = ["*"]
    resources = ["*", aws_s3_bucket.good_data.arn]
  }
}

resource "aws_iam_policy" "bad_admin_policy_later" {
  policy = data.aws_iam_policy_document.all.json
}

data "aws_iam_policy_document" "includes_all" {
  source_policy_documents = [data.aws_iam_policy_document.all.json]
}

resource "aws_iam_policy" "bad_admin_policy_included" {
  policy = data.aws_iam_policy_document.includes_all.json
}

resource "aws_iam_policy" "bad_unknown_policy" {
  policy = jsonencode({ Statement = [{ Effect = "Allow", Action = "*", Resource = aws_s3_bucket.good_data.arn }] })
}

locals {
  hidden = data.aws_iam_policy_document.reads_own.json
}

resource "aws_iam_policy" "bad_unknown_policy_local" {
  policy = local.hidden
}

resource "aws_iam_role" "good" {
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = { Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "eks.amazonaws.com" } } })
}

resource "aws_iam_role_policy" "bad_admin_policy_notaction" {
  role   = aws_iam_role.good.id
  policy = jsonencode({ Statement = { Effect = "Allow", NotAction = "iam:*", Resource = ["*"] } })
}

resource "aws_iam_role" "bad_foreign_trust" {
  assume_role_policy = jsonencode({ Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { AWS = ["arn:aws:iam::999999999999:root"] } }] })
}

resource "aws_kms_key" "good_default" {}

resource "aws_kms_key" "bad_public_policy" {
  policy = jsonencode({ Statement = [{ Effect = "Allow", Action = "kms:*", Principal = "*", Resource = "*" }] })
}

resource "aws_iam_openid_connect_provider" "good" {
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

data "aws_iam_policy_document" "of_repo" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.good.arn]
    }
    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:sub"
      values   = ["repo:me/mine:ref:refs/heads/main"]
    }
  }
}

resource "aws_iam_role" "good_of_repo" {
  assume_role_policy = data.aws_iam_policy_document.of_repo.json
}

data "aws_iam_policy_document" "of_any_repo" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.good.arn]
    }
    condition {
      test     = "StringLike"
      variable = "token.actions.githubusercontent.com:sub"
      values   = ["repo:*"]
    }
  }
}

resource "aws_iam_role" "bad_foreign_trust_any_repo" {
  assume_role_policy = data.aws_iam_policy_document.of_any_repo.json
}

resource "aws_iam_role_policy_attachment" "good" {
  role       = aws_iam_role.good.name
  policy_arn = aws_iam_policy.good.arn
}

resource "aws_iam_role_policy_attachment" "bad_admin_policy" {
  role       = aws_iam_role.good.name
  policy_arn = "arn:aws:iam::aws:policy/AdministratorAccess"
}

resource "aws_iam_user" "good" {
  name = "u"
}

resource "aws_iam_access_key" "bad_user_keys" {
  user = aws_iam_user.good.name
}

resource "aws_vpc_peering_connection" "bad_foreign_peering" {
  vpc_id        = aws_vpc.good.id
  peer_vpc_id   = "vpc-12345678"
  peer_owner_id = "999999999999"
}

resource "aws_vpc_peering_connection" "good" {
  vpc_id      = aws_vpc.good.id
  peer_vpc_id = aws_vpc.good.id
}

resource "aws_eks_access_entry" "good" {
  cluster_name  = "c"
  principal_arn = aws_iam_role.good.arn
}

resource "aws_eks_access_policy_association" "bad_cluster_admin" {
  cluster_name  = "c"
  policy_arn    = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
  principal_arn = "arn:aws:iam::999999999999:role/x"
  access_scope {
    type = "cluster"
  }
}

resource "aws_rds_cluster" "bad_volume_encryption" {
  engine                      = "aurora-postgresql"
  master_username             = "u"
  manage_master_user_password = true
  backup_retention_period     = 7
}

resource "aws_rds_cluster_instance" "good" {
  cluster_identifier = aws_rds_cluster.bad_volume_encryption.id
  engine             = "aurora-postgresql"
  instance_class     = "db.r6g.large"
}

resource "aws_elasticache_cluster" "bad_cache_closed" {
  cluster_id      = "c"
  engine          = "redis"
  node_type       = "cache.t4g.small"
  num_cache_nodes = 1
}
