# What every node starts with.
package terraform

import rego.v1

# A node group without a template of this plan starts nodes with settings that nobody here can see.
untold_nodes := [found |
	some r in of("aws_eks_node_group")
	template := first(r.change.after, "launch_template")
	hidden := first(unknown(r), "launch_template")
	not has_template(template, hidden)
	found := {"address": r.address, "template": object.get(template, "id", null)}
]

has_template(template, _) if template.id in template_names

has_template(template, _) if template.name in template_names

# The template is made by this plan: it has no id yet.
has_template(template, hidden) if {
	not is_text(template.id)
	not is_text(template.name)
	some key in ["id", "name"]
	hidden[key] == true
	count(of("aws_launch_template")) > 0
}

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

requires_token(options) if options.http_tokens == "required"

requires_token(options) if options.http_endpoint == "disabled"
