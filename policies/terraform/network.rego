# What reaches in from outside: ranges that stand for the world, and other accounts' networks and copies.
package terraform

import rego.v1

open_security_group := [v |
	some r in with_fact("open_to")
	some range in r.facts.open_to
	v := violation("open-security-group", r.address, sprintf("it is open to %s", [range]))
]

foreign_peering := array.concat(
	[v |
		some r in with_fact("principals")
		r.type in {
			"aws_vpc_peering_connection", "aws_ec2_transit_gateway_peering_attachment",
			"aws_vpc_endpoint_service", "aws_vpc_endpoint_service_allowed_principal",
		}
		some named in r.facts.principals
		named.whose in {"everyone", "foreign", "unknown"}
		v := violation("foreign-peering", r.address, sprintf("%s is %s", [named.attribute, named.who]))
	],
	[v |
		some r in of_types({"aws_vpc_peering_connection_accepter", "aws_ec2_transit_gateway_peering_attachment_accepter"})
		not accepts_own(r)
		v := violation("foreign-peering", r.address, "it accepts a connection that this plan does not make")
	],
)

accepts_own(r) if {
	some attribute in ["vpc_peering_connection_id", "transit_gateway_attachment_id"]
	some address in referred(r, attribute)
	contains(address, "peering")
}

foreign_share := array.concat(
	[v |
		some r in with_fact("principals")
		r.type in {
			"aws_ami_launch_permission", "aws_db_cluster_snapshot", "aws_db_snapshot", "aws_ram_principal_association",
			"aws_redshift_endpoint_authorization", "aws_snapshot_create_volume_permission",
		}
		some named in r.facts.principals
		named.whose in {"everyone", "foreign", "unknown"}
		v := violation("foreign-share", r.address, sprintf("%s is %s", [named.attribute, named.who]))
	],
	array.concat(
		[v |
			some r in of("aws_ami_launch_permission")
			at(r.change.after, "group") == "all"
			v := violation("foreign-share", r.address, "group is all: everybody may start the image")
		],
		[v |
			some r in of("aws_ram_resource_share")
			at(r.change.after, "allow_external_principals") != false
			v := violation("foreign-share", r.address, "allow_external_principals is not off")
		],
	),
)
