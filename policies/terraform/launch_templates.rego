# What every node starts with.
package terraform

import rego.v1

# A node group without a template of this plan starts nodes with settings that nobody here can see.
untold_nodes := [found |
	some r in of("aws_eks_node_group")
	template := first(r.change.after, "launch_template")
	hidden := first(unknown(r), "launch_template")
	not has_template(r, template, hidden)
	found := {"address": r.address, "template": object.get(template, "id", null)}
]

has_template(_, template, _) if at(template, "id") in template_names

has_template(_, template, _) if at(template, "name") in template_names

# The template is made by this plan: it has no id yet, so the configuration says which it is.
has_template(r, template, hidden) if {
	is_made_now(template, hidden)
	count(templates_of(r)) > 0
}

has_template(r, template, hidden) if {
	is_made_now(template, hidden)
	fact(r, "configured") == null
	count(of("aws_launch_template")) > 0
}

is_made_now(template, hidden) if {
	not has_name(template)
	some key in ["id", "name"]
	is_unknown(hidden, key)
}

has_name(template) if {
	some key in ["id", "name"]
	is_text(at(template, key))
}

# The templates of this plan that a group starts nodes from.
templates_of(r) := [found |
	block := first(r.change.after, "launch_template")
	has_name(block)
	some found in of("aws_launch_template")
	some key in ["id", "name"]
	is_text(at(block, key))
	at(block, key) == at(found.change.after, key)
] if {
	has_name(first(r.change.after, "launch_template"))
} else := [found |
	some found in of("aws_launch_template")
	found.address in referred(r, "launch_template")
]

template_names := {name |
	some r in of("aws_launch_template")
	some key in ["id", "name"]
	name := r.change.after[key]
	is_text(name)
}

imdsv2 := array.concat(
	[v |
		some r in array.concat(of("aws_launch_template"), of("aws_instance"))
		not requires_token(first(r.change.after, "metadata_options"))
		v := violation("imdsv2", r.address, sprintf(
			"metadata_options.http_tokens is %s",
			[told(
				first(r.change.after, "metadata_options"),
				first(unknown(r), "metadata_options"),
				"http_tokens",
			)],
		))
	],
	[v |
		some node in untold_nodes
		v := violation("imdsv2", node.address, sprintf(
			"launch_template is %v, not one of this plan, so nothing requires session tokens",
			[node.template],
		))
	],
)

requires_token(options) if at(options, "http_tokens") == "required"

requires_token(options) if at(options, "http_endpoint") == "disabled"

# The rules judge a template as it will be, so a group must run that version and not an earlier one.
template_version := [v |
	some r in of("aws_eks_node_group")
	some template in templates_of(r)
	block := first(r.change.after, "launch_template")
	hidden := first(unknown(r), "launch_template")
	not is_unknown(hidden, "version")
	version := at(block, "version")
	not runs_latest(version, template)
	v := violation("template-version", r.address, sprintf(
		"launch_template.version is %v, the latest of %s is %s",
		[version, template.address, latest_of(template)],
	))
]

runs_latest("$Latest", _)

runs_latest("$Default", template) if at(template.change.after, "update_default_version") == true

runs_latest("$Default", template) if sprintf("%v", [at(template.change.after, "default_version")]) == latest_of(template)

runs_latest(version, template) if sprintf("%v", [version]) == latest_of(template)

latest_of(template) := sprintf("%v", [latest]) if {
	latest := number(at(template.change.after, "latest_version"))
	latest != null
} else := "1" if {
	template.change.actions == ["create"]
} else := "known only after apply"
