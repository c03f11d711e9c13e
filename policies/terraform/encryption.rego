# Encryption at rest: volumes, buckets, Kubernetes secrets, logs.
package terraform

import rego.v1

volume_encryption := array.concat(
	array.concat(template_volumes, instance_volumes),
	array.concat(
		[v |
			some type
			switch := settings.encryption_switches[type]
			some r in of(type)
			not is_encrypted(r, switch)
			v := violation("volume-encryption", r.address, sprintf(
				"%s is %s",
				[switch, told(r.change.after, unknown(r), switch)],
			))
		],
		[v |
			some node in untold_nodes
			v := violation("volume-encryption", node.address, sprintf(
				"launch_template is %v, not one of this plan, so nothing encrypts the volumes",
				[node.template],
			))
		],
	),
)

is_encrypted(r, switch) if is_on(at(r.change.after, switch))

template_volumes := array.concat(
	[v |
		some r in of("aws_launch_template")
		not maps_root(r)
		v := violation("volume-encryption", r.address, sprintf(
			"block_device_mappings names no root volume (%s), so the image decides",
			[listed(settings.root_devices)],
		))
	],
	[v |
		some r in of("aws_launch_template")
		some i
		mapping := r.change.after.block_device_mappings[i]
		is_volume(mapping)
		not encrypts(first(mapping, "ebs"))
		v := violation("volume-encryption", r.address, sprintf("block_device_mappings %v: ebs.encrypted is %s", [
			object.get(mapping, "device_name", i),
			told(
				first(mapping, "ebs"),
				first(nth(unknown(r), "block_device_mappings", i), "ebs"),
				"encrypted",
			),
		]))
	],
)

maps_root(r) if {
	some mapping in r.change.after.block_device_mappings
	mapping.device_name in settings.root_devices
	not is_left_out(mapping)
}

is_left_out(mapping) if is_text(at(mapping, "no_device"))

encrypts(block) if is_on(at(block, "encrypted"))

is_volume(mapping) if {
	not is_left_out(mapping)
	not is_virtual(mapping)
}

is_virtual(mapping) if is_text(at(mapping, "virtual_name"))

instance_volumes := array.concat(
	[v |
		some r in of("aws_instance")
		not encrypts(first(r.change.after, "root_block_device"))
		v := violation("volume-encryption", r.address, sprintf(
			"root_block_device.encrypted is %s",
			[told(first(r.change.after, "root_block_device"), unknown(r), "root_block_device")],
		))
	],
	[v |
		some r in of("aws_instance")
		some device in r.change.after.ebs_block_device
		not encrypts(device)
		v := violation("volume-encryption", r.address, sprintf(
			"ebs_block_device %v: encrypted is %s",
			[object.get(device, "device_name", "?"), told(device, {}, "encrypted")],
		))
	],
)

# Whether `r` is the part of `bucket`: by the bucket's name, or, while that is unknown, by the reference to
# it in the configuration. Only a plan without a configuration is judged by names in it.
belongs(r, bucket) if {
	name := at(r.change.after, "bucket")
	is_text(name)
	name in {at(bucket.change.after, "bucket"), at(bucket.change.after, "id")}
}

belongs(r, bucket) if {
	not names_bucket(r)
	referred(r, "bucket") == [bucket.address]
}

belongs(r, bucket) if {
	not names_bucket(r)
	fact(r, "configured") == null
	replace(r.address, concat("", [r.type, "."]), "aws_s3_bucket.") == bucket.address
}

# The resources of a type that may be a bucket's; `input.by_bucket` (name or address of a bucket -> numbers), where it
# is given, saves comparing each bucket with each block.
candidates(bucket, type) := [r |
	some name in {bucket.address, at(bucket.change.after, "bucket"), at(bucket.change.after, "id")}
	some number in object.get(input.by_bucket, name, [])
	r := input.resource_changes[number]
	r.type == type
] if {
	input.by_bucket
} else := of(type)

names_bucket(r) if is_text(at(r.change.after, "bucket"))

bucket_encryption := [v |
	some bucket in of("aws_s3_bucket")
	algorithms := {algorithm |
		some r in candidates(bucket, "aws_s3_bucket_server_side_encryption_configuration")
		belongs(r, bucket)
		some rule in r.change.after.rule
		algorithm := object.get(
			first(rule, "apply_server_side_encryption_by_default"),
			"sse_algorithm", "unknown until apply",
		)
	}
	not all_accepted(algorithms)
	v := violation("bucket-encryption", bucket.address, sprintf("its encryption is %s", [told_set(algorithms)]))
]

all_accepted(algorithms) if {
	count(algorithms) > 0
	count(algorithms - {algorithm | some algorithm in settings.bucket_encryption}) == 0
}

told_set(values) := "not set" if {
	count(values) == 0
} else := listed(sort([sprintf("%v", [value]) | some value in values]))

secret_encryption := [v |
	some r in of("aws_eks_cluster")
	not encrypts_secrets(r)
	v := violation("secret-encryption", r.address, sprintf(
		"encryption_config is %s",
		[told(r.change.after, unknown(r), "encryption_config")],
	))
]

encrypts_secrets(r) if {
	some i
	block := r.change.after.encryption_config[i]
	"secrets" in block.resources
	has_key(block, nth(unknown(r), "encryption_config", i))
}

has_key(block, _) if is_text(at(first(block, "provider"), "key_arn"))

has_key(_, hidden) if is_unknown(first(hidden, "provider"), "key_arn")

log_encryption := array.concat(
	[v |
		some r in of("aws_cloudwatch_log_group")
		not has_log_key(r)
		v := violation("log-encryption", r.address, "kms_key_id is not set")
	],
	array.concat(
		[v |
			some r in of("aws_eks_cluster")
			has_items(at(r.change.after, "enabled_cluster_log_types"))
			name := sprintf("/aws/eks/%s/cluster", [object.get(r.change.after, "name", "?")])
			not has_log_group(name)
			v := violation("log-encryption", r.address, sprintf(
				"the control plane logs to %s, which is not in the plan: EKS makes it without a key",
				[name],
			))
		],
		[v |
			some r in of("aws_db_instance")
			some log in r.change.after.enabled_cloudwatch_logs_exports
			name := sprintf("/aws/rds/instance/%s/%s", [object.get(r.change.after, "identifier", "?"), log])
			not has_log_group(name)
			v := violation("log-encryption", r.address, sprintf(
				"the database logs to %s, which is not in the plan: RDS makes it without a key",
				[name],
			))
		],
	),
)

has_log_key(r) if is_text(at(r.change.after, "kms_key_id"))

has_log_key(r) if is_unknown(unknown(r), "kms_key_id")

log_group_names := {name |
	some r in of("aws_cloudwatch_log_group")
	name := r.change.after.name
}

unnamed_log_groups := [r |
	some r in of("aws_cloudwatch_log_group")
	unknown(r).name == true
]

has_log_group(name) if name in log_group_names

has_log_group(_) if count(unnamed_log_groups) > 0
