# How many nodes there may be, of which types, and how a GPU pool behaves.
package terraform

import rego.v1

families(types) := {split(type, ".")[0] | some type in types}

is_gpu(types) if {
	some family in families(types)
	family in settings.gpu_families
}

# A pool of mixed types counts against both limits: its nodes may all become either.
is_cpu(types) if {
	some family in families(types)
	not is_gpu_family(family)
}

is_gpu_family(family) if family in settings.gpu_families

is_cpu(types) if count(types) == 0

group_types(r) := [type |
	some type in r.change.after.instance_types
	is_string(type)
]

pools := [pool |
	some r in of("aws_eks_node_group")
	pool := {
		"address": r.address,
		"types": group_types(r),
		"scaling": first(r.change.after, "scaling_config"),
		"largest": number(at(first(r.change.after, "scaling_config"), "max_size")),
		"unknown": first(unknown(r), "scaling_config"),
		"taints": [taint | some taint in r.change.after.taint],
	}
]

gpu_pools := [pool |
	some pool in pools
	is_gpu(pool.types)
]

# An instance outside of any pool is a node of its own.
lone_instances := [pool |
	some r in of("aws_instance")
	pool := {
		"address": r.address,
		"types": [type | type := r.change.after.instance_type; is_string(type)],
		"scaling": {"max_size": 1},
		"largest": 1,
		"unknown": {},
	}
]

cpu_counted := [pool |
	some pool in array.concat(pools, lone_instances)
	is_cpu(pool.types)
]

gpu_counted := [pool |
	some pool in array.concat(pools, lone_instances)
	is_gpu(pool.types)
]

cpu_nodes := over_limit("cpu-nodes", cpu_counted, settings.max_cpu_nodes)

gpu_nodes := over_limit("gpu-nodes", gpu_counted, settings.max_gpu_nodes)

over_limit(id, counted, limit) := array.concat(
	[v |
		some pool in counted
		pool.largest == null
		v := violation(id, pool.address, sprintf(
			"scaling_config.max_size is %s",
			[told(pool.scaling, pool.unknown, "max_size")],
		))
	],
	[v |
		sized := [pool |
			some pool in counted
			is_number(pool.largest)
			pool.largest > 0
		]
		total := sum([pool.largest | some pool in sized])
		total > limit
		most := max([pool.largest | some pool in sized])
		largest := sort([pool.address | some pool in sized; pool.largest == most])
		parts := sort([sprintf("%s: %d", [pool.address, pool.largest]) | some pool in sized])
		v := violation(id, largest[0], sprintf(
			"max_size sums to %d over %d pools (%s); at most %d are allowed in %s",
			[total, count(sized), listed(array.slice(parts, 0, 10)), limit, environment],
		))
	],
)

instance_type := array.concat(
	array.concat(
		[v |
			some r in of("aws_eks_node_group")
			not all_types_told(r)
			v := violation("instance-type", r.address, sprintf(
				"instance_types is %s",
				[told(r.change.after, unknown(r), "instance_types")],
			))
		],
		[v |
			some r in of("aws_eks_node_group")
			some type in group_types(r)
			not is_accepted(type)
			v := violation("instance-type", r.address, sprintf("instance_types has %s", [type]))
		],
	),
	array.concat(
		[v |
			some r in array.concat(
				of("aws_instance"),
				[r | some r in of("aws_launch_template"); sets_type(r)],
			)
			not is_accepted(at(r.change.after, "instance_type"))
			v := violation("instance-type", r.address, sprintf(
				"instance_type is %s",
				[told(r.change.after, unknown(r), "instance_type")],
			))
		],
		[v |
			some r in of("aws_launch_template")
			chooses_by_attribute(r)
			v := violation(
				"instance-type", r.address,
				"instance_requirements lets AWS choose types by their attributes",
			)
		],
	),
)

all_types_told(r) if {
	types := at(r.change.after, "instance_types")
	has_items(types)
	count(types) == count(group_types(r))
}

is_accepted(type) if type in settings.instance_types

# The provider reads an unset type back as an empty text.
sets_type(r) if is_text(at(r.change.after, "instance_type"))

sets_type(r) if is_unknown(unknown(r), "instance_type")

chooses_by_attribute(r) if has_items(at(r.change.after, "instance_requirements"))

chooses_by_attribute(r) if is_unknown(unknown(r), "instance_requirements")

node_kind := array.concat(
	[v |
		some kind in settings.refused_node_kinds
		some r in of(kind)
		v := violation("node-kind", r.address, sprintf("%s makes nodes outside of the node pools", [r.type]))
	],
	[v |
		some r in of("aws_eks_cluster")
		runs_auto_mode(r)
		v := violation("node-kind", r.address, sprintf(
			"compute_config.enabled (EKS Auto Mode) is %s",
			[told(first(r.change.after, "compute_config"), first(unknown(r), "compute_config"), "enabled")],
		))
	],
)

runs_auto_mode(r) if is_on(at(first(r.change.after, "compute_config"), "enabled"))

runs_auto_mode(r) if is_unknown(first(unknown(r), "compute_config"), "enabled")

runs_auto_mode(r) if is_unknown(unknown(r), "compute_config")

gpu_taint := [v |
	some pool in gpu_pools
	not is_tainted(pool)
	v := violation("gpu-taint", pool.address, sprintf(
		"the pool of %s has no taint %s that keeps other pods away (taints: %v)",
		[listed(pool.types), listed(settings.gpu_taint_keys), pool.taints],
	))
]

is_tainted(pool) if {
	some taint in pool.taints
	taint.key in settings.gpu_taint_keys
	taint.effect in {"NO_SCHEDULE", "NO_EXECUTE"}
}

gpu_scale_to_zero := [v |
	some pool in gpu_pools
	number(at(pool.scaling, "min_size")) != 0
	v := violation("gpu-scale-to-zero", pool.address, sprintf(
		"scaling_config.min_size of the pool of %s is %s",
		[listed(pool.types), told(pool.scaling, pool.unknown, "min_size")],
	))
]
