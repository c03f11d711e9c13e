package terraform_test

import data.terraform
import rego.v1

test_public_node__allowed_in_a_private_subnet if {
	allowed("public-node") with input as plan([])
}

test_public_node__denied_when_a_subnet_gives_addresses if {
	denied("public-node") with input as plan(set_to("/subnet/change/after/map_public_ip_on_launch", true))
}

test_public_node__denied_when_it_is_unknown_whether_a_subnet_gives_addresses if {
	denied("public-node") with input as plan(hidden("subnet", "map_public_ip_on_launch", {"map_public_ip_on_launch": true}))
}

test_public_node__denied_in_a_subnet_whose_route_leads_to_the_internet if {
	denied("public-node") with input as plan(set_to("/gpu/change/after/subnet_ids", ["subnet-private", "subnet-public"]))
}

test_public_node__denied_in_a_subnet_whose_table_leads_to_the_internet if {
	denied("public-node") with input as plan(array.concat(removed("/route"), array.concat(set_to("/table/change/after/route", [{"gateway_id": "igw-2"}]), set_to("/gpu/change/after/subnet_ids", ["subnet-public"]))))
}

test_public_node__denied_when_a_launch_template_gives_addresses if {
	denied("public-node") with input as plan(set_to("/template/change/after/network_interfaces", [{"associate_public_ip_address": "true"}]))
}

test_public_node__denied_when_it_is_unknown_whether_a_launch_template_gives_addresses if {
	denied("public-node") with input as plan(array.concat(set_to("/template/change/after/network_interfaces", [{}]), added("/template/change/after_unknown/network_interfaces", [{"associate_public_ip_address": true}])))
}

test_public_node__denied_when_ssh_is_open_to_everybody if {
	denied("public-node") with input as plan(set_to("/cpu/change/after/remote_access", [{"ec2_ssh_key": "k", "source_security_group_ids": []}]))
}

test_public_node__allowed_when_ssh_is_open_to_one_security_group if {
	allowed("public-node") with input as plan(set_to("/cpu/change/after/remote_access", [{"ec2_ssh_key": "k", "source_security_group_ids": ["sg-1"]}]))
}

test_public_node__denied_for_an_instance_that_does_not_say if {
	denied("public-node") with input as plan(set_to("/instance/change/after/associate_public_ip_address", null))
}

test_public_node__denied_for_an_elastic_ip_of_an_instance if {
	denied("public-node") with input as plan(added("/eip", resource("aws_eip", "x", {"instance": "i-1"}, {})))
}

test_public_node__allowed_for_an_elastic_ip_of_a_gateway if {
	allowed("public-node") with input as plan(added("/eip", resource("aws_eip", "x", {"domain": "vpc"}, {"instance": true})))
}

test_public_node__denied_for_an_association_of_an_elastic_ip if {
	denied("public-node") with input as plan(added("/eip", resource("aws_eip_association", "x", {}, {"instance_id": true})))
}

test_public_endpoint__allowed_when_it_is_private if {
	allowed("public-endpoint") with input as plan([])
}

test_public_endpoint__denied_when_it_is_public if {
	denied("public-endpoint") with input as plan(set_to("/cluster/change/after/vpc_config/0/endpoint_public_access", true))
}

test_public_endpoint__denied_when_it_is_unknown if {
	denied("public-endpoint") with input as plan(hidden("cluster", "vpc_config/0/endpoint_public_access", {"vpc_config": [{"endpoint_public_access": true}]}))
}

test_public_endpoint__denied_when_nothing_is_said if {
	denied("public-endpoint") with input as plan(set_to("/cluster/change/after/vpc_config", []))
}

test_bucket_public__allowed_with_all_four_switches if {
	allowed("bucket-public") with input as plan([])
}

test_bucket_public__denied_without_a_block if {
	denied("bucket-public") with input as plan(removed("/bucket_block"))
}

test_bucket_public__denied_with_three_switches if {
	denied("bucket-public") with input as plan(set_to("/bucket_block/change/after/block_public_policy", false))
}

test_bucket_public__denied_with_a_switch_that_is_unknown if {
	denied("bucket-public") with input as plan(hidden("bucket_block", "restrict_public_buckets", {"restrict_public_buckets": true}))
}
