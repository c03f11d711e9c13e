# What a Terraform plan may do.
#
# Input: `terraform show -json PLANFILE`, or the part of it that these rules read (`policy.fields` in
# data.json), with two keys more:
#   environment   names the numbers that hold; without it, the plan's variable of that name does
#   destroy       true when somebody asked for everything to be removed
#
# Each rule is an array of violations, not a set: a set of 4,000 takes 36 s in rego-cpp, an array 0.2 s.
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

findings := array.concat(findings_of_each, findings_of_whole)

# What can be said of one resource without the others: a large plan may be asked in parts, since rego-cpp
# stops a query that takes too many steps.
findings_of_each := array.concat(required_tags, deletion)

# What needs to see every resource of the types in `policy.fields`.
findings_of_whole := [finding |
	some found in [
		cpu_nodes, gpu_nodes, instance_type, node_kind, volume_encryption, bucket_encryption,
		secret_encryption, log_encryption, public_node, public_endpoint, bucket_public, imdsv2,
		gpu_taint, gpu_scale_to_zero, database_public, database_kept, cache_closed,
	]
	some finding in found
]

managed := [r |
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

is_on(value) if value in {true, "true"}

is_text(value) if {
	is_string(value)
	value != ""
}

required_tags := array.concat(missing_tags, foreign_tags)

missing_tags := [v |
	some r in standing
	has_tags(r)
	missing := [tag |
		some tag in settings.required_tags
		not has_tag(r, tag)
	]
	count(missing) > 0
	v := violation("required-tags", r.address, sprintf("tags_all lacks %s", [listed(missing)]))
]

foreign_tags := [v |
	"environment" in settings.required_tags
	some r in standing
	named := r.change.after.tags_all.environment
	is_text(named)
	named != environment
	v := violation("required-tags", r.address, sprintf("tags_all.environment is %s in the environment %s", [named, environment]))
]

# The provider gives `tags_all` to every resource that can carry tags.
has_tags(r) if "tags_all" in object.keys(r.change.after)

has_tags(r) if unknown(r).tags_all

has_tag(r, tag) if is_text(r.change.after.tags_all[tag])

has_tag(r, _) if unknown(r).tags_all == true

has_tag(r, tag) if unknown(r).tags_all[tag] == true

deletion := [v |
	not input.destroy == true
	some r in managed
	r.type in settings.protected_types
	# What a replacement left behind is not the live object.
	object.get(r, "deposed", "") == ""
	some action in r.change.actions
	# What Terraform forgets lives on, billed and unwatched.
	action in {"delete", "forget"}
	v := violation("deletion", r.address, sprintf("actions are %s", [listed(r.change.actions)]))
]

unusable_settings := array.concat(
	[v |
		not object.get(data.policy.environments, environment, false)
		v := violation("environment", "plan", sprintf("environment %s has no numbers in data.json", [environment]))
	],
	[v |
		some key in needed_settings
		not is_set(key)
		v := violation("environment", "plan", sprintf("%s is not set in data.json", [key]))
	],
)

needed_settings := [
	"max_cpu_nodes", "max_gpu_nodes", "instance_types", "gpu_families", "gpu_taint_keys",
	"refused_node_kinds", "root_devices", "encryption_switches", "bucket_encryption",
	"required_tags", "protected_types",
]

is_set(key) if object.get(settings, key, null) != null
