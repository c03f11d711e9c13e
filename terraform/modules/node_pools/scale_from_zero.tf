# Of a pool without a node the cluster autoscaler knows only what the tags of its group say
# (node-template). EKS itself sets the two discovery tags on the group.

locals {
  template_tags = merge([
    for name, pool in var.node_pools : merge(
      {
        for key, value in local.labels[name] :
        "${name}|label/${key}" => { pool = name, key = "label/${key}", value = value }
      },
      {
        for taint in pool.taints :
        "${name}|taint/${taint.key}" => {
          pool  = name
          key   = "taint/${taint.key}"
          value = "${taint.value}:${local.effects[taint.effect]}"
        }
      },
      pool.gpu ? { "${name}|gpu" = { pool = name, key = "resources/nvidia.com/gpu", value = "1" } } : {},
    ) if pool.min_size == 0
  ]...)
}

resource "aws_autoscaling_group_tag" "template" {
  for_each = local.template_tags

  autoscaling_group_name = aws_eks_node_group.this[each.value.pool].resources[0].autoscaling_groups[0].name

  tag {
    key                 = "k8s.io/cluster-autoscaler/node-template/${each.value.key}"
    value               = each.value.value
    propagate_at_launch = false
  }
}
