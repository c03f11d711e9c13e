# What must stay, and what tells whose it is: tags, deletions, replacements.
package terraform

import rego.v1

required_tags := array.concat(missing_tags, foreign_tags)

missing_tags := [v |
	some r in standing
	not is_tagged(at(r.change.after, "tags_all"))
	has_tags(r)
	missing := lacking(at(r.change.after, "tags_all"), at(unknown(r), "tags_all"))
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

# The provider's default tags do not reach what an autoscaling group starts: the template must name them.
node_tags := [v |
	some r in of("aws_launch_template")
	some kind in ["instance", "volume"]
	missing := lacking(tags_of_kind(r, kind), unknown_tags_of_kind(r, kind))
	count(missing) > 0
	v := violation("required-tags", r.address, sprintf("tag_specifications for %s lack %s", [kind, listed(missing)]))
]

tags_of_kind(r, kind) := {name: value |
	some block in r.change.after.tag_specifications
	at(block, "resource_type") == kind
	some name
	value := block.tags[name]
}

# The provider gives blocks and their unknown parts in one order.
unknown_tags_of_kind(r, kind) := {name: value |
	some i
	block := r.change.after.tag_specifications[i]
	at(block, "resource_type") == kind
	some name
	value := unknown(r).tag_specifications[i].tags[name]
}

# The required tags that neither have a value nor will get one.
lacking(tags, hidden) := [tag |
	some tag in settings.required_tags
	not has_tag(tags, hidden, tag)
]

# Most resources have them all: that is asked first.
is_tagged(tags) if count([tag | some tag in settings.required_tags; is_text(tags[tag])]) == count(settings.required_tags)

# The provider gives `tags_all` to every resource that can carry tags.
has_tags(r) if object.get(r.change.after, "tags_all", false) != false

has_tags(r) if at(unknown(r), "tags_all") != null

has_tag(tags, _, tag) if is_text(tags[tag])

has_tag(_, hidden, tag) if hidden[tag] == true

# A replacement deletes, and what is forgotten lives on without anybody who watches it.
deletion := [v |
	not is_removal
	some r in managed
	r.type in settings.protected_types
	object.get(r, "deposed", "") == ""
	some action in {"delete", "forget"}
	action in r.change.actions
	v := violation("deletion", r.address, sprintf("actions are %s%s%s", [
		listed(r.change.actions), taken_along(r), on_system_pool(r),
	]))
]

is_removal if input.destroy == true

taken_along(r) := told_more if {
	taken := r.facts.takes_along
	count(taken) > 0
	told_more := sprintf("; it takes along %d: %s%s", [count(taken), listed(array.slice(taken, 0, 8)), more(count(taken) - 8)])
} else := ""

more(left) := " and more" if {
	left > 0
} else := ""

on_system_pool(r) := "; it is the system pool: DNS, operators and Dagster stop until its new nodes are ready" if {
	r.type == "aws_eks_node_group"
	is_object(r.change.after)
	at(at(r.change.after, "labels"), "ray-platform/ray-worker") != "true"
} else := ""
