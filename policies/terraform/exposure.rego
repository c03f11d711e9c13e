# Nothing is reachable from the internet that need not be.
package terraform

import rego.v1

public_endpoint := array.concat(
	[v |
		some r in of("aws_eks_cluster")
		network := first(r.change.after, "vpc_config")
		at(network, "endpoint_public_access") != false
		v := violation("public-endpoint", r.address, sprintf(
			"vpc_config.endpoint_public_access is %s",
			[told(network, first(unknown(r), "vpc_config"), "endpoint_public_access")],
		))
	],
	[v |
		some r in of("aws_eks_cluster")
		network := first(r.change.after, "vpc_config")
		at(network, "endpoint_private_access") != true
		v := violation("public-endpoint", r.address, sprintf(
			"vpc_config.endpoint_private_access is %s",
			[told(network, first(unknown(r), "vpc_config"), "endpoint_private_access")],
		))
	],
)

public_node := array.concat(
	array.concat(public_addresses, public_groups),
	array.concat(array.concat(public_ipv6, template_ipv6), elastic_addresses),
)

# Only a gateway may hold an Elastic IP: it asks for one by itself.
elastic_addresses := array.concat(
	[v |
		some r in of("aws_eip")
		some attribute in ["instance", "network_interface"]
		holds_address(r, attribute)
		v := violation("public-node", r.address, sprintf(
			"%s is %s%s",
			[attribute, told(r.change.after, unknown(r), attribute), meaning(r, attribute)],
		))
	],
	[v |
		some r in of("aws_eip_association")
		v := violation("public-node", r.address, sprintf(
			"it gives a public address to %s",
			[told(r.change.after, unknown(r), "instance_id")],
		))
	],
)

holds_address(r, "instance") if is_text(at(r.change.after, "instance"))

holds_address(r, "instance") if may_be_set(r, "instance")

# AWS fills in the interface of the gateway that an address belongs to: only one that is asked for counts.
holds_address(r, "network_interface") if "network_interface" in r.facts.configured

meaning(r, attribute) := sprintf(" (%s)", [listed(found)]) if {
	found := referred(r, attribute)
	count(found) > 0
} else := ""

public_addresses := array.concat(
	array.concat(
		[v |
			some r in array.concat(of("aws_subnet"), of("aws_default_subnet"))
			gives_addresses(r)
			v := violation("public-node", r.address, sprintf(
				"map_public_ip_on_launch is %s",
				[told(r.change.after, unknown(r), "map_public_ip_on_launch")],
			))
		],
		[v |
			some r in of("aws_instance")
			at(r.change.after, "associate_public_ip_address") != false
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

gives_addresses(r) if not object.get(r.change.after, "map_public_ip_on_launch", true) in {false, null}

# AWS makes default subnets public; adopting one changes that only when it is said.
gives_addresses(r) if {
	r.type == "aws_default_subnet"
	at(r.change.after, "map_public_ip_on_launch") != false
}

gives_address(interface, _) if is_on(at(interface, "associate_public_ip_address"))

gives_address(_, hidden) if is_unknown(hidden, "associate_public_ip_address")

# An address of IPv6 is a public one: there is no NAT that hides it.
public_ipv6 := array.concat(
	[v |
		some r in array.concat(of("aws_subnet"), of("aws_default_subnet"))
		some attribute in ["assign_ipv6_address_on_creation", "ipv6_native"]
		is_on_or_unknown(r, attribute)
		v := violation("public-node", r.address, sprintf("%s is %s", [attribute, told(r.change.after, unknown(r), attribute)]))
	],
	[v |
		some r in of("aws_instance")
		some attribute in ["ipv6_address_count", "ipv6_addresses"]
		counts_addresses(r, attribute)
		v := violation("public-node", r.address, sprintf("%s is %s", [attribute, told(r.change.after, unknown(r), attribute)]))
	],
)

is_on_or_unknown(r, attribute) if is_on(at(r.change.after, attribute))

is_on_or_unknown(r, attribute) if is_unknown(unknown(r), attribute)

counts_addresses(r, attribute) if some_address(at(r.change.after, attribute))

counts_addresses(r, attribute) if may_be_set(r, attribute)

some_address(value) if has_items(value)

some_address(value) if {
	found := number(value)
	is_number(found)
	found > 0
}

template_ipv6 := [v |
	some r in of("aws_launch_template")
	some i
	interface := r.change.after.network_interfaces[i]
	hidden := nth(unknown(r), "network_interfaces", i)
	some attribute in ["ipv6_address_count", "ipv6_addresses", "ipv6_prefix_count", "ipv6_prefixes"]
	has_ipv6(interface, hidden, attribute)
	v := violation("public-node", r.address, sprintf(
		"network_interfaces.%s is %s",
		[attribute, told(interface, hidden, attribute)],
	))
]

has_ipv6(interface, _, attribute) if some_address(at(interface, attribute))

has_ipv6(_, hidden, attribute) if is_unknown(hidden, attribute)

# Subnets whose route to everywhere leads to an internet gateway: by their ids, or, on the first plan, by what
# the configuration refers to.
public_tables := {name |
	some r in of("aws_route_table")
	is_public_table(r)
	some name in [r.address, at(r.change.after, "id")]
	is_text(name)
} | {name |
	some r in of("aws_route")
	leads_out(r)
	some name in array.concat([at(r.change.after, "route_table_id")], referred(r, "route_table_id"))
	is_text(name)
}

is_gateway(id) if {
	is_string(id)
	startswith(id, "igw-")
}

is_public_table(r) if {
	some route in r.change.after.route
	is_gateway(at(route, "gateway_id"))
}

is_public_table(r) if {
	some address in referred(r, "route")
	contains(address, "aws_internet_gateway.")
}

leads_out(r) if is_gateway(at(r.change.after, "gateway_id"))

leads_out(r) if {
	some address in referred(r, "gateway_id")
	contains(address, "aws_internet_gateway.")
}

public_subnets := {name |
	some r in of("aws_route_table_association")
	some table in array.concat([at(r.change.after, "route_table_id")], referred(r, "route_table_id"))
	table in public_tables
	some name in array.concat([at(r.change.after, "subnet_id")], referred(r, "subnet_id"))
	is_text(name)
}

public_groups := array.concat(
	[v |
		some r in of("aws_eks_node_group")
		some subnet in array.concat(known_subnets(r), unknown_subnets(r))
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

known_subnets(r) := [subnet |
	some subnet in r.change.after.subnet_ids
	is_text(subnet)
]

unknown_subnets(r) := referred(r, "subnet_ids") if {
	count(known_subnets(r)) == 0
} else := []

limits_sources(access, _) if has_items(at(access, "source_security_group_ids"))

limits_sources(_, hidden) if is_unknown(hidden, "source_security_group_ids")

bucket_public := [v |
	some bucket in of("aws_s3_bucket")
	blocks := [r |
		some r in candidates(bucket, "aws_s3_bucket_public_access_block")
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
