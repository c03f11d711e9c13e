# Nothing is reachable from the internet that need not be.
package terraform

import rego.v1

public_endpoint := [v |
	some r in of("aws_eks_cluster")
	not first(r.change.after, "vpc_config").endpoint_public_access == false
	v := violation("public-endpoint", r.address, sprintf(
		"vpc_config.endpoint_public_access is %s",
		[told(
			first(r.change.after, "vpc_config"),
			first(unknown(r), "vpc_config"),
			"endpoint_public_access",
		)],
	))
]

public_node := array.concat(
	array.concat(public_addresses, public_groups),
	array.concat(
		[v |
			some r in of("aws_eip")
			is_text(r.change.after.instance)
			v := violation("public-node", r.address, sprintf("it belongs to instance %s", [r.change.after.instance]))
		],
		[v |
			some r in of("aws_eip_association")
			v := violation("public-node", r.address, sprintf(
				"it gives a public address to %s",
				[told(r.change.after, unknown(r), "instance_id")],
			))
		],
	),
)

public_addresses := array.concat(
	array.concat(
		[v |
			some r in of("aws_subnet")
			not object.get(r.change.after, "map_public_ip_on_launch", true) in {false, null}
			v := violation("public-node", r.address, sprintf(
				"map_public_ip_on_launch is %s",
				[told(r.change.after, unknown(r), "map_public_ip_on_launch")],
			))
		],
		[v |
			some r in of("aws_instance")
			not object.get(r.change.after, "associate_public_ip_address", null) == false
			v := violation("public-node", r.address, sprintf(
				"associate_public_ip_address is %s",
				[told(r.change.after, unknown(r), "associate_public_ip_address")],
			))
		],
	),
	[v |
		some r in of("aws_launch_template")
		some i
		interface := r.change.after.network_interfaces[i]
		hidden := nth(unknown(r), "network_interfaces", i)
		gives_address(interface, hidden)
		v := violation("public-node", r.address, sprintf(
			"network_interfaces.associate_public_ip_address is %s",
			[told(interface, hidden, "associate_public_ip_address")],
		))
	],
)

gives_address(interface, _) if is_on(interface.associate_public_ip_address)

gives_address(_, hidden) if hidden.associate_public_ip_address == true

# Subnets whose route to everywhere leads to an internet gateway. Decidable once their ids are known,
# so on every plan but the first.
public_tables := {id |
	some r in of("aws_route_table")
	some route in r.change.after.route
	is_internet(route)
	id := r.change.after.id
} | {id |
	some r in of("aws_route")
	is_internet(r.change.after)
	id := r.change.after.route_table_id
}

is_internet(route) if startswith(route.gateway_id, "igw-")

public_subnets := {id |
	some r in of("aws_route_table_association")
	r.change.after.route_table_id in public_tables
	id := r.change.after.subnet_id
}

public_groups := array.concat(
	[v |
		some r in of("aws_eks_node_group")
		some subnet in r.change.after.subnet_ids
		subnet in public_subnets
		v := violation("public-node", r.address, sprintf("subnet_ids has the public subnet %s", [subnet]))
	],
	[v |
		some r in of("aws_eks_node_group")
		some i
		access := r.change.after.remote_access[i]
		not limits_sources(access, nth(unknown(r), "remote_access", i))
		v := violation(
			"public-node", r.address,
			"remote_access without source_security_group_ids opens SSH to the internet",
		)
	],
)

limits_sources(access, _) if count(access.source_security_group_ids) > 0

limits_sources(_, hidden) if hidden.source_security_group_ids == true

bucket_public := [v |
	some bucket in of("aws_s3_bucket")
	blocks := [r |
		some r in of("aws_s3_bucket_public_access_block")
		belongs(r, bucket)
	]
	open := [switch |
		some switch in [
			"block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets",
		]
		not all_on(blocks, switch)
	]
	count(open) > 0
	v := violation("bucket-public", bucket.address, sprintf(
		"%d public access blocks; not switched on: %s",
		[count(blocks), listed(open)],
	))
]

all_on(blocks, switch) if {
	count(blocks) > 0
	every r in blocks {
		r.change.after[switch] == true
	}
}
