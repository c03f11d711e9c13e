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
	allowed("public-node") with input as plan(added("/eip", object.union(resource("aws_eip", "x", {"domain": "vpc"}, {"instance": true, "network_interface": true}), {"facts": {"configured": []}})))
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

test_public_endpoint__denied_when_both_are_off if {
	denied("public-endpoint") with input as plan(set_to("/cluster/change/after/vpc_config/0/endpoint_private_access", false))
}

test_public_node__denied_for_an_elastic_ip_whose_instance_is_made_by_the_plan if {
	denied("public-node") with input as plan(added("/eip", object.union(resource("aws_eip", "x", {"domain": "vpc"}, {"instance": true}), {"facts": {"configured": ["instance"], "references": {"instance": ["aws_instance.a"]}}})))
}

test_public_node__denied_for_an_elastic_ip_of_which_nothing_is_known if {
	denied("public-node") with input as plan(added("/eip", resource("aws_eip", "x", {"domain": "vpc"}, {"instance": true})))
}

test_public_node__denied_for_an_elastic_ip_of_an_interface if {
	denied("public-node") with input as plan(added("/eip", object.union(resource("aws_eip", "x", {}, {"network_interface": true}), {"facts": {"configured": ["network_interface"]}})))
}

test_public_node__denied_for_a_default_subnet_that_says_nothing if {
	denied("public-node") with input as plan(added("/default", resource("aws_default_subnet", "d", {"map_public_ip_on_launch": null}, {})))
}

test_public_node__denied_for_a_subnet_that_gives_addresses_of_ipv6 if {
	denied("public-node") with input as plan(added("/subnet/change/after/assign_ipv6_address_on_creation", true))
}

test_public_node__denied_for_a_template_with_an_address_of_ipv6 if {
	denied("public-node") with input as plan(set_to("/template/change/after/network_interfaces", [{"ipv6_address_count": 1}]))
}

test_public_node__denied_for_an_instance_with_an_address_of_ipv6 if {
	denied("public-node") with input as plan(added("/instance/change/after/ipv6_addresses", ["2001:db8::1"]))
}

test_public_node__denied_on_a_first_plan_in_a_subnet_that_leads_to_the_internet if {
	denied("public-node") with input as plan(array.concat(array.concat(set_to("/gpu/change/after/subnet_ids", []), with_facts("gpu", {"configured": ["subnet_ids"], "references": {"subnet_ids": ["module.m.aws_subnet.out"]}})), array.concat(array.concat(removed("/association/change/after/subnet_id"), removed("/association/change/after/route_table_id")), array.concat(with_facts("association", {"configured": [], "references": {"subnet_id": ["module.m.aws_subnet.out"], "route_table_id": ["module.m.aws_route_table.x"]}}), with_facts("table", {"configured": ["route"], "references": {"route": ["module.m.aws_internet_gateway.g"]}})))))
}

test_bucket_public__allowed_by_a_block_of_another_name_that_refers_to_the_bucket if {
	allowed("bucket-public") with input as plan(array.concat(set_to("/bucket_block/address", "module.m.aws_s3_bucket_public_access_block.other"), with_facts("bucket_block", {"configured": ["bucket"], "references": {"bucket": ["module.m.aws_s3_bucket.artifacts"]}})))
}

test_bucket_public__denied_by_a_block_of_its_name_that_refers_to_another if {
	denied("bucket-public") with input as plan(with_facts("bucket_block", {"configured": ["bucket"], "references": {"bucket": ["module.m.aws_s3_bucket.else"]}}))
}

test_bucket_public__denied_by_a_block_that_may_be_either_bucket_s if {
	denied("bucket-public") with input as plan(with_facts("bucket_block", {"configured": ["bucket"], "references": {"bucket": ["module.m.aws_s3_bucket.artifacts", "module.m.aws_s3_bucket.else"]}}))
}
