# Who may do what: identity policies, trust, resource policies, keys, cluster entries.
#
# Documents are read by `ray_platform/policy/access_documents.py`, whatever way they are written; a statement
# has these facts: allow, every_action, services, escalations, every_resource, everyone, accounts,
# unknown_principals, federated, subject, own_only.
package terraform

import rego.v1

documents := [found |
	some r in with_fact("documents")
	some document in r.facts.documents
	found := {"address": r.address, "document": document}
]

allowing(kind) := [found |
	some item in documents
	item.document.kind == kind
	some at_number
	statement := item.document.statements[at_number]
	statement.allow == true
	found := {
		"address": item.address,
		"statement": statement,
		"place": sprintf("%s, statement %d,", [item.document.attribute, at_number + 1]),
	}
]

unknown_policy := array.concat(
	[v |
		some item in documents
		item.document.problem != ""
		v := violation("unknown-policy", item.address, sprintf("%s: %s", [item.document.attribute, item.document.problem]))
	],
	[v |
		some r in of_types(attachments)
		may_be_set(r, "policy_arn")
		not all_policies_of_plan(r)
		v := violation("unknown-policy", r.address, "policy_arn is known only after apply, and is no policy of this plan")
	],
)

attachments := {
	"aws_iam_policy_attachment", "aws_iam_role_policy_attachment", "aws_iam_user_policy_attachment",
	"aws_iam_group_policy_attachment",
}

attaching := attachments | {
	"aws_iam_role", "aws_iam_group_policy_attachments_exclusive", "aws_iam_role_policy_attachments_exclusive",
	"aws_iam_user_policy_attachments_exclusive", "aws_ssoadmin_managed_policy_attachment",
}

all_policies_of_plan(r) if {
	found := referred(r, "policy_arn")
	count(found) > 0
	every address in found {
		contains(address, "aws_iam_policy.")
	}
}

admin_policy := array.concat(
	[v |
		some item in allowing("identity")
		item.statement.every_resource == true
		reason := escalates(item.statement)
		reason != ""
		v := violation("admin-policy", item.address, sprintf("%s allows %s on every resource", [item.place, reason]))
	],
	[v |
		some r in of_types(attaching)
		some arn in attached_arns(r)
		parts := split(arn, "/")
		parts[count(parts) - 1] in settings.refused_policies
		v := violation("admin-policy", r.address, sprintf("it attaches %s", [arn]))
	],
)

escalates(statement) := "every action" if {
	statement.every_action == true
} else := sprintf("every action of %s", [listed(strong)]) if {
	strong := [service | some service in statement.services; service in {"iam", "organizations", "sts"}]
	count(strong) > 0
} else := sprintf("%s, by which it can give itself any right", [listed(array.slice(statement.escalations, 0, 4))]) if {
	count(statement.escalations) > 0
} else := ""

attached_arns(r) := array.concat(
	[arn |
		some key in ["policy_arn", "managed_policy_arn"]
		arn := at(r.change.after, key)
		is_text(arn)
	],
	[arn |
		some key in ["managed_policy_arns", "policy_arns"]
		some arn in r.change.after[key]
		is_text(arn)
	],
)

foreign_trust := array.concat(
	[v |
		some item in allowing("trust")
		some who in strangers(item.statement)
		v := violation("foreign-trust", item.address, sprintf("%s trusts %s", [item.place, who]))
	],
	[v |
		some item in allowing("trust")
		count(item.statement.federated) > 0
		item.statement.subject == false
		v := violation("foreign-trust", item.address, sprintf(
			"%s trusts whomever %s vouches for: no condition names a subject",
			[item.place, listed(item.statement.federated)],
		))
	],
)

strangers(statement) := ["everybody"] if {
	statement.everyone == true
	statement.own_only == false
} else := array.concat(
	[sprintf("account %s", [account]) | some account in statement.accounts],
	[sprintf("%s, which names no account", [who]) | some who in statement.unknown_principals],
)

public_policy := array.concat(
	[v |
		some item in allowing("resource")
		item.statement.everyone == true
		item.statement.own_only == false
		v := violation("public-policy", item.address, sprintf("%s lets everybody in", [item.place]))
	],
	array.concat(public_objects, open_functions),
)

foreign_policy := array.concat(
	[v |
		some item in allowing("resource")
		item.statement.everyone == false
		some who in strangers(item.statement)
		v := violation("foreign-policy", item.address, sprintf("%s lets %s in", [item.place, who]))
	],
	[v |
		some r in with_fact("principals")
		r.type in {"aws_kms_grant", "aws_lambda_permission", "aws_lambda_layer_version_permission", "aws_cloudwatch_event_permission"}
		some named in r.facts.principals
		named.whose in {"foreign", "unknown"}
		v := violation("foreign-policy", r.address, sprintf("%s is %s", [named.attribute, named.who]))
	],
)

public_acls := {"public-read", "public-read-write", "authenticated-read"}

public_objects := array.concat(
	array.concat(
		[v |
			some r in of_types({"aws_s3_bucket", "aws_s3_bucket_acl", "aws_s3_object", "aws_s3_bucket_object"})
			at(r.change.after, "acl") in public_acls
			v := violation("public-policy", r.address, sprintf("acl is %s", [r.change.after.acl]))
		],
		[v |
			some r in of("aws_s3_bucket_acl")
			some control in r.change.after.access_control_policy
			some grant in control.grant
			some grantee in grant.grantee
			uri := at(grantee, "uri")
			is_text(uri)
			v := violation("public-policy", r.address, sprintf("access_control_policy grants to the group %s", [uri]))
		],
	),
	array.concat(
		[v |
			some r in of("aws_s3_account_public_access_block")
			some switch in ["block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"]
			at(r.change.after, switch) != true
			v := violation("public-policy", r.address, sprintf("%s of the account is not on", [switch]))
		],
		[v |
			some r in of("aws_ecrpublic_repository")
			v := violation("public-policy", r.address, "everybody may pull from a public registry")
		],
	),
)

open_functions := array.concat(
	[v |
		some r in of("aws_lambda_function_url")
		at(r.change.after, "authorization_type") != "AWS_IAM"
		v := violation("public-policy", r.address, "authorization_type is not AWS_IAM: everybody may call it")
	],
	[v |
		some r in with_fact("principals")
		some named in r.facts.principals
		named.whose == "everyone"
		r.type in {"aws_kms_grant", "aws_lambda_permission", "aws_lambda_layer_version_permission", "aws_cloudwatch_event_permission"}
		v := violation("public-policy", r.address, sprintf("%s is %s", [named.attribute, named.who]))
	],
)

user_keys := [v |
	some r in of_types({"aws_iam_access_key", "aws_iam_service_specific_credential", "aws_iam_user_login_profile"})
	v := violation("user-keys", r.address, "it makes a credential that never expires, and keeps it in the state")
]

cluster_admin := [v |
	some r in with_fact("principals")
	r.type in {
		"aws_eks_access_entry", "aws_eks_access_policy_association", "kubernetes_config_map",
		"kubernetes_config_map_v1", "kubernetes_config_map_v1_data",
	}
	some named in r.facts.principals
	named.whose in {"everyone", "foreign", "unknown"}
	v := violation("cluster-admin", r.address, sprintf("%s is %s", [named.attribute, named.who]))
]
