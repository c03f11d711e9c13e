package terraform_test

import data.terraform
import rego.v1

test_imdsv2__allowed_when_the_metadata_service_is_off if {
	allowed("imdsv2") with input as plan(set_to("/template/change/after/metadata_options", [{"http_endpoint": "disabled"}]))
}

test_imdsv2__denied_when_tokens_are_optional if {
	denied("imdsv2") with input as plan(set_to("/template/change/after/metadata_options/0/http_tokens", "optional"))
}

test_imdsv2__denied_when_nothing_is_said if {
	denied("imdsv2") with input as plan(set_to("/template/change/after/metadata_options", []))
}

test_imdsv2__denied_when_unknown if {
	denied("imdsv2") with input as plan(hidden("template", "metadata_options/0/http_tokens", {"metadata_options": [{"http_tokens": true}]}))
}

test_imdsv2__denied_for_a_node_group_without_a_launch_template if {
	denied("imdsv2") with input as plan(array.concat(set_to("/cpu/change/after/launch_template", []), removed("/cpu/change/after_unknown/launch_template")))
}

test_imdsv2__denied_for_a_launch_template_of_somebody_else if {
	denied("imdsv2") with input as plan(set_to("/cpu/change/after/launch_template", [{"id": "lt-elsewhere"}]))
}

test_imdsv2__allowed_for_a_launch_template_known_by_its_name if {
	allowed("imdsv2") with input as plan(set_to("/cpu/change/after/launch_template", [{"name": "nodes"}]))
}

test_imdsv2__denied_for_a_lone_instance if {
	denied("imdsv2") with input as plan(set_to("/instance/change/after/metadata_options", []))
}

test_template_version__allowed_for_the_first_version_of_a_new_template if {
	allowed("template-version") with input as plan(set_to("/cpu/change/after/launch_template", [{"name": "nodes", "version": "1"}]))
}

test_template_version__denied_for_an_earlier_version if {
	denied("template-version") with input as plan(array.concat(set_to("/cpu/change/after/launch_template", [{"name": "nodes", "version": "1"}]), added("/template/change/after/latest_version", 7)))
}

test_template_version__allowed_for_the_latest if {
	allowed("template-version") with input as plan(array.concat(set_to("/cpu/change/after/launch_template", [{"name": "nodes", "version": "7"}]), added("/template/change/after/latest_version", 7)))
}

test_template_version__denied_for_a_default_that_stays_behind if {
	denied("template-version") with input as plan(array.concat(set_to("/cpu/change/after/launch_template", [{"name": "nodes", "version": "$Default"}]), added("/template/change/after/default_version", 3)))
}

test_template_version__allowed_for_a_default_that_follows if {
	allowed("template-version") with input as plan(array.concat(set_to("/cpu/change/after/launch_template", [{"name": "nodes", "version": "$Default"}]), added("/template/change/after/update_default_version", true)))
}

test_template_version__denied_when_the_template_changes_and_the_version_does_not if {
	denied("template-version") with input as plan(array.concat(set_to("/cpu/change/after/launch_template", [{"name": "nodes", "version": "1"}]), set_to("/template/change/actions", ["update"])))
}

test_imdsv2__denied_when_the_configuration_refers_to_no_template_of_the_plan if {
	denied("imdsv2") with input as plan(with_facts("cpu", {"configured": ["launch_template"], "references": {"launch_template": []}}))
}
