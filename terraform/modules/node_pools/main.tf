locals {
  # Graviton families have a g right after the generation: m6g, c6gd, not g4dn.
  arm = { for name, pool in var.node_pools : name => can(regex("^[a-z]+[0-9]+g", pool.instance_types[0])) }

  labels = {
    for name, pool in var.node_pools : name => merge(
      pool.labels,
      { "ray-platform/pool" = name },
      pool.ray_workers ? { "ray-platform/ray-worker" = "true" } : {},
      pool.gpu ? { "nvidia.com/gpu.present" = "true" } : {},
    )
  }

  # The cluster autoscaler's spelling of the effects.
  effects = {
    NO_SCHEDULE        = "NoSchedule"
    NO_EXECUTE         = "NoExecute"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
  }
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "node" {
  name               = "${var.name}-node"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy_attachment" "node" {
  for_each = toset(["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryReadOnly"])

  role       = aws_iam_role.node.name
  policy_arn = "arn:aws:iam::aws:policy/${each.key}"
}

resource "aws_launch_template" "this" {
  for_each = var.node_pools

  name                   = "${var.name}-${each.key}"
  update_default_version = true

  # IMDSv2 only, and out of reach of pods: they have roles of their own.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = each.value.volume_gib
      encrypted             = true
      delete_on_termination = true
    }
  }

  # Default tags do not reach what an autoscaling group starts. The commit is left out: it would make
  # a new version, and so new nodes, at each commit.
  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume"])

    content {
      resource_type = tag_specifications.key
      tags = merge(var.instance_tags, {
        Name                = "${var.name}-${each.key}"
        "ray-platform-pool" = each.key
      })
    }
  }
}

resource "aws_eks_node_group" "this" {
  for_each = var.node_pools

  cluster_name    = var.cluster_name
  node_group_name = each.key
  node_role_arn   = aws_iam_role.node.arn
  subnet_ids      = var.subnet_ids
  version         = var.kubernetes_version
  instance_types  = each.value.instance_types
  capacity_type   = each.value.capacity_type
  ami_type        = each.value.gpu ? "AL2023_x86_64_NVIDIA" : local.arm[each.key] ? "AL2023_ARM_64_STANDARD" : "AL2023_x86_64_STANDARD"
  labels          = local.labels[each.key]

  scaling_config {
    min_size     = each.value.min_size
    max_size     = each.value.max_size
    desired_size = coalesce(each.value.desired_size, each.value.min_size)
  }

  update_config {
    max_unavailable = 1
  }

  launch_template {
    id      = aws_launch_template.this[each.key].id
    version = aws_launch_template.this[each.key].latest_version
  }

  dynamic "taint" {
    for_each = each.value.taints

    content {
      key    = taint.value.key
      value  = taint.value.value
      effect = taint.value.effect
    }
  }

  tags = {
    "ray-platform-pool"                             = each.key
    "k8s.io/cluster-autoscaler/enabled"             = "true"
    "k8s.io/cluster-autoscaler/${var.cluster_name}" = "owned"
  }

  # The number of nodes is the autoscaler's.
  lifecycle {
    ignore_changes = [scaling_config[0].desired_size]
  }

  depends_on = [aws_iam_role_policy_attachment.node]
}
