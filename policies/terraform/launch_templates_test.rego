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
