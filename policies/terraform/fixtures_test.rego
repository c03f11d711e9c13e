# A plan that every rule allows, by name, so that a test says only what it changes (RFC 6902 patches).
package terraform_test

import data.terraform
import rego.v1

# The numbers that hold in the tests: rego-cpp cannot replace `data` as a whole (`with data.policy...`).
limit(key) := object.union(data.policy.defaults, data.policy.environments.local)[key]

tags := {"repo": "r", "environment": "local", "managed-by": "terraform"}

resource(type, name, after, unknown) := {
	"address": sprintf("module.m.%s.%s", [type, name]),
	"type": type,
	"mode": "managed",
	"change": {
		"actions": ["create"],
		"after": object.union(after, {"tags_all": tags}),
		"after_unknown": unknown,
	},
}

group(name, types, smallest, largest, taints) := resource("aws_eks_node_group", name, {
	"instance_types": types,
	"scaling_config": [{"min_size": smallest, "max_size": largest}],
	"taint": taints,
	"launch_template": [{"version": "1"}],
	"subnet_ids": ["subnet-private"],
	"remote_access": [],
}, {"launch_template": [{"id": true, "name": true}], "scaling_config": [{}]})

gpu_taint := {"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}

good := {
	"system": group("system", ["m6i.large"], 1, 3, []),
	"cpu": group("cpu", ["m5.xlarge"], 2, 10, []),
	"gpu": group("gpu", ["g4dn.xlarge"], 0, 5, [gpu_taint]),
	"template": resource("aws_launch_template", "nodes", {
		"name": "nodes",
		"instance_type": null,
		"instance_requirements": [],
		"block_device_mappings": [{"device_name": "/dev/xvda", "ebs": [{"encrypted": "true"}]}],
		"metadata_options": [{"http_tokens": "required"}],
		"network_interfaces": [],
	}, {"id": true}),
	"instance": resource("aws_instance", "bastion", {
		"instance_type": "m5.large",
		"metadata_options": [{"http_tokens": "required"}],
		"root_block_device": [{"encrypted": true}],
		"ebs_block_device": [],
		"associate_public_ip_address": false,
	}, {}),
	"volume": resource("aws_ebs_volume", "shards", {"encrypted": true}, {}),
	"cluster": resource("aws_eks_cluster", "this", {
		"name": "ray",
		"vpc_config": [{"endpoint_public_access": false, "endpoint_private_access": true}],
		"encryption_config": [{"resources": ["secrets"], "provider": [{}]}],
		"enabled_cluster_log_types": ["api"],
		"compute_config": [],
	}, {"encryption_config": [{"provider": [{"key_arn": true}]}]}),
	"logs": resource("aws_cloudwatch_log_group", "cluster", {"name": "/aws/eks/ray/cluster"}, {"kms_key_id": true}),
	"bucket": resource("aws_s3_bucket", "artifacts", {"bucket": "artifacts"}, {"id": true}),
	"bucket_encryption": resource("aws_s3_bucket_server_side_encryption_configuration", "artifacts", {"rule": [{"apply_server_side_encryption_by_default": [{"sse_algorithm": "aws:kms"}]}]}, {"bucket": true}),
	"bucket_block": resource("aws_s3_bucket_public_access_block", "artifacts", {
		"block_public_acls": true,
		"block_public_policy": true,
		"ignore_public_acls": true,
		"restrict_public_buckets": true,
	}, {"bucket": true}),
	"subnet": resource("aws_subnet", "private", {"id": "subnet-private", "map_public_ip_on_launch": false}, {}),
	"association": resource("aws_route_table_association", "x", {"route_table_id": "rtb-1", "subnet_id": "subnet-public"}, {}),
	"table": resource("aws_route_table", "x", {"id": "rtb-1", "route": []}, {}),
	"route": resource("aws_route", "x", {"route_table_id": "rtb-1", "gateway_id": "igw-1"}, {}),
}

plan(patches) := {
	"environment": "local",
	"destroy": false,
	"resource_changes": [r |
		patched := json.patch(good, patches)
		some name in object.keys(patched)
		r := patched[name]
	],
}

found(asked) := {violation.id | some violation in findings_of(asked)}

findings_of(asked) := array.concat(about_settings, about_plan) if {
	about_settings := terraform.unusable_settings with input as asked
	about_plan := terraform.findings with input as asked
}

allowed(id, patches) if not id in found(plan(patches))

denied(id, patches) if id in found(plan(patches))

set_to(path, value) := [{"op": "replace", "path": path, "value": value}]

removed(path) := [{"op": "remove", "path": path}]

added(path, value) := [{"op": "add", "path": path, "value": value}]

# A value that is known only after apply. `inside` is the path of its block.
hidden(name, inside, key) := [
	{"op": "remove", "path": trim_suffix(concat("", ["/", name, "/change/after", inside, "/", key]), "")},
	{"op": "add", "path": trim_suffix(concat("", ["/", name, "/change/after_unknown", inside, "/", key]), ""), "value": true},
]

test_the_good_plan_has_no_violation_at_all if {
	count(found(plan([]))) == 0
}
