# What the Kubernetes manifests of a Ray cluster may do.
#
# Input: either one manifest, or
#   documents     the manifests of a release
#   pools         node pools by name: {"max_size": nodes, "gpu": bool}
#   environment   names the numbers that hold
package ray

import rego.v1

environment := object.get(input, "environment", "")

settings := object.union(data.policy.defaults, object.get(data.policy.environments, environment, {}))

node_pools := object.get(input, "pools", {})

documents := input.documents if {
	input.documents
} else := [input]

deny contains found if some found in unusable_settings

deny contains found if some found in findings

findings := [finding |
	some found in [resources, gpu_quota, privileged, image, pool_size]
	some finding in found
]

# rego-cpp puts quotes around what `concat` made when it stands in `sprintf`; trim_suffix takes them off.
listed(values) := trim_suffix(concat(", ", values), "")

violation(id, resource, message) := {
	"id": id,
	"resource": resource,
	"message": message,
	"fix": rules[id].fix,
	"severity": "deny",
}

name_of(document) := sprintf("%s/%s", [
	object.get(document, "kind", "?"),
	object.get(object.get(document, "metadata", {}), "name", "?"),
])

# --- pods and containers, wherever they stand ---

pods := [pod |
	some document in documents
	walk(document, [path, value])
	is_array(value.containers)
	pod := {"document": document, "path": path, "spec": value}
]

containers := [found |
	some pod in pods
	some kind in ["initContainers", "containers", "ephemeralContainers"]
	some container in pod.spec[kind]
	found := {
		"resource": sprintf("%s: container %s%s", [
			name_of(pod.document), object.get(container, "name", "?"), group_of(pod),
		]),
		"container": container,
	}
]

# Names the worker group that a pod template belongs to.
group_of(pod) := sprintf(" of worker group %s", [group.groupName]) if {
	some i
	pod.path[i] == "workerGroupSpecs"
	above := array.slice(pod.path, 0, i + 2)
	group := object.get(pod.document, above, {})
	group.groupName
} else := ""

resources := [v |
	some c in containers
	missing := [sprintf("%s.%s", [part, unit]) |
		some part in ["requests", "limits"]
		some unit in ["cpu", "memory"]
		not is_given(object.get(c.container, ["resources", part, unit], null))
	]
	count(missing) > 0
	v := violation("ray-resources", c.resource, sprintf("resources lack %s", [listed(missing)]))
]

is_given(value) if not value in {null, ""}

# One walk for each right: rego-cpp takes ten times as long to look for all five at every step of one.
rights := [
	[[path, "privileged", document] | some document in documents; walk(document, [path, value]); value.privileged == true],
	[[path, "allowPrivilegeEscalation", document] | some document in documents; walk(document, [path, value]); value.allowPrivilegeEscalation == true],
	[[path, "hostNetwork", document] | some document in documents; walk(document, [path, value]); value.hostNetwork == true],
	[[path, "hostPID", document] | some document in documents; walk(document, [path, value]); value.hostPID == true],
	[[path, "hostIPC", document] | some document in documents; walk(document, [path, value]); value.hostIPC == true],
]

privileged := array.concat(
	[v |
		some found in rights
		some [path, right, document] in found
		v := violation("ray-privileged", name_of(document), sprintf("%s: %s is true", [place(path), right]))
	],
	[v |
		some c in containers
		some capability in object.get(c.container, ["securityContext", "capabilities", "add"], [])
		capability in {"ALL", "SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"}
		v := violation("ray-privileged", c.resource, sprintf("capability %s is added", [capability]))
	],
)

place(path) := trim_suffix(concat(".", [sprintf("%v", [step]) | some step in path]), "")

image := array.concat(
	[v |
		some document in documents
		walk(document, [path, value])
		is_string(value.image)
		not is_pinned(value.image)
		v := violation("ray-image", name_of(document), sprintf("%s: image is %s", [place(path), value.image]))
	],
	[v |
		some c in containers
		not is_string(object.get(c.container, "image", null))
		v := violation("ray-image", c.resource, "image is not set")
	],
)

is_pinned(name) if regex.match(`@sha256:[0-9a-f]{64}$`, name)

is_pinned(name) if {
	not contains(name, "@")
	steps := split(name, "/")
	parts := split(steps[count(steps) - 1], ":")
	count(parts) == 2
	parts[1] != ""
	not parts[1] in settings.floating_tags
}

# --- worker groups ---

clusters := [cluster |
	some document in documents
	some path in [["spec"], ["spec", "rayClusterSpec"], ["spec", "rayClusterConfig"]]
	spec := object.get(document, path, {})
	spec.headGroupSpec
	cluster := {"name": name_of(document), "spec": spec}
]

groups := [found |
	some cluster in clusters
	some group in cluster.spec.workerGroupSpecs
	pod := object.get(group, ["template", "spec"], {})
	found := {
		"resource": sprintf("%s: worker group %s", [cluster.name, object.get(group, "groupName", "?")]),
		"pool": pool_of(group, object.get(pod, "nodeSelector", {})),
		"max": object.get(group, "maxReplicas", "not set"),
		"hosts": object.get(group, "numOfHosts", 1),
		"nodes": nodes_of(group),
		"gpus": gpus_of(pod),
	}
]

# A selector decides where a worker really goes; a node group of EKS is called ENVIRONMENT-POOL.
pool_of(group, selector) := selector["ray-platform/pool"] if {
	selector["ray-platform/pool"]
} else := trim_prefix(selector["eks.amazonaws.com/nodegroup"], concat("", [environment, "-"])) if {
	selector["eks.amazonaws.com/nodegroup"]
} else := object.get(group, "groupName", "?")

# A group's greatest number of pods, or null when the manifest does not tell it.
nodes_of(group) := object.get(group, "maxReplicas", null) * object.get(group, "numOfHosts", 1) if {
	is_number(object.get(group, "maxReplicas", null))
	is_number(object.get(group, "numOfHosts", 1))
} else := null

sized_groups := [group |
	some group in groups
	is_number(group.nodes)
]

pool_size := array.concat(
	array.concat(
		[v |
			some group in groups
			not is_number(group.nodes)
			v := violation("ray-pool-size", group.resource, sprintf(
				"maxReplicas is %v and numOfHosts %v",
				[group.max, group.hosts],
			))
		],
		[v |
			some group in groups
			not node_pools[group.pool]
			v := violation("ray-pool-size", group.resource, sprintf(
				"node pool %s is not one of: %s",
				[group.pool, listed(sort(object.keys(node_pools)))],
			))
		],
	),
	[v |
		some name in object.keys(node_pools)
		pool := node_pools[name]
		sharing := [group |
			some group in sized_groups
			group.pool == name
		]
		wanted := sum([group.nodes | some group in sharing])
		wanted > pool.max_size
		v := violation(
			"ray-pool-size",
			listed(sort([group.resource | some group in sharing])),
			sprintf("maxReplicas ask for %d nodes of node pool %s, whose max_size is %d", [wanted, name, pool.max_size]),
		)
	],
)

gpus_of(pod) := sum([amount |
	some container in pod.containers
	amount := gpus_in(container)
])

# Kubernetes wants requests and limits of a GPU to be equal; the greater one is what is meant.
gpus_in(container) := max([amount |
	some part in ["requests", "limits"]
	amount := to_gpus(object.get(container, ["resources", part, "nvidia.com/gpu"], 0))
])

to_gpus(amount) := amount if {
	is_number(amount)
} else := to_number(amount) if {
	regex.match(`^[0-9]+$`, amount)
} else := 1000000

gpu_quota := [v |
	in_groups := [gpus |
		some group in sized_groups
		gpus := group.nodes * group.gpus
	]
	elsewhere := [gpus |
		some pod in pods
		not "workerGroupSpecs" in pod.path
		gpus := gpus_of(pod.spec) * copies_of(pod.document)
	]
	wanted := sum(array.concat(in_groups, elsewhere))
	wanted > settings.max_ray_gpus
	v := violation(
		"ray-gpu-quota",
		listed(sort(array.concat(
			[group.resource | some group in sized_groups; group.gpus > 0],
			[name_of(pod.document) | some pod in pods; not "workerGroupSpecs" in pod.path; gpus_of(pod.spec) > 0],
		))),
		sprintf("nvidia.com/gpu sums to %d at most; %d are allowed in %s", [wanted, settings.max_ray_gpus, environment]),
	)
]

copies_of(document) := document.spec.replicas if {
	is_number(document.spec.replicas)
} else := document.spec.parallelism if {
	is_number(document.spec.parallelism)
} else := 1

# --- the numbers themselves ---

unusable_settings := array.concat(
	[v |
		not object.get(data.policy.environments, environment, false)
		v := violation("ray-environment", "manifests", sprintf("environment %s has no numbers in data.json", [environment]))
	],
	[v |
		some key in needed_settings
		not is_set(key)
		v := violation("ray-environment", "manifests", sprintf("%s is not set in data.json", [key]))
	],
)

needed_settings := ["max_ray_gpus", "floating_tags"]

is_set(key) if object.get(settings, key, null) != null

rules := {
	"ray-resources": {
		"what": "Every container has requests and limits for CPU and memory.",
		"why": "Ray sizes itself by its limits; without requests the scheduler overfills nodes.",
		"fix": "set resources of the head or worker group in the values of helm/ray",
	},
	"ray-gpu-quota": {
		"what": "The GPUs of all pods at their greatest number sum to at most `max_ray_gpus`.",
		"why": "The account's GPU quota is finite and shared.",
		"fix": "lower maxReplicas or gpu of a worker group, or raise max_ray_gpus in policies/data.json",
	},
	"ray-privileged": {
		"what": "No container is privileged, may become so, shares the host's namespaces or adds a strong capability.",
		"why": "Ray runs whatever code it is given.",
		"fix": "remove the setting from the pod's or container's securityContext",
	},
	"ray-image": {
		"what": "Every image has a digest, or a tag that is none of `floating_tags`.",
		"why": "A run must be able to say which image it ran on.",
		"fix": "set image.tag to a version, or to a digest (@sha256:...)",
	},
	"ray-pool-size": {
		"what": "Worker groups together ask for no more nodes of a node pool than its `max_size`.",
		"why": "Ray would wait forever for nodes that the pool may not start.",
		"fix": "derive the worker groups from node_pools in terraform/environments, or raise the pool's max_size",
	},
	"ray-environment": {
		"what": "The environment is known, and every number that the rules need is set for it.",
		"why": "A limit that is missing would let everything through.",
		"fix": "add the environment or the number to policies/data.json",
	},
}
