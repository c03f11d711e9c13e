resource "aws_eks_cluster" "old" {
  name     = "old"
  version  = "1.30"
  role_arn = "arn:aws:iam::123456789012:role/cluster"
  vpc_config { subnet_ids = ["subnet-0aaaaaaaaaaaaaaa1", "subnet-0aaaaaaaaaaaaaaa2"] }
}

resource "aws_eks_cluster" "old_without_extended_support" {
  name     = "old-standard"
  version  = "1.30"
  role_arn = "arn:aws:iam::123456789012:role/cluster"
  vpc_config { subnet_ids = ["subnet-0aaaaaaaaaaaaaaa1", "subnet-0aaaaaaaaaaaaaaa2"] }
  upgrade_policy { support_type = "STANDARD" }
}

resource "aws_eks_fargate_profile" "batch" {
  cluster_name           = aws_eks_cluster.old.name
  fargate_profile_name   = "batch"
  pod_execution_role_arn = "arn:aws:iam::123456789012:role/pods"
  subnet_ids             = ["subnet-0aaaaaaaaaaaaaaa1"]
  selector { namespace = "batch" }
}

resource "aws_cloudwatch_log_group" "cluster" { name = "/aws/eks/old/cluster" }

resource "aws_kms_key" "secrets" {}

resource "aws_secretsmanager_secret" "token" {
  name = "ray-token"
  replica { region = "us-west-2" }
}
