resource "aws_eks_node_group" "mixed" {
  node_group_name = "mixed"

  cluster_name   = "ray"
  node_role_arn  = "arn:aws:iam::123456789012:role/nodes"
  subnet_ids     = ["subnet-0aaaaaaaaaaaaaaa1"]
  instance_types = ["m5.large", "m5.2xlarge"]
  disk_size      = 50

  scaling_config {
    min_size     = 1
    desired_size = 1
    max_size     = 10
  }
}
