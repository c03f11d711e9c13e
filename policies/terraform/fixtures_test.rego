# A plan that every rule allows, by name, so that a test says only what it changes (RFC 6902 patches).
package terraform_test

import data.terraform
import rego.v1

limit(key) := object.union(data.policy.defaults, data.policy.environments.local)[key]

# As in terraform.rego: what `concat` makes is whole only after trim_suffix.
text(parts) := trim_suffix(concat("", parts), "")

tags := {"repo": "r", "environment": "local", "managed-by": "terraform"}

resource(type, name, after, unknown) := {
	"address": text(["module.m.", type, ".", name]),
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
		"tag_specifications": [
			{"resource_type": "instance", "tags": tags},
			{"resource_type": "volume", "tags": tags},
		],
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
	"database": resource("aws_db_instance", "database", {
		"identifier": "dagster",
		"storage_encrypted": true,
		"publicly_accessible": false,
		"backup_retention_period": 7,
		"manage_master_user_password": true,
		"enabled_cloudwatch_logs_exports": ["postgresql"],
	}, {}),
	"database_logs": resource("aws_cloudwatch_log_group", "database", {"name": "/aws/rds/instance/dagster/postgresql"}, {"kms_key_id": true}),
	"cache": resource("aws_elasticache_replication_group", "redis", {
		"at_rest_encryption_enabled": "true",
		"transit_encryption_enabled": true,
		"transit_encryption_mode": "required",
		"snapshot_retention_limit": 1,
	}, {"user_group_ids": true}),
	"route": resource("aws_route", "x", {"route_table_id": "rtb-1", "gateway_id": "igw-1"}, {}),
}

# rego-cpp does not iterate over what json.patch returns, but finds each key in it.
plan(patches) := {"environment": "local", "destroy": false, "prepared": true, "resource_changes": changes} if {
	patched := json.patch(good, patches)
	names := object.keys(good) | {split(patch.path, "/")[1] | some patch in patches}
	changes := [patched[name] | some name in names]
}

set_to(path, value) := [{"op": "replace", "path": text([path]), "value": value}]

removed(path) := [{"op": "remove", "path": text([path])}]

added(path, value) := [{"op": "add", "path": text([path]), "value": value}]

# Known only after apply: gone from `after`, marked in `after_unknown`.
hidden(name, path, marked) := [
	{"op": "remove", "path": text(["/", name, "/change/after/", path])},
	{
		"op": "replace",
		"path": text(["/", name, "/change/after_unknown"]),
		"value": object.union(good[name].change.after_unknown, marked),
	},
]

# The facts that the platform hands over beside a resource.
with_facts(name, facts) := [{"op": "add", "path": text(["/", name, "/facts"]), "value": facts}]

advised(id) if {
	some finding in terraform.findings
	finding.id == id
	finding.severity == "advice"
}

denied(id) if {
	some violation in terraform.findings
	violation.id == id
	violation.severity == "deny"
}

allowed(id) if not denied(id)

test_the_good_plan_breaks_no_rule if {
	count(terraform.findings) == 0 with input as plan([])
}

advised_not(id) if not advised(id)
