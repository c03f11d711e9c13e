package terraform_test

import data.terraform
import rego.v1

test_required_tags__allowed_by_the_provider_s_defaults_alone if {
	allowed("required-tags") with input as plan([])
}

test_required_tags__allowed_when_a_tag_is_unknown if {
	allowed("required-tags") with input as plan(array.concat(removed("/volume/change/after/tags_all/repo"), added("/volume/change/after_unknown/tags_all", {"repo": true})))
}

test_required_tags__allowed_for_what_cannot_carry_tags if {
	allowed("required-tags") with input as plan(removed("/association/change/after/tags_all"))
}

test_required_tags__denied_when_one_is_missing if {
	denied("required-tags") with input as plan(removed("/volume/change/after/tags_all/repo"))
}

test_required_tags__denied_when_one_is_empty if {
	denied("required-tags") with input as plan(set_to("/volume/change/after/tags_all/repo", ""))
}

test_required_tags__denied_when_there_are_none if {
	denied("required-tags") with input as plan(set_to("/volume/change/after/tags_all", null))
}

test_required_tags__denied_when_they_name_another_environment if {
	denied("required-tags") with input as plan(set_to("/volume/change/after/tags_all/environment", "prod"))
}

test_deletion__allowed_of_what_is_not_protected if {
	allowed("deletion") with input as plan(set_to("/volume/change/actions", ["delete"]))
}

test_deletion__denied_of_a_bucket if {
	denied("deletion") with input as plan(array.concat(set_to("/bucket/change/actions", ["delete"]), set_to("/bucket/change/after", null)))
}

test_deletion__denied_by_replacement if {
	denied("deletion") with input as plan(set_to("/cluster/change/actions", ["delete", "create"]))
}

test_deletion__denied_by_replacement_in_the_other_order if {
	denied("deletion") with input as plan(set_to("/cluster/change/actions", ["create", "delete"]))
}

test_deletion__allowed_when_destroy_was_asked_for if {
	allowed("deletion") with input as object.union(plan(set_to("/cluster/change/actions", ["delete"])), {"destroy": true})
}

test_environment__allowed_when_it_has_numbers if {
	count(terraform.unusable_settings) == 0 with input as plan([])
}

test_environment__denied_when_it_is_unknown if {
	terraform.unusable_settings[0].id == "environment" with input as object.union(plan([]), {"environment": "moon"})
}

test_environment__denied_when_none_is_told if {
	terraform.unusable_settings[0].id == "environment" with input as {"resource_changes": []}
}

test_environment__allowed_when_only_the_plan_s_variable_tells_it if {
	count(terraform.unusable_settings) == 0 with input as {"variables": {"environment": {"value": "local"}}}
}

test_required_tags__denied_when_all_are_unknown if {
	denied("required-tags") with input as plan(array.concat(removed("/volume/change/after/tags_all"), added("/volume/change/after_unknown/tags_all", true)))
}

test_required_tags__denied_for_a_launch_template_that_gives_none_to_volumes if {
	denied("required-tags") with input as plan(removed("/template/change/after/tag_specifications/1"))
}

test_required_tags__denied_for_a_launch_template_without_tags if {
	denied("required-tags") with input as plan(set_to("/template/change/after/tag_specifications", []))
}

test_required_tags__allowed_for_a_launch_template_with_a_tag_that_is_unknown if {
	allowed("required-tags") with input as plan(array.concat(removed("/template/change/after/tag_specifications/0/tags/repo"), added("/template/change/after_unknown/tag_specifications", [{"tags": {"repo": true}}, {"tags": {}}])))
}

test_deletion__denied_for_a_subnet_and_what_it_takes_along_is_told if {
	contains(terraform.deletion[0].message, "aws_nat_gateway.n") with input as plan(array.concat(set_to("/subnet/change/actions", ["delete", "create"]), with_facts("subnet", {"takes_along": ["aws_nat_gateway.n"]})))
}

test_deletion__denied_for_the_system_pool if {
	contains(terraform.deletion[0].message, "system pool") with input as plan(set_to("/system/change/actions", ["create", "delete"]))
}

test_deletion__denied_when_it_is_forgotten if {
	denied("deletion") with input as plan(array.concat(set_to("/cluster/change/actions", ["forget"]), set_to("/cluster/change/after", null)))
}

test_deletion__denied_when_the_old_one_is_forgotten if {
	denied("deletion") with input as plan(set_to("/bucket/change/actions", ["create", "forget"]))
}

test_deletion__allowed_for_an_object_that_a_replacement_left_behind if {
	allowed("deletion") with input as plan(added("/old", object.union(resource("aws_db_instance", "old", {}, {}), {"deposed": "a1", "change": {"actions": ["delete"], "after": null, "after_unknown": {}}})))
}

test_environment__denied_when_it_comes_without_facts if {
	terraform.unprepared[0].id == "environment" with input as object.union(plan([]), {"prepared": false})
}
