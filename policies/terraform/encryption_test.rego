package terraform_test

import data.terraform
import rego.v1

test_volume_encryption__allowed_with_a_device_that_is_left_out if {
	allowed("volume-encryption") with input as plan(added("/template/change/after/block_device_mappings/-", {"device_name": "/dev/sdb", "no_device": "true", "ebs": []}))
}

test_volume_encryption__denied_when_a_launch_template_s_volume_is_plain if {
	denied("volume-encryption") with input as plan(set_to("/template/change/after/block_device_mappings/0/ebs/0/encrypted", "false"))
}

test_volume_encryption__denied_when_a_second_volume_says_nothing if {
	denied("volume-encryption") with input as plan(added("/template/change/after/block_device_mappings/-", {"device_name": "/dev/sdb", "ebs": [{"encrypted": null}]}))
}

test_volume_encryption__denied_when_the_root_volume_is_left_to_the_image if {
	denied("volume-encryption") with input as plan(set_to("/template/change/after/block_device_mappings/0/device_name", "/dev/sdf"))
}

test_volume_encryption__denied_when_a_launch_template_has_no_volume if {
	denied("volume-encryption") with input as plan(set_to("/template/change/after/block_device_mappings", []))
}

test_volume_encryption__denied_when_the_switch_is_unknown if {
	denied("volume-encryption") with input as plan(hidden("template", "block_device_mappings/0/ebs/0/encrypted", {"block_device_mappings": [{"ebs": [{"encrypted": true}]}]}))
}

test_volume_encryption__denied_for_a_node_group_without_a_launch_template if {
	denied("volume-encryption") with input as plan(array.concat(set_to("/cpu/change/after/launch_template", []), removed("/cpu/change/after_unknown/launch_template")))
}

test_volume_encryption__denied_for_a_volume if {
	denied("volume-encryption") with input as plan(set_to("/volume/change/after/encrypted", false))
}

test_volume_encryption__denied_for_a_volume_whose_switch_is_unknown if {
	denied("volume-encryption") with input as plan(hidden("volume", "encrypted", {"encrypted": true}))
}

test_volume_encryption__denied_for_an_instance_s_root if {
	denied("volume-encryption") with input as plan(set_to("/instance/change/after/root_block_device", []))
}

test_volume_encryption__denied_for_an_instance_s_other_volume if {
	denied("volume-encryption") with input as plan(set_to("/instance/change/after/ebs_block_device", [{"device_name": "/dev/sdb", "encrypted": false}]))
}

test_bucket_encryption__allowed_by_a_configuration_that_names_the_bucket if {
	allowed("bucket-encryption") with input as plan(array.concat(added("/bucket_encryption/change/after/bucket", "artifacts"), set_to("/bucket_encryption/address", "aws_s3_bucket_server_side_encryption_configuration.other")))
}

test_bucket_encryption__denied_without_a_configuration if {
	denied("bucket-encryption") with input as plan(removed("/bucket_encryption"))
}

test_bucket_encryption__denied_when_the_configuration_is_another_bucket_s if {
	denied("bucket-encryption") with input as plan(added("/bucket_encryption/change/after/bucket", "elsewhere"))
}

test_bucket_encryption__denied_when_the_configuration_goes if {
	denied("bucket-encryption") with input as plan(set_to("/bucket_encryption/change/after", null))
}

test_bucket_encryption__denied_by_a_key_that_s3_keeps_to_itself if {
	denied("bucket-encryption") with input as plan(set_to("/bucket_encryption/change/after/rule/0/apply_server_side_encryption_by_default/0/sse_algorithm", "AES256"))
}

test_bucket_encryption__denied_when_the_algorithm_is_unknown if {
	denied("bucket-encryption") with input as plan(hidden("bucket_encryption", "rule", {"rule": true}))
}

test_secret_encryption__allowed_with_a_key_that_is_made_by_the_plan if {
	allowed("secret-encryption") with input as plan([])
}

test_secret_encryption__allowed_with_a_key_that_is_there if {
	allowed("secret-encryption") with input as plan(set_to("/cluster/change/after/encryption_config", [{"resources": ["secrets"], "provider": [{"key_arn": "arn"}]}]))
}

test_secret_encryption__denied_without_the_block if {
	denied("secret-encryption") with input as plan(set_to("/cluster/change/after/encryption_config", []))
}

test_secret_encryption__denied_when_the_block_is_about_something_else if {
	denied("secret-encryption") with input as plan(set_to("/cluster/change/after/encryption_config/0/resources", ["volumes"]))
}

test_secret_encryption__denied_without_a_key if {
	denied("secret-encryption") with input as plan(set_to("/cluster/change/after_unknown", {}))
}

test_log_encryption__allowed_with_a_key_that_is_made_by_the_plan if {
	allowed("log-encryption") with input as plan([])
}

test_log_encryption__denied_without_a_key if {
	denied("log-encryption") with input as plan(set_to("/logs/change/after_unknown", {}))
}

test_log_encryption__denied_when_eks_would_make_the_control_plane_s_group if {
	denied("log-encryption") with input as plan(set_to("/logs/change/after/name", "/other"))
}

test_log_encryption__allowed_when_the_control_plane_logs_nothing if {
	allowed("log-encryption") with input as plan(array.concat(removed("/logs"), set_to("/cluster/change/after/enabled_cluster_log_types", [])))
}
