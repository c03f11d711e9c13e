# The operator that brings the database's password into the cluster may read that secret, and nothing else.
# Dagster itself needs no right on AWS for its database.

locals {
  issuer          = replace(var.oidc_provider_arn, "/^.*:oidc-provider\\//", "")
  secrets_account = "system:serviceaccount:external-secrets:external-secrets"
}

data "aws_iam_policy_document" "assume" {
  count = local.database

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [var.oidc_provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = [local.secrets_account]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "secrets" {
  count = local.database

  statement {
    sid       = "ReadDatabasePassword"
    actions   = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
    resources = [aws_db_instance.database[0].master_user_secret[0].secret_arn]
  }

  statement {
    sid       = "UseItsKey"
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.platform[0].arn]
  }
}

resource "aws_iam_role" "secrets" {
  count = local.database

  name               = "${var.name}-external-secrets"
  assume_role_policy = data.aws_iam_policy_document.assume[0].json
}

resource "aws_iam_role_policy" "secrets" {
  count = local.database

  name   = "database-password"
  role   = aws_iam_role.secrets[0].id
  policy = data.aws_iam_policy_document.secrets[0].json
}
