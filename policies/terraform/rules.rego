# The catalogue: what each rule asks, why, and how to mend it. docs/policies.md is this table.
package terraform

import rego.v1

rules := {
	"cpu-nodes": {
		"what": "The `max_size` of all node groups without GPUs sum to at most `max_cpu_nodes`.",
		"why": "One plan may change several pools, each within reason, and together cost a fortune.",
		"fix": "lower max_size of a pool in terraform/environments, or raise max_cpu_nodes in policies/data.json",
	},
	"gpu-nodes": {
		"what": "The `max_size` of all node groups with GPUs sum to at most `max_gpu_nodes`.",
		"why": "GPU nodes are the dearest thing here, and the account's quota is finite.",
		"fix": "lower max_size of a pool in terraform/environments, or raise max_gpu_nodes in policies/data.json",
	},
	"instance-type": {
		"what": "Nodes are of a type in `instance_types`, and the plan says which.",
		"why": "A type that nobody priced breaks the estimate; one that is unknown cannot be counted.",
		"fix": "use a type of instance_types in policies/data.json, written on the node group itself",
	},
	"node-kind": {
		"what": "Nodes come from EKS node groups alone: none of `refused_node_kinds`, no EKS Auto Mode.",
		"why": "Nodes that are started elsewhere escape the limits, the taints and the cost report.",
		"fix": "make it a pool in node_pools of terraform/environments",
	},
	"volume-encryption": {
		"what": "Every volume is encrypted: launch templates (root volume included), instances, databases and what else stands in `encryption_switches`.",
		"why": "Shards and checkpoints lie on node disks, and a snapshot of a disk leaves the cluster.",
		"fix": "set encrypted = true on the volume, for node groups in a launch template of the same plan",
	},
	"bucket-encryption": {
		"what": "Every bucket has an encryption configuration of its own, by one of `bucket_encryption`.",
		"why": "Without a KMS key nobody can see or revoke who reads the artifacts.",
		"fix": "add aws_s3_bucket_server_side_encryption_configuration with sse_algorithm aws:kms, named like its bucket",
	},
	"secret-encryption": {
		"what": "The cluster's `encryption_config` covers `secrets` with a key.",
		"why": "Otherwise tokens lie in etcd as they are.",
		"fix": "add encryption_config with resources = [\"secrets\"] and provider.key_arn to the cluster",
	},
	"log-encryption": {
		"what": "Every log group has a KMS key, and those of the control plane and the database are in the plan.",
		"why": "Logs hold addresses, names and now and then a secret; a group that EKS or RDS makes itself has no key.",
		"fix": "set kms_key_id on the log group; add a group named /aws/eks/CLUSTER/cluster or /aws/rds/instance/NAME/LOG",
	},
	"required-tags": {
		"what": "Whatever can carry tags carries all of `required_tags`, by itself or by the provider's defaults.",
		"why": "Cost and origin are found by tags.",
		"fix": "add the tag to default_tags in terraform/providers.tf, or to the resource",
	},
	"public-node": {
		"what": "No node gets a public address: by subnet, launch template, instance, Elastic IP, a public subnet or open SSH.",
		"why": "A node needs NAT to reach out; nothing needs to reach in.",
		"fix": "use private subnets; set map_public_ip_on_launch and associate_public_ip_address to false",
	},
	"public-endpoint": {
		"what": "The Kubernetes API endpoint is private.",
		"why": "It is the one door to everything in the cluster.",
		"fix": "set vpc_config.endpoint_public_access = false and endpoint_private_access = true",
	},
	"bucket-public": {
		"what": "Every bucket has a public access block with all four switches on.",
		"why": "One wrong policy or ACL is then not enough to publish the artifacts.",
		"fix": "add aws_s3_bucket_public_access_block with all four switches true, named like its bucket",
	},
	"database-public": {
		"what": "The database has no public address.",
		"why": "It holds the history of every run, and nothing outside the network needs it.",
		"fix": "set publicly_accessible = false",
	},
	"database-kept": {
		"what": "The database has backups, and RDS keeps its password.",
		"why": "A history that is lost cannot be made again; a password in the state is read by whoever reads the state.",
		"fix": "set backup_retention_period to a day or more and manage_master_user_password = true",
	},
	"cache-closed": {
		"what": "Redis answers by TLS alone, and to users of a user group.",
		"why": "Whoever may write to Ray's control store runs code on every node.",
		"fix": "set transit_encryption_enabled = true with mode required, and user_group_ids",
	},
	"imdsv2": {
		"what": "Nodes ask for a session token (IMDSv2), or have no metadata service.",
		"why": "Without one, any request that a pod is talked into making reads the node's credentials.",
		"fix": "set metadata_options.http_tokens = \"required\" in a launch template of the same plan",
	},
	"deletion": {
		"what": "None of `protected_types` is deleted or replaced outside of `destroy`.",
		"why": "A bucket takes the artifacts with it, a cluster everything that runs on it, a database the history.",
		"fix": "change it without replacement (see replace_paths in the plan), or use `ray-platform destroy`",
	},
	"gpu-taint": {
		"what": "A GPU pool has a taint of `gpu_taint_keys` that keeps other pods away.",
		"why": "Otherwise any pod may keep a GPU node alive.",
		"fix": "add taints = [{ key = \"nvidia.com/gpu\", value = \"true\", effect = \"NO_SCHEDULE\" }] to the pool",
	},
	"gpu-scale-to-zero": {
		"what": "A GPU pool has `min_size` 0.",
		"why": "A GPU node that waits costs as much as one that works.",
		"fix": "set min_size = 0 on the pool",
	},
	"environment": {
		"what": "The plan's environment is known, and every number that the rules need is set for it.",
		"why": "A limit that is missing would let everything through.",
		"fix": "add the environment or the number to policies/data.json",
	},
}
