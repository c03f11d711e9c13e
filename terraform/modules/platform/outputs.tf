output "database" {
  description = "Dagster's database: host, port, user, name, the secret that holds its password, and the role that may read that; null where there is none."
  value = one([for database in aws_db_instance.database : {
    host             = database.address
    port             = database.port
    user             = database.username
    name             = database.db_name
    secret_arn       = database.master_user_secret[0].secret_arn
    secrets_role_arn = aws_iam_role.secrets[0].arn
  }])
}

output "redis" {
  description = "Redis of Ray's control store: host, port, and the group whose users may enter; null where there is none."
  value = one([for redis in aws_elasticache_replication_group.redis : {
    host          = redis.primary_endpoint_address
    port          = redis.port
    user_group_id = aws_elasticache_user_group.redis[0].user_group_id
  }])
}
