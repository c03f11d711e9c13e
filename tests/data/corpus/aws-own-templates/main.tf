locals { pools = { small = 20, big = 500 } }

resource "aws_launch_template" "this" {
  for_each = local.pools
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size = each.value
      volume_type = "io2"
      iops        = 20 * each.value
    }
  }
}

resource "aws_eks_node_group" "this" {
  for_each        = local.pools
  node_group_name = each.key

  cluster_name   = "ray"
  node_role_arn  = "arn:aws:iam::123456789012:role/nodes"
  subnet_ids     = ["subnet-0aaaaaaaaaaaaaaa1"]
  instance_types = ["m5.large"]

  launch_template {
    id      = aws_launch_template.this[each.key].id
    version = aws_launch_template.this[each.key].latest_version
  }

  scaling_config {
    min_size     = 1
    desired_size = 1
    max_size     = 2
  }
}
