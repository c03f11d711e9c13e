# Roles that service accounts take by the OIDC provider (IRSA): each account its own, nothing more.

locals {
  issuer = replace(aws_iam_openid_connect_provider.this.url, "https://", "")

  service_accounts = {
    ebs_csi            = "kube-system:ebs-csi-controller-sa"
    cluster_autoscaler = "kube-system:cluster-autoscaler"
    ray                = "${var.ray_namespace}:ray"
    dagster            = "${var.ray_namespace}:dagster"
  }
}

data "aws_iam_policy_document" "assume" {
  for_each = local.service_accounts

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.this.arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = ["system:serviceaccount:${each.value}"]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "service_account" {
  for_each = local.service_accounts

  name               = "${var.name}-${replace(each.key, "_", "-")}"
  assume_role_policy = data.aws_iam_policy_document.assume[each.key].json
}

resource "aws_iam_role_policy_attachment" "ebs_csi" {
  role       = aws_iam_role.service_account["ebs_csi"].name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy"
}

# The documents are referred to here and not through a local value, which a plan does not show: on a first plan
# they are known only after apply, and the policies judge the data sources that they come from.
resource "aws_iam_role_policy" "service_account" {
  for_each = toset(["cluster_autoscaler", "dagster", "ray"])

  name = replace(each.key, "_", "-")
  role = aws_iam_role.service_account[each.key].id
  policy = {
    cluster_autoscaler = data.aws_iam_policy_document.cluster_autoscaler.json
    dagster            = data.aws_iam_policy_document.dagster.json
    ray                = data.aws_iam_policy_document.ray.json
  }[each.key]
}

data "aws_iam_policy_document" "cluster_autoscaler" {
  statement {
    sid = "Look"
    actions = [
      "autoscaling:DescribeAutoScalingGroups",
      "autoscaling:DescribeAutoScalingInstances",
      "autoscaling:DescribeLaunchConfigurations",
      "autoscaling:DescribeScalingActivities",
      "autoscaling:DescribeTags",
      "ec2:DescribeImages",
      "ec2:DescribeInstanceTypes",
      "ec2:DescribeLaunchTemplateVersions",
      "ec2:GetInstanceTypesFromInstanceRequirements",
      "eks:DescribeNodegroup",
    ]
    resources = ["*"]
  }

  statement {
    sid       = "ScaleOwnGroups"
    actions   = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/k8s.io/cluster-autoscaler/${var.name}"
      values   = ["owned"]
    }
  }
}

data "aws_iam_policy_document" "ray" {
  statement {
    sid       = "ListOwnPrefix"
    actions   = ["s3:ListBucket"]
    resources = [var.artifact_bucket]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["ray/*"]
    }
  }

  statement {
    sid       = "UseOwnPrefix"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = ["${var.artifact_bucket}/ray/*"]
  }

  statement {
    sid       = "UseBucketKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.artifact_key_arn]
  }
}

data "aws_iam_policy_document" "dagster" {
  statement {
    sid       = "ListOwnPrefixes"
    actions   = ["s3:ListBucket"]
    resources = [var.artifact_bucket]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["ray-platform/*", "ray/*"]
    }
  }

  statement {
    sid       = "WriteArtifacts"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${var.artifact_bucket}/ray-platform/*"]
  }

  # The usage ledger's small files are removed once they are joined. Nothing else is ever removed.
  statement {
    sid       = "JoinUsageFiles"
    actions   = ["s3:DeleteObject"]
    resources = ["${var.artifact_bucket}/ray-platform/usage/*"]
  }

  statement {
    sid       = "ReadRunOutputs"
    actions   = ["s3:GetObject"]
    resources = ["${var.artifact_bucket}/ray/*"]
  }

  statement {
    sid       = "UseBucketKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.artifact_key_arn]
  }

  # None of these knows resources smaller than the account.
  statement {
    sid       = "ReadCosts"
    actions   = ["ce:GetCostAndUsage", "ce:GetCostForecast"]
    resources = ["*"]
  }

  # Who changed what by hand, for the causes of drift.
  statement {
    sid       = "ReadTrail"
    actions   = ["cloudtrail:LookupEvents"]
    resources = ["*"]
  }

  statement {
    sid       = "ReadTags"
    actions   = ["tag:GetResources"]
    resources = ["*"]
  }

  statement {
    sid       = "ReadCluster"
    actions   = ["eks:DescribeCluster", "eks:DescribeNodegroup", "eks:ListNodegroups"]
    resources = [aws_eks_cluster.this.arn, "${replace(aws_eks_cluster.this.arn, ":cluster/", ":nodegroup/")}/*"]
  }
}
