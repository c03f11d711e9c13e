# What is better otherwise, and stops nothing.
package terraform

import rego.v1

wide_policy := [v |
	some item in allowing("identity")
	item.statement.every_resource == true
	escalates(item.statement) == ""
	count(item.statement.services) > 0
	v := advise("wide-policy", item.address, sprintf(
		"%s allows every action of %s on every resource",
		[item.place, listed(item.statement.services)],
	))
]

file_systems := {
	"aws_fsx_lustre_file_system", "aws_fsx_ontap_file_system", "aws_fsx_openzfs_file_system",
	"aws_fsx_windows_file_system",
}

# They are always encrypted, but by AWS' own key unless one is named.
storage_key := [v |
	some r in of_types(file_systems)
	not has_own_key(r)
	v := advise("storage-key", r.address, "kms_key_id is not set: nobody here can see or revoke who reads it")
]

has_own_key(r) if is_text(at(r.change.after, "kms_key_id"))

has_own_key(r) if may_be_set(r, "kms_key_id")

backups := [v |
	some type
	attributes := kept_days[type]
	some r in of(type)
	some attribute in attributes
	days := number(at(r.change.after, attribute))
	days in {0, null}
	not is_unknown(unknown(r), attribute)
	v := advise("backups", r.address, sprintf("%s is %s", [attribute, told(r.change.after, unknown(r), attribute)]))
]

kept_days := {
	"aws_elasticache_replication_group": ["snapshot_retention_limit"],
	"aws_fsx_windows_file_system": ["automatic_backup_retention_days"],
	"aws_memorydb_cluster": ["snapshot_retention_limit"],
}

default_network := [v |
	some r in of("aws_default_vpc")
	v := advise("default-network", r.address, "all of the account's regions share its address range, and its subnets are public")
]
