package terraform_test

import data.terraform
import rego.v1

# What `ray_platform/policy/access_documents.py` says of a statement that allows one action on one resource.
harmless := {
	"allow": true, "every_action": false, "services": [], "escalations": [], "every_resource": false,
	"everyone": false, "accounts": [], "unknown_principals": [], "federated": [], "subject": false, "own_only": false,
}

with_document(type, kind, changes) := added("/holder", object.union(
	resource(type, "holder", {}, {}),
	{"facts": {"documents": [{
		"attribute": "policy", "kind": kind, "problem": "",
		"statements": [object.union(harmless, changes)],
	}]}},
))

with_principal(type, whose) := added("/named", object.union(
	resource(type, "named", {}, {}),
	{"facts": {"principals": [{"attribute": "principal", "who": "x", "whose": whose}]}},
))

plain(type, after) := added("/plain", resource(type, "plain", after, {}))

test_admin_policy__allowed_for_one_action_on_one_resource if {
	allowed("admin-policy") with input as plan(with_document("aws_iam_policy", "identity", {}))
}

test_admin_policy__denied_for_every_action_on_every_resource if {
	denied("admin-policy") with input as plan(with_document("aws_iam_role_policy", "identity", {"every_action": true, "every_resource": true}))
}

test_admin_policy__denied_for_all_of_iam if {
	denied("admin-policy") with input as plan(with_document("aws_iam_role_policy", "identity", {"services": ["iam"], "every_resource": true}))
}

test_admin_policy__denied_for_a_way_to_give_itself_rights if {
	denied("admin-policy") with input as plan(with_document("aws_iam_policy", "identity", {"escalations": ["iam:putuserpolicy"], "every_resource": true}))
}

test_admin_policy__allowed_when_the_statement_denies if {
	allowed("admin-policy") with input as plan(with_document("aws_iam_policy", "identity", {"allow": false, "every_action": true, "every_resource": true}))
}

test_admin_policy__denied_for_an_attached_policy_of_aws if {
	denied("admin-policy") with input as plan(plain("aws_iam_role_policy_attachment", {"policy_arn": "arn:aws:iam::aws:policy/AdministratorAccess"}))
}

test_admin_policy__denied_for_one_in_a_role_s_list if {
	denied("admin-policy") with input as plan(plain("aws_iam_role", {"managed_policy_arns": ["arn:aws-us-gov:iam::aws:policy/job/PowerUserAccess"]}))
}

test_unknown_policy__allowed_when_the_document_was_read if {
	allowed("unknown-policy") with input as plan(with_document("aws_iam_policy", "identity", {}))
}

test_unknown_policy__denied_when_it_has_a_problem if {
	denied("unknown-policy") with input as plan(added("/holder", object.union(resource("aws_sqs_queue", "q", {}, {}), {"facts": {"documents": [{"attribute": "policy", "kind": "resource", "problem": "known only after apply", "statements": []}]}})))
}

test_unknown_policy__denied_when_what_is_attached_is_unknown if {
	denied("unknown-policy") with input as plan(added("/holder", resource("aws_iam_role_policy_attachment", "a", {}, {"policy_arn": true})))
}

test_unknown_policy__allowed_when_what_is_attached_is_made_by_the_plan if {
	allowed("unknown-policy") with input as plan(added("/holder", object.union(resource("aws_iam_role_policy_attachment", "a", {}, {"policy_arn": true}), {"facts": {"configured": ["policy_arn"], "references": {"policy_arn": ["module.m.aws_iam_policy.own"]}}})))
}

test_foreign_trust__allowed_for_a_service_or_an_own_account if {
	allowed("foreign-trust") with input as plan(with_document("aws_iam_role", "trust", {}))
}

test_foreign_trust__denied_for_another_account if {
	denied("foreign-trust") with input as plan(with_document("aws_iam_role", "trust", {"accounts": ["999999999999"]}))
}

test_foreign_trust__denied_for_everybody if {
	denied("foreign-trust") with input as plan(with_document("aws_iam_role", "trust", {"everyone": true}))
}

test_foreign_trust__denied_for_an_unknown_principal if {
	denied("foreign-trust") with input as plan(with_document("aws_iam_role", "trust", {"unknown_principals": ["AIDAEXAMPLE"]}))
}

test_foreign_trust__denied_for_a_provider_without_a_subject if {
	denied("foreign-trust") with input as plan(with_document("aws_iam_role", "trust", {"federated": ["accounts.google.com"]}))
}

test_foreign_trust__allowed_for_a_provider_with_a_subject if {
	allowed("foreign-trust") with input as plan(with_document("aws_iam_role", "trust", {"federated": ["accounts.google.com"], "subject": true}))
}

test_public_policy__allowed_for_own_principals if {
	allowed("public-policy") with input as plan(with_document("aws_s3_bucket_policy", "resource", {}))
}

test_public_policy__denied_for_everybody if {
	denied("public-policy") with input as plan(with_document("aws_sns_topic_policy", "resource", {"everyone": true}))
}

test_public_policy__allowed_for_everybody_of_own_accounts if {
	allowed("public-policy") with input as plan(with_document("aws_sns_topic_policy", "resource", {"everyone": true, "own_only": true}))
}

test_public_policy__denied_for_an_acl if {
	denied("public-policy") with input as plan(plain("aws_s3_bucket_acl", {"acl": "public-read"}))
}

test_public_policy__denied_for_a_grant_to_a_group if {
	denied("public-policy") with input as plan(plain("aws_s3_bucket_acl", {"access_control_policy": [{"grant": [{"grantee": [{"uri": "http://acs.amazonaws.com/groups/global/AllUsers"}]}]}]}))
}

test_public_policy__denied_for_a_function_s_address if {
	denied("public-policy") with input as plan(plain("aws_lambda_function_url", {"authorization_type": "NONE"}))
}

test_public_policy__denied_for_a_public_registry if {
	denied("public-policy") with input as plan(plain("aws_ecrpublic_repository", {}))
}

test_public_policy__denied_when_the_account_s_block_has_a_gap if {
	denied("public-policy") with input as plan(plain("aws_s3_account_public_access_block", {"block_public_acls": true, "block_public_policy": true, "ignore_public_acls": true, "restrict_public_buckets": false}))
}

test_public_policy__denied_when_everybody_may_call_a_function if {
	denied("public-policy") with input as plan(with_principal("aws_lambda_permission", "everyone"))
}

test_foreign_policy__allowed_for_own_principals if {
	allowed("foreign-policy") with input as plan(with_principal("aws_lambda_permission", "own"))
}

test_foreign_policy__denied_for_another_account if {
	denied("foreign-policy") with input as plan(with_document("aws_kms_key", "resource", {"accounts": ["999999999999"]}))
}

test_foreign_policy__denied_for_another_account_s_grant if {
	denied("foreign-policy") with input as plan(with_principal("aws_kms_grant", "foreign"))
}

test_user_keys__allowed_without_any if {
	allowed("user-keys") with input as plan(plain("aws_iam_user", {"name": "u"}))
}

test_user_keys__denied_for_an_access_key if {
	denied("user-keys") with input as plan(plain("aws_iam_access_key", {"user": "u"}))
}

test_cluster_admin__allowed_for_an_own_role if {
	allowed("cluster-admin") with input as plan(with_principal("aws_eks_access_entry", "own"))
}

test_cluster_admin__denied_for_another_account_s_role if {
	denied("cluster-admin") with input as plan(with_principal("aws_eks_access_policy_association", "foreign"))
}

test_cluster_admin__denied_in_the_map_of_an_old_cluster if {
	denied("cluster-admin") with input as plan(with_principal("kubernetes_config_map_v1_data", "foreign"))
}

test_wide_policy__allowed_for_named_actions if {
	allowed("wide-policy") with input as plan(with_document("aws_iam_policy", "identity", {}))
}

test_wide_policy__denied_never_but_advised_for_a_whole_service if {
	advised("wide-policy") with input as plan(with_document("aws_iam_policy", "identity", {"services": ["s3"], "every_resource": true}))
}
