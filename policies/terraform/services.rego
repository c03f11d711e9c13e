# Services that hold state: databases are private and kept, caches and search let nobody in without TLS and a user.
package terraform

import rego.v1

# Type -> the attribute that gives it a public address.
public_switches := {
	"aws_db_instance": "publicly_accessible",
	"aws_rds_cluster_instance": "publicly_accessible",
	"aws_redshift_cluster": "publicly_accessible",
	"aws_redshiftserverless_workgroup": "publicly_accessible",
	"aws_neptune_cluster_instance": "publicly_accessible",
	"aws_dms_replication_instance": "publicly_accessible",
	"aws_mq_broker": "publicly_accessible",
}

# The provider leaves an attribute unknown that the configuration does not set; these are private then.
private_by_default := {"aws_neptune_cluster_instance", "aws_redshiftserverless_workgroup", "aws_mq_broker", "aws_rds_cluster_instance"}

database_public := [v |
	some type
	switch := public_switches[type]
	some r in of(type)
	at(r.change.after, switch) != false
	not is_left_private(r, switch)
	v := violation("database-public", r.address, sprintf("%s is %s", [switch, told(r.change.after, unknown(r), switch)]))
]

is_left_private(r, switch) if {
	r.type in private_by_default
	at(r.change.after, switch) == null
	not may_be_set(r, switch)
}

database_kept := array.concat(
	[v |
		some type
		attribute := kept_attributes[type]
		some r in of(type)
		not is_kept(at(r.change.after, attribute))
		v := violation("database-kept", r.address, sprintf("%s is %s", [attribute, told(r.change.after, unknown(r), attribute)]))
	],
	[v |
		some type
		attribute := password_switches[type]
		some r in of(type)
		not keeps_password(r, attribute)
		v := violation("database-kept", r.address, sprintf("%s is not on: the password is in the state", [attribute]))
	],
)

is_kept(days) if {
	found := number(days)
	is_number(found)
	found > 0
}

keeps_password(r, attribute) if is_on(at(r.change.after, attribute))

# The other members of a global cluster, and copies of another database, have no password of their own.
keeps_password(r, _) if is_text(at(r.change.after, "replication_source_identifier"))

keeps_password(r, _) if is_text(at(r.change.after, "replicate_source_db"))

kept_attributes := {
	"aws_db_instance": "backup_retention_period",
	"aws_rds_cluster": "backup_retention_period",
	"aws_docdb_cluster": "backup_retention_period",
	"aws_neptune_cluster": "backup_retention_period",
	"aws_redshift_cluster": "automated_snapshot_retention_period",
}

password_switches := {
	"aws_db_instance": "manage_master_user_password",
	"aws_rds_cluster": "manage_master_user_password",
	"aws_docdb_cluster": "manage_master_user_password",
	"aws_redshift_cluster": "manage_master_password",
	"aws_redshiftserverless_namespace": "manage_admin_password",
}

cache_closed := array.concat(
	array.concat(
		[v |
			some r in of("aws_elasticache_replication_group")
			not is_encrypted(r, "transit_encryption_enabled")
			v := violation("cache-closed", r.address, sprintf(
				"transit_encryption_enabled is %s",
				[told(r.change.after, unknown(r), "transit_encryption_enabled")],
			))
		],
		[v |
			some r in of("aws_elasticache_replication_group")
			at(r.change.after, "transit_encryption_mode") == "preferred"
			v := violation("cache-closed", r.address, "transit_encryption_mode is preferred: it also answers without TLS")
		],
	),
	array.concat(
		[v |
			some r in array.concat(of("aws_elasticache_replication_group"), of("aws_elasticache_serverless_cache"))
			not has_users(r)
			v := violation("cache-closed", r.address, "it names no user group, so everybody in the network may enter")
		],
		array.concat(plain_caches, memory_databases),
	),
)

has_users(r) if has_items(at(r.change.after, "user_group_ids"))

has_users(r) if is_unknown(unknown(r), "user_group_ids")

has_users(r) if is_text(at(r.change.after, "user_group_id"))

has_users(r) if is_unknown(unknown(r), "user_group_id")

# A cluster without a replication group has neither users nor encryption at rest.
plain_caches := [v |
	some r in of("aws_elasticache_cluster")
	not is_member(r)
	v := violation("cache-closed", r.address, sprintf(
		"it is a plain cluster (engine %s), which knows no users and does not encrypt its storage",
		[told(r.change.after, unknown(r), "engine")],
	))
]

is_member(r) if is_text(at(r.change.after, "replication_group_id"))

is_member(r) if {
	is_unknown(unknown(r), "replication_group_id")
	count(referred(r, "replication_group_id")) > 0
}

memory_databases := array.concat(
	[v |
		some r in of("aws_memorydb_cluster")
		at(r.change.after, "tls_enabled") == false
		v := violation("cache-closed", r.address, "tls_enabled is false")
	],
	[v |
		some r in of("aws_memorydb_cluster")
		at(r.change.after, "acl_name") == "open-access"
		v := violation("cache-closed", r.address, "acl_name is open-access, so everybody in the network may enter")
	],
)

search_types := ["aws_opensearch_domain", "aws_elasticsearch_domain"]

search_switches := {
	"encrypt_at_rest": "enabled",
	"node_to_node_encryption": "enabled",
	"domain_endpoint_options": "enforce_https",
}

search_closed := array.concat(
	[v |
		some type in search_types
		some r in of(type)
		some block
		key := search_switches[block]
		not is_switched_on(r, block, key)
		v := violation("search-closed", r.address, sprintf("%s.%s is not on", [block, key]))
	],
	[v |
		some type in search_types
		some r in of(type)
		not is_in_vpc(r)
		v := violation("search-closed", r.address, "it has no vpc_options, so its endpoint is public")
	],
)

is_switched_on(r, block, key) if is_on(at(first(r.change.after, block), key))

is_in_vpc(r) if has_items(at(r.change.after, "vpc_options"))
