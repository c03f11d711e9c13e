# What a Terraform plan may do.
#
# Input: `terraform show -json PLANFILE`, or the part of it that these rules read (`policy.fields` in
# data.json), with these keys more:
#   environment   names the numbers that hold; without it, the plan's variable of that name does
#   destroy       true when the removal of everything was asked for
#   prepared      true when each resource has its `facts` (`ray_platform/policy/plan_facts.py` makes them):
#                 what its expressions refer to, what its policy documents allow, what its ranges let in
#
# Each rule is an array of violations, not a set: a set of 4,000 takes 36 s in rego-cpp, an array 0.2 s.
#
# Engines differ on `not f(x.y)` while `x.y` is undefined: OPA calls it undefined, rego-cpp true. So nothing is
# negated that may be undefined: `at`, `first`, `nth` and `unknown` always have a value, and a test looks
# for a reference behind a `not`.
#
# Unknown until apply: a reference to another resource (a key's ARN) counts as present; a limit, a switch
# or a type counts as wrong, because nobody can tell yet that it is right.
package terraform

import rego.v1

environment := input.environment if {
	input.environment
} else := input.variables.environment.value if {
	input.variables.environment.value
} else := ""

settings := object.union(data.policy.defaults, object.get(data.policy.environments, environment, {}))

deny contains found if some found in unusable_settings

deny contains found if some found in findings

findings := array.concat(findings_of_each, array.concat(findings_of_whole, findings_of_buckets))

# What can be said of one resource without the others: a large plan may be asked in parts, since rego-cpp
# stops a query that takes too many steps.
findings_of_each := [finding |
	some found in [
		required_tags, deletion, node_tags, instance_type, node_kind, gpu_taint, gpu_scale_to_zero,
		secret_encryption, public_endpoint, database_public, database_kept, cache_closed, search_closed,
		admin_policy, unknown_policy, foreign_trust, public_policy, foreign_policy, open_security_group,
		user_keys, cluster_admin, foreign_peering, foreign_share,
		wide_policy, storage_key, backups, default_network,
	]
	some finding in found
]

# What needs to see every resource of the types in `policy.fields`, in two questions for the same reason.
findings_of_whole := [finding |
	some found in [
		unprepared, cpu_nodes, gpu_nodes, volume_encryption, log_encryption, public_node, imdsv2, template_version,
	]
	some finding in found
]

findings_of_buckets := array.concat(bucket_encryption, bucket_public)

# Without facts, rules on documents and ranges would see nothing and so allow everything.
unprepared := [v |
	not is_prepared
	v := violation("environment", "plan", "it was handed over without facts: ask through `ray-platform policy`")
]

is_prepared if input.prepared == true

# What is prepared has no data sources.
managed := input.resource_changes if {
	is_prepared
} else := [r |
	some r in input.resource_changes
	object.get(r, "mode", "managed") == "managed"
]

# Every resource that stands after apply, also those that the plan leaves alone.
standing := [r |
	some r in managed
	is_object(r.change.after)
]

# The standing resources of a type. `input.by_type` (type -> numbers of standing resources), where it is
# given, saves looking through the whole plan once for each type.
of(type) := [input.resource_changes[number] | some number in object.get(input.by_type, type, [])] if {
	input.by_type
} else := [r |
	some r in standing
	r.type == type
]

# What an object has under a key, null where it has nothing or is none. Never undefined.
at(value, key) := found if {
	found := value[key]
} else := null

# The facts of one kind about a resource; null where there are none.
fact(r, key) := at(at(r, "facts"), key)

# The resource instances that an attribute refers to; none where nobody knows.
referred(r, attribute) := found if {
	found := r.facts.references[attribute]
} else := []

# Whether an attribute that is known only after apply is set at all: without a configuration it may be.
may_be_set(r, attribute) if {
	is_unknown(unknown(r), attribute)
	fact(r, "configured") == null
}

may_be_set(r, attribute) if {
	is_unknown(unknown(r), attribute)
	attribute in r.facts.configured
}

is_unknown(hidden, key) if at(hidden, key) == true

has_items(value) if {
	is_array(value)
	count(value) > 0
}

# A number, also when it is written as a text.
number(value) := value if {
	is_number(value)
} else := found if {
	is_string(value)
	regex.match(`^[0-9]+$`, value)
	found := to_number(value)
} else := null

# The standing resources of some types.
of_types(types) := [r |
	some type in types
	some r in of(type)
]

# The standing resources that have facts of a kind; `input.by_fact`, where it is given, is as `input.by_type`.
with_fact(kind) := [input.resource_changes[number] | some number in object.get(input.by_fact, kind, [])] if {
	input.by_fact
} else := [r |
	some r in standing
	r.facts[kind]
]

# The first block of a kind, or an empty one: most blocks of the AWS provider are lists of one.
first(attributes, key) := attributes[key][0] if {
	is_object(attributes[key][0])
} else := {}

unknown(r) := r.change.after_unknown if {
	is_object(r.change.after_unknown)
} else := {}

# The block of a kind with this number; an empty one where there is none, so that a message that wants
# to tell its values is never lost.
nth(attributes, key, number) := attributes[key][number] if {
	is_object(attributes[key][number])
} else := {}

# How a value is told in a message.
told(attributes, hidden, key) := "unknown until apply" if {
	hidden[key] == true
} else := sprintf("%v", [attributes[key]]) if {
	object.get(attributes, key, null) != null
} else := "not set"

# rego-cpp puts quotes around what `concat` made when it stands in `sprintf`; trim_suffix takes them off.
listed(values) := trim_suffix(concat(", ", values), "")

violation(id, address, message) := {
	"id": id,
	"resource": address,
	"message": message,
	"fix": rules[id].fix,
	"severity": "deny",
}

# What is shown beside the violations and stops nothing.
advise(id, address, message) := {
	"id": id,
	"resource": address,
	"message": message,
	"fix": rules[id].fix,
	"severity": "advice",
}

is_on(value) if value in {true, "true"}

is_text(value) if {
	is_string(value)
	value != ""
}

unusable_settings := array.concat(
	[v |
		not has_numbers
		v := violation("environment", "plan", sprintf("environment %s has no numbers in data.json", [environment]))
	],
	[v |
		some key in needed_settings
		at(settings, key) == null
		v := violation("environment", "plan", sprintf("%s is not set in data.json", [key]))
	],
)

needed_settings := [
	"max_cpu_nodes", "max_gpu_nodes", "instance_types", "gpu_families", "gpu_taint_keys",
	"refused_node_kinds", "root_devices", "encryption_switches", "bucket_encryption",
	"required_tags", "protected_types", "refused_policies", "own_accounts",
]

has_numbers if is_object(data.policy.environments[environment])
