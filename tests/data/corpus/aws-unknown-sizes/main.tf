resource "terraform_data" "size" { input = 3 }

resource "aws_eks_node_group" "later" {
  node_group_name = "later"

  cluster_name   = "ray"
  node_role_arn  = "arn:aws:iam::123456789012:role/nodes"
  subnet_ids     = ["subnet-0aaaaaaaaaaaaaaa1"]
  instance_types = ["m5.large"]

  scaling_config {
    min_size     = terraform_data.size.output
    desired_size = terraform_data.size.output
    max_size     = 10
  }
}

resource "aws_db_instance" "later" {
  identifier                  = "later"
  engine                      = "postgres"
  instance_class              = "db.t4g.small"
  allocated_storage           = terraform_data.size.output
  username                    = "dagster"
  manage_master_user_password = true
  skip_final_snapshot         = true
}
