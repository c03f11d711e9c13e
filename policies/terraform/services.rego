# The platform's own services: the database is private and kept, Redis lets nobody in without TLS and a user.
package terraform

import rego.v1

database_public := [v |
	some r in of("aws_db_instance")
	not r.change.after.publicly_accessible == false
	v := violation("database-public", r.address, sprintf(
		"publicly_accessible is %s",
		[told(r.change.after, unknown(r), "publicly_accessible")],
	))
]

database_kept := array.concat(
	[v |
		some r in of("aws_db_instance")
		not r.change.after.backup_retention_period > 0
		v := violation("database-kept", r.address, sprintf(
			"backup_retention_period is %s",
			[told(r.change.after, unknown(r), "backup_retention_period")],
		))
	],
	[v |
		some r in of("aws_db_instance")
		not is_on(r.change.after.manage_master_user_password)
		v := violation("database-kept", r.address, "manage_master_user_password is not on: the password is in the state")
	],
)

cache_closed := array.concat(
	[v |
		some r in of("aws_elasticache_replication_group")
		not is_on(r.change.after.transit_encryption_enabled)
		v := violation("cache-closed", r.address, sprintf(
			"transit_encryption_enabled is %s",
			[told(r.change.after, unknown(r), "transit_encryption_enabled")],
		))
	],
	array.concat(
		[v |
			some r in of("aws_elasticache_replication_group")
			r.change.after.transit_encryption_mode == "preferred"
			v := violation("cache-closed", r.address, "transit_encryption_mode is preferred: it also answers without TLS")
		],
		[v |
			some r in of("aws_elasticache_replication_group")
			not has_users(r)
			v := violation("cache-closed", r.address, "user_group_ids names no user group, so everybody in the network may enter")
		],
	),
)

has_users(r) if count(r.change.after.user_group_ids) > 0

has_users(r) if unknown(r).user_group_ids == true
