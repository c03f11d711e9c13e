# The catalogue: what each rule asks, why, and how to fix it. `severity` is advice where it stops nothing.
# docs/reference/policies-terraform.md is this table.
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
		"why": "GPU nodes cost more than everything else here, and the account's quota is finite.",
		"fix": "lower max_size of a pool in terraform/environments, or raise max_gpu_nodes in policies/data.json",
	},
	"instance-type": {
		"what": "Nodes are of a type in `instance_types`, and the plan says which.",
		"why": "A type without a price breaks the estimate; an unknown one cannot be counted.",
		"fix": "use a type of instance_types in policies/data.json, written on the node group itself",
	},
	"node-kind": {
		"what": "Nodes come from EKS node groups alone: none of `refused_node_kinds`, no EKS Auto Mode.",
		"why": "Nodes that are started elsewhere escape the limits, the taints and the cost report.",
		"fix": "make it a pool in node_pools of terraform/environments",
	},
	"volume-encryption": {
		"what": "Every volume is encrypted: launch templates (root volume included), instances, databases and the types in `encryption_switches`.",
		"why": "Shards and checkpoints are on node disks, and a snapshot of a disk leaves the cluster.",
		"fix": "set encrypted = true on the volume, for node groups in a launch template of the same plan",
	},
	"bucket-encryption": {
		"what": "Every bucket has an encryption configuration of its own, by one of `bucket_encryption`.",
		"why": "Without a KMS key you cannot see or revoke who reads the artifacts.",
		"fix": "add aws_s3_bucket_server_side_encryption_configuration with sse_algorithm aws:kms whose bucket refers to this one",
	},
	"secret-encryption": {
		"what": "The cluster's `encryption_config` covers `secrets` with a key.",
		"why": "Otherwise tokens are in etcd in plain text.",
		"fix": "add encryption_config with resources = [\"secrets\"] and provider.key_arn to the cluster",
	},
	"log-encryption": {
		"what": "Every log group has a KMS key, and those of the control plane and the database are in the plan.",
		"why": "Logs hold addresses, names and now and then a secret; a group that EKS or RDS makes itself has no key.",
		"fix": "set kms_key_id on the log group; add a group named /aws/eks/CLUSTER/cluster or /aws/rds/instance/NAME/LOG",
	},
	"required-tags": {
		"what": "Whatever can carry tags carries all of `required_tags`, by itself or by the provider's defaults; a launch template gives them to instances and volumes.",
		"why": "Cost and origin are found by tags, and default tags do not reach what an autoscaling group starts.",
		"fix": "add the tag to default_tags in terraform/providers.tf, to the resource, or to tag_specifications of the template",
	},
	"public-node": {
		"what": "No node gets a public address: by subnet, default subnet, launch template, instance, IPv6, Elastic IP, a public subnet or open SSH.",
		"why": "A node needs NAT to reach out; nothing needs to reach in.",
		"fix": "use private subnets; set map_public_ip_on_launch and associate_public_ip_address to false; ask for no IPv6 address",
	},
	"public-endpoint": {
		"what": "The Kubernetes API endpoint is private: the public one is off and the private one on.",
		"why": "It is the one door to everything in the cluster.",
		"fix": "set vpc_config.endpoint_public_access = false and endpoint_private_access = true",
	},
	"bucket-public": {
		"what": "Every bucket has a public access block with all four switches on.",
		"why": "One wrong policy or ACL is then not enough to publish the artifacts.",
		"fix": "add aws_s3_bucket_public_access_block with all four switches true whose bucket refers to this one",
	},
	"database-public": {
		"what": "No database has a public address: RDS, Aurora, Redshift, Neptune, a replication server or a broker.",
		"why": "It holds the history of every run, and nothing outside the network needs it.",
		"fix": "set publicly_accessible = false",
	},
	"database-kept": {
		"what": "Every database (RDS, Aurora, DocumentDB, Neptune, Redshift) has backups, and AWS keeps its password.",
		"why": "A history that is lost cannot be made again; a password in the state is read by whoever reads the state.",
		"fix": "set backup_retention_period to a day or more and manage_master_user_password (Redshift: manage_master_password) to true",
	},
	"cache-closed": {
		"what": "Redis, Valkey and MemoryDB answer by TLS alone, and to users of a user group; no plain ElastiCache cluster.",
		"why": "Whoever may write to Ray's control store runs code on every node.",
		"fix": "use a replication group with transit_encryption_enabled = true, mode required, and user_group_ids; for MemoryDB tls_enabled and an ACL",
	},
	"imdsv2": {
		"what": "Nodes ask for a session token (IMDSv2), or have no metadata service.",
		"why": "Without one, any request that a pod is talked into making reads the node's credentials.",
		"fix": "set metadata_options.http_tokens = \"required\" in a launch template of the same plan",
	},
	"deletion": {
		"what": "None of `protected_types` is deleted, replaced or forgotten outside of `destroy`; the message lists what it takes along.",
		"why": "A bucket takes the artifacts with it, a cluster or its network everything that runs there, a key what it encrypts.",
		"fix": "change it without replacement (see replace_paths in the plan), use `ray-platform destroy`, or add a reviewed entry to policies/exceptions.toml",
	},
	"template-version": {
		"what": "A node group runs the latest version of its launch template.",
		"why": "The rules judge the template as it will be; an earlier version may have none of it.",
		"fix": "set launch_template.version to the template's latest_version",
	},
	"search-closed": {
		"what": "An OpenSearch domain is in the VPC, encrypts what it stores and sends, and answers HTTPS alone.",
		"why": "A domain outside of a VPC has a public endpoint, and whoever reaches it reads every index.",
		"fix": "set vpc_options, encrypt_at_rest, node_to_node_encryption and domain_endpoint_options.enforce_https",
	},
	"admin-policy": {
		"what": "No identity policy allows every action, all of iam, sts or organizations, or a way to give itself rights, on every resource; none of `refused_policies` is attached.",
		"why": "Who may do everything makes every other rule a suggestion.",
		"fix": "name the actions and the resources, or add a reviewed entry to policies/exceptions.toml",
	},
	"unknown-policy": {
		"what": "Every policy document can be read: it is JSON in the plan, or comes from aws_iam_policy_document alone.",
		"why": "A document that is known only after apply may allow anything.",
		"fix": "write it as data \"aws_iam_policy_document\" and refer to its json directly, not through a local value",
	},
	"foreign-trust": {
		"what": "A role trusts AWS services, our own accounts and named subjects of identity providers alone.",
		"why": "Whoever a role trusts has its rights, and a provider vouches for all of its users.",
		"fix": "name the principal; add a StringEquals condition on the provider's sub; list own accounts in own_accounts of policies/data.json",
	},
	"public-policy": {
		"what": "No bucket, key, queue, topic, registry, secret, function or other resource lets everybody in, by policy, ACL or switch.",
		"why": "It is then read, or used and billed, by whoever finds it.",
		"fix": "name the principals, or add a condition on aws:SourceAccount or aws:PrincipalAccount with an own account",
	},
	"foreign-policy": {
		"what": "No resource's policy lets a foreign account or an unknown principal in.",
		"why": "Its use cannot be seen from here.",
		"fix": "name own principals, list own accounts in own_accounts of policies/data.json, or add an entry to policies/exceptions.toml",
	},
	"open-security-group": {
		"what": "No security group or prefix list lets in a public range wider than /16 (IPv6: /32), and every range is known.",
		"why": "What listens behind it is tried by everybody within minutes.",
		"fix": "name the ranges that need it, or add a reviewed entry to policies/exceptions.toml",
	},
	"user-keys": {
		"what": "No access key, service credential or console password is made for an IAM user.",
		"why": "It never expires, and its secret is in the state.",
		"fix": "use a role: IRSA or Pod Identity for pods, IAM Identity Center for people",
	},
	"cluster-admin": {
		"what": "No cluster entry, policy association or aws-auth map lets a foreign or unknown principal into a cluster.",
		"why": "Who is an admin of the cluster runs as every service account in it.",
		"fix": "name a role of an own account",
	},
	"foreign-peering": {
		"what": "No network is joined to a foreign account's: peering, transit gateway, endpoint service.",
		"why": "Private addresses are then reached by hosts that cannot be seen from here.",
		"fix": "peer within own accounts (own_accounts in policies/data.json), or add a reviewed entry to policies/exceptions.toml",
	},
	"foreign-share": {
		"what": "No image, snapshot or shared resource is given to a foreign account or to everybody.",
		"why": "A copy of a disk leaves with all that is on it.",
		"fix": "share within own accounts, or add a reviewed entry to policies/exceptions.toml",
	},
	"wide-policy": {
		"severity": "advice",
		"what": "An identity policy names actions rather than a whole service on every resource.",
		"why": "A service gains actions that were never reviewed.",
		"fix": "name the actions and the resources",
	},
	"storage-key": {
		"severity": "advice",
		"what": "A file system of FSx has a KMS key of its own.",
		"why": "With AWS' own key you cannot see or revoke who reads it.",
		"fix": "set kms_key_id",
	},
	"backups": {
		"severity": "advice",
		"what": "Caches and file systems that can be backed up are.",
		"why": "What is lost between two deployments cannot be made again.",
		"fix": "set the number of days or snapshots to one or more",
	},
	"default-network": {
		"severity": "advice",
		"what": "Nothing uses the account's default VPC.",
		"why": "Its subnets are public and its range is every account's.",
		"fix": "use the module vpc of terraform/",
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
