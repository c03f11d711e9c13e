package terraform_test

import data.terraform
import rego.v1

test_open_security_group__allowed_without_open_ranges if {
	allowed("open-security-group") with input as plan(plain("aws_security_group", {}))
}

test_open_security_group__denied_for_the_world if {
	denied("open-security-group") with input as plan(added("/group", object.union(resource("aws_security_group", "g", {}, {}), {"facts": {"open_to": ["0.0.0.0/0"]}})))
}

test_foreign_peering__allowed_within_own_accounts if {
	allowed("foreign-peering") with input as plan(with_principal("aws_vpc_peering_connection", "own"))
}

test_foreign_peering__denied_with_another_account if {
	denied("foreign-peering") with input as plan(with_principal("aws_vpc_peering_connection", "foreign"))
}

test_foreign_peering__denied_for_everybody_at_an_endpoint_service if {
	denied("foreign-peering") with input as plan(with_principal("aws_vpc_endpoint_service", "everyone"))
}

test_foreign_peering__denied_when_it_accepts_what_another_account_asks if {
	denied("foreign-peering") with input as plan(plain("aws_vpc_peering_connection_accepter", {"vpc_peering_connection_id": "pcx-1"}))
}

test_foreign_peering__allowed_when_it_accepts_what_the_plan_makes if {
	allowed("foreign-peering") with input as plan(added("/accepter", object.union(resource("aws_vpc_peering_connection_accepter", "a", {}, {}), {"facts": {"references": {"vpc_peering_connection_id": ["aws_vpc_peering_connection.own"]}}})))
}

test_foreign_share__allowed_within_own_accounts if {
	allowed("foreign-share") with input as plan(with_principal("aws_ram_principal_association", "own"))
}

test_foreign_share__denied_for_another_account_s_copy if {
	denied("foreign-share") with input as plan(with_principal("aws_snapshot_create_volume_permission", "foreign"))
}

test_foreign_share__denied_for_an_image_of_everybody if {
	denied("foreign-share") with input as plan(plain("aws_ami_launch_permission", {"group": "all"}))
}

test_foreign_share__denied_when_outsiders_may_be_added if {
	denied("foreign-share") with input as plan(plain("aws_ram_resource_share", {"allow_external_principals": true}))
}

test_default_network__allowed_without_one if {
	allowed("default-network") with input as plan([])
}

test_default_network__denied_never_but_advised if {
	advised("default-network") with input as plan(plain("aws_default_vpc", {}))
}

test_storage_key__allowed_with_a_key if {
	advised_not("storage-key") with input as plan(plain("aws_fsx_lustre_file_system", {"kms_key_id": "arn"}))
}

test_storage_key__allowed_with_a_key_that_the_plan_makes if {
	advised_not("storage-key") with input as plan(added("/fsx", object.union(resource("aws_fsx_lustre_file_system", "f", {}, {"kms_key_id": true}), {"facts": {"configured": ["kms_key_id"]}})))
}

test_storage_key__denied_never_but_advised_without_a_key if {
	advised("storage-key") with input as plan(added("/fsx", object.union(resource("aws_fsx_lustre_file_system", "f", {}, {"kms_key_id": true}), {"facts": {"configured": []}})))
}

test_backups__allowed_with_snapshots if {
	advised_not("backups") with input as plan([])
}

test_backups__denied_never_but_advised_without_snapshots if {
	advised("backups") with input as plan(set_to("/cache/change/after/snapshot_retention_limit", 0))
}
