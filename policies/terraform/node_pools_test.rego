package terraform_test

import data.terraform
import rego.v1

test_cpu_nodes__allowed_when_the_sizes_sum_to_the_limit if {
	allowed("cpu-nodes") with input as plan(set_to("/cpu/change/after/scaling_config/0/max_size", limit("max_cpu_nodes") - 4))
}

test_cpu_nodes__denied_when_two_pools_are_each_small_enough_but_not_together if {
	denied("cpu-nodes") with input as plan(set_to("/cpu/change/after/scaling_config/0/max_size", limit("max_cpu_nodes") - 3))
}

test_cpu_nodes__denied_also_for_pools_that_the_plan_leaves_alone if {
	denied("cpu-nodes") with input as plan(array.concat(set_to("/cpu/change/actions", ["no-op"]), set_to("/cpu/change/after/scaling_config/0/max_size", limit("max_cpu_nodes") + 1)))
}

test_cpu_nodes__allowed_when_a_pool_goes_as_another_comes if {
	allowed("cpu-nodes") with input as plan(array.concat(set_to("/cpu/change/after/scaling_config/0/max_size", limit("max_cpu_nodes") - 1), array.concat(set_to("/system/change/after", null), removed("/instance"))))
}

test_cpu_nodes__denied_when_the_size_is_unknown if {
	denied("cpu-nodes") with input as plan(hidden("cpu", "scaling_config/0/max_size", {"scaling_config": [{"max_size": true}]}))
}

test_cpu_nodes__denied_when_a_lone_instance_is_one_too_many if {
	denied("cpu-nodes") with input as plan(array.concat(set_to("/cpu/change/after/scaling_config/0/max_size", limit("max_cpu_nodes") - 4), added("/more", object.union(good.instance, {"address": "aws_instance.more"}))))
}

test_gpu_nodes__allowed_when_the_sizes_sum_to_the_limit if {
	allowed("gpu-nodes") with input as plan(set_to("/gpu/change/after/scaling_config/0/max_size", limit("max_gpu_nodes")))
}

test_gpu_nodes__denied_at_one_more_than_the_limit if {
	denied("gpu-nodes") with input as plan(set_to("/gpu/change/after/scaling_config/0/max_size", limit("max_gpu_nodes") + 1))
}

test_gpu_nodes__denied_when_a_pool_is_called_cpu_but_has_gpus if {
	denied("gpu-nodes") with input as plan(array.concat(set_to("/cpu/change/after/instance_types", ["g4dn.xlarge"]), set_to("/cpu/change/after/scaling_config/0/max_size", limit("max_gpu_nodes") - 4)))
}

test_gpu_nodes__denied_when_only_one_type_of_a_pool_has_gpus if {
	denied("gpu-nodes") with input as plan(array.concat(set_to("/cpu/change/after/instance_types", ["m5.xlarge", "p3.2xlarge"]), set_to("/cpu/change/after/scaling_config/0/max_size", limit("max_gpu_nodes") - 4)))
}

test_gpu_nodes__denied_when_the_size_is_unknown if {
	denied("gpu-nodes") with input as plan(hidden("gpu", "scaling_config/0/max_size", {"scaling_config": [{"max_size": true}]}))
}

test_instance_type__allowed_when_every_type_is_listed if {
	allowed("instance-type") with input as plan(set_to("/cpu/change/after/instance_types", ["c6g.2xlarge", "m6i.large"]))
}

test_instance_type__denied_when_one_of_several_types_is_not_listed if {
	denied("instance-type") with input as plan(set_to("/cpu/change/after/instance_types", ["m5.xlarge", "m5.24xlarge"]))
}

test_instance_type__denied_when_the_types_are_unknown if {
	denied("instance-type") with input as plan(hidden("cpu", "instance_types", {"instance_types": true}))
}

test_instance_type__denied_when_no_type_is_written if {
	denied("instance-type") with input as plan(set_to("/cpu/change/after/instance_types", []))
}

test_instance_type__denied_for_a_launch_template if {
	denied("instance-type") with input as plan(set_to("/template/change/after/instance_type", "p4d.24xlarge"))
}

test_instance_type__denied_when_a_launch_template_s_type_is_unknown if {
	denied("instance-type") with input as plan(hidden("template", "instance_type", {"instance_type": true}))
}

test_instance_type__denied_when_a_launch_template_chooses_by_attributes if {
	denied("instance-type") with input as plan(set_to("/template/change/after/instance_requirements", [{"vcpu_count": [{"min": 1}]}]))
}

test_instance_type__denied_for_a_lone_instance if {
	denied("instance-type") with input as plan(set_to("/instance/change/after/instance_type", "t3.large"))
}

test_node_kind__allowed_for_node_groups if {
	allowed("node-kind") with input as plan([])
}

test_node_kind__denied_for_an_autoscaling_group if {
	denied("node-kind") with input as plan(added("/asg", resource("aws_autoscaling_group", "own", {"max_size": 3}, {})))
}

test_node_kind__denied_for_auto_mode if {
	denied("node-kind") with input as plan(set_to("/cluster/change/after/compute_config", [{"enabled": true}]))
}

test_node_kind__allowed_when_auto_mode_is_off if {
	allowed("node-kind") with input as plan(set_to("/cluster/change/after/compute_config", [{"enabled": false}]))
}

test_gpu_taint__allowed_with_a_taint_that_evicts if {
	allowed("gpu-taint") with input as plan(set_to("/gpu/change/after/taint/0/effect", "NO_EXECUTE"))
}

test_gpu_taint__denied_without_a_taint if {
	denied("gpu-taint") with input as plan(set_to("/gpu/change/after/taint", []))
}

test_gpu_taint__denied_with_a_taint_that_only_asks if {
	denied("gpu-taint") with input as plan(set_to("/gpu/change/after/taint/0/effect", "PREFER_NO_SCHEDULE"))
}

test_gpu_taint__denied_with_a_taint_of_another_key if {
	denied("gpu-taint") with input as plan(set_to("/gpu/change/after/taint/0/key", "team"))
}

test_gpu_scale_to_zero__allowed_at_zero if {
	allowed("gpu-scale-to-zero") with input as plan(set_to("/gpu/change/after/scaling_config/0/min_size", 0))
}

test_gpu_scale_to_zero__denied_above_zero if {
	denied("gpu-scale-to-zero") with input as plan(set_to("/gpu/change/after/scaling_config/0/min_size", 1))
}

test_gpu_scale_to_zero__denied_when_unknown if {
	denied("gpu-scale-to-zero") with input as plan(hidden("gpu", "scaling_config/0/min_size", {"scaling_config": [{"min_size": true}]}))
}

test_cpu_nodes__allowed_when_the_size_is_written_as_a_text if {
	allowed("cpu-nodes") with input as plan(set_to("/cpu/change/after/scaling_config/0/max_size", "2"))
}

test_cpu_nodes__denied_when_the_size_is_no_number if {
	denied("cpu-nodes") with input as plan(set_to("/cpu/change/after/scaling_config/0/max_size", "many"))
}

test_cpu_nodes__denied_when_there_is_no_size if {
	denied("cpu-nodes") with input as plan(set_to("/cpu/change/after/scaling_config", null))
}
