package terraform_test

import data.terraform
import rego.v1

test_database_public__allowed_inside_the_network if {
	allowed("database-public") with input as plan([])
}

test_database_public__denied_with_a_public_address if {
	denied("database-public") with input as plan(set_to("/database/change/after/publicly_accessible", true))
}

test_database_public__denied_when_it_is_not_said if {
	denied("database-public") with input as plan(removed("/database/change/after/publicly_accessible"))
}

test_database_kept__allowed_with_backups_and_a_password_of_its_own if {
	allowed("database-kept") with input as plan([])
}

test_database_kept__denied_without_backups if {
	denied("database-kept") with input as plan(set_to("/database/change/after/backup_retention_period", 0))
}

test_database_kept__denied_with_a_password_in_the_state if {
	denied("database-kept") with input as plan(set_to("/database/change/after/manage_master_user_password", null))
}

test_cache_closed__allowed_with_tls_and_users if {
	allowed("cache-closed") with input as plan([])
}

test_cache_closed__denied_without_tls if {
	denied("cache-closed") with input as plan(set_to("/cache/change/after/transit_encryption_enabled", false))
}

test_cache_closed__denied_when_it_answers_without_tls_too if {
	denied("cache-closed") with input as plan(set_to("/cache/change/after/transit_encryption_mode", "preferred"))
}

test_cache_closed__denied_without_users if {
	denied("cache-closed") with input as plan(removed("/cache/change/after_unknown/user_group_ids"))
}

test_volume_encryption__denied_for_a_database if {
	denied("volume-encryption") with input as plan(set_to("/database/change/after/storage_encrypted", false))
}

test_volume_encryption__denied_for_a_cache if {
	denied("volume-encryption") with input as plan(set_to("/cache/change/after/at_rest_encryption_enabled", "false"))
}

test_log_encryption__denied_when_a_database_s_log_group_is_not_in_the_plan if {
	denied("log-encryption") with input as plan(set_to("/database/change/after/enabled_cloudwatch_logs_exports", ["postgresql", "audit"]))
}

test_deletion__denied_for_a_database if {
	denied("deletion") with input as plan(set_to("/database/change/actions", ["delete", "create"]))
}

test_database_public__denied_for_an_instance_of_aurora if {
	denied("database-public") with input as plan(plain("aws_rds_cluster_instance", {"publicly_accessible": true}))
}

test_database_public__allowed_for_an_instance_of_aurora_that_says_nothing if {
	allowed("database-public") with input as plan(added("/plain", object.union(resource("aws_rds_cluster_instance", "a", {}, {"publicly_accessible": true}), {"facts": {"configured": []}})))
}

test_database_kept__denied_for_aurora_without_backups if {
	denied("database-kept") with input as plan(plain("aws_rds_cluster", {"storage_encrypted": true, "manage_master_user_password": true, "backup_retention_period": 0}))
}

test_database_kept__denied_for_documentdb_with_a_password_in_the_state if {
	denied("database-kept") with input as plan(plain("aws_docdb_cluster", {"storage_encrypted": true, "backup_retention_period": 7}))
}

test_volume_encryption__denied_for_aurora if {
	denied("volume-encryption") with input as plan(plain("aws_rds_cluster", {"storage_encrypted": false}))
}

test_volume_encryption__denied_for_redshift if {
	denied("volume-encryption") with input as plan(plain("aws_redshift_cluster", {"encrypted": "false"}))
}

test_cache_closed__denied_for_a_plain_cluster if {
	denied("cache-closed") with input as plan(plain("aws_elasticache_cluster", {"engine": "redis"}))
}

test_cache_closed__allowed_for_a_member_of_a_replication_group if {
	allowed("cache-closed") with input as plan(plain("aws_elasticache_cluster", {"replication_group_id": "g"}))
}

test_cache_closed__denied_for_an_open_memorydb if {
	denied("cache-closed") with input as plan(plain("aws_memorydb_cluster", {"tls_enabled": true, "acl_name": "open-access"}))
}

closed_search := {
	"vpc_options": [{"subnet_ids": ["s"]}], "encrypt_at_rest": [{"enabled": true}],
	"node_to_node_encryption": [{"enabled": true}], "domain_endpoint_options": [{"enforce_https": true}],
}

test_search_closed__allowed_in_the_vpc_with_tls if {
	allowed("search-closed") with input as plan(plain("aws_opensearch_domain", closed_search))
}

test_search_closed__denied_outside_of_the_vpc if {
	denied("search-closed") with input as plan(plain("aws_opensearch_domain", object.union(closed_search, {"vpc_options": []})))
}

test_search_closed__denied_without_tls if {
	denied("search-closed") with input as plan(plain("aws_opensearch_domain", object.union(closed_search, {"domain_endpoint_options": [{"enforce_https": false}]})))
}
