resource "aws_elasticache_replication_group" "redis" {
  replication_group_id       = "redis"
  description                = "Redis in cluster mode"
  node_type                  = "cache.m6g.large"
  num_node_groups            = 4
  replicas_per_node_group    = 3
  automatic_failover_enabled = true
}

resource "aws_elasticache_replication_group" "plain" {
  replication_group_id = "plain"
  description          = "One primary, one replica"
  node_type            = "cache.t4g.small"
  num_cache_clusters   = 2
}
