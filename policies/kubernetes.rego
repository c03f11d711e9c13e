# What any Kubernetes manifest of the platform or of a team may do; ray.rego has what is Ray's own.
#
# Input: either one manifest, or
#   documents     the manifests of a release
#   environment   names the numbers that hold
package kubernetes

import rego.v1

environment := object.get(input, "environment", "")

settings := object.union(data.policy.defaults, object.get(data.policy.environments, environment, {}))

documents := input.documents if {
	input.documents
} else := [input]

deny contains found if some found in unusable_settings

deny contains found if some found in findings

findings := [finding |
	some found in [
		non_root, privilege, host_access, resources, image, seccomp, public_service, network_policy,
		namespace_name,
	]
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

namespace_of(document) := object.get(object.get(document, "metadata", {}), "namespace", "default")

# --- pods and containers, wherever they stand ---

pods := [pod |
	some document in documents
	walk(document, [path, value])
	is_array(value.containers)
	pod := {
		"document": document,
		"resource": sprintf("%s%s", [name_of(document), group_of(document, path)]),
		"spec": value,
		"labels": labels_of(document, path),
	}
]

# The labels stand beside the spec, in the metadata of the template (or of the pod itself).
labels_of(document, path) := object.get(above, ["metadata", "labels"], {}) if {
	count(path) > 1
	above := object.get(document, array.slice(path, 0, count(path) - 1), {})
} else := object.get(document, ["metadata", "labels"], {})

group_of(document, path) := sprintf(" worker group %s", [group.groupName]) if {
	some i
	path[i] == "workerGroupSpecs"
	group := object.get(document, array.slice(path, 0, i + 2), {})
	group.groupName
} else := " head" if {
	"headGroupSpec" in path
} else := ""

# The autoscaler that KubeRay puts beside a head is no container of the manifest yet, and is one in the cluster.
containers := array.concat(
	[found |
		some pod in pods
		some kind in ["initContainers", "containers", "ephemeralContainers"]
		some container in pod.spec[kind]
		found := {
			"resource": sprintf("%s: container %s", [pod.resource, object.get(container, "name", "?")]),
			"container": container,
			"pod": object.get(pod.spec, "securityContext", {}),
		}
	],
	[found |
		some document in documents
		walk(document, [_, value])
		options := value.autoscalerOptions
		found := {
			"resource": sprintf("%s: container autoscaler", [name_of(document)]),
			"container": options,
			"pod": object.get(value, ["headGroupSpec", "template", "spec", "securityContext"], {}),
		}
	],
)

# A container's own setting counts before its pod's.
security(c, key) := object.get(
	object.get(c.container, "securityContext", {}),
	key,
	object.get(c.pod, key, null),
)

own(c, key) := object.get(object.get(c.container, "securityContext", {}), key, null)

non_root := array.concat(
	[v |
		some c in containers
		security(c, "runAsNonRoot") != true
		v := violation("kube-non-root", c.resource, "runAsNonRoot is not true")
	],
	[v |
		some c in containers
		security(c, "runAsUser") == 0
		v := violation("kube-non-root", c.resource, "runAsUser is 0")
	],
)

privilege := array.concat(
	array.concat(
		[v |
			some c in containers
			own(c, "privileged") == true
			v := violation("kube-privilege", c.resource, "privileged is true")
		],
		[v |
			some c in containers
			own(c, "allowPrivilegeEscalation") != false
			v := violation("kube-privilege", c.resource, "allowPrivilegeEscalation is not false")
		],
	),
	array.concat(
		[v |
			some c in containers
			not "ALL" in dropped(c)
			v := violation("kube-privilege", c.resource, "capabilities are not all dropped")
		],
		[v |
			some c in containers
			own(c, "readOnlyRootFilesystem") != true
			v := violation("kube-privilege", c.resource, "readOnlyRootFilesystem is not true")
		],
	),
)

dropped(c) := object.get(object.get(object.get(c.container, "securityContext", {}), "capabilities", {}), "drop", [])

host_access := array.concat(
	[v |
		some pod in pods
		some right in ["hostNetwork", "hostPID", "hostIPC"]
		object.get(pod.spec, right, false) == true
		v := violation("kube-host", pod.resource, sprintf("%s is true", [right]))
	],
	array.concat(
		[v |
			some pod in pods
			some volume in object.get(pod.spec, "volumes", [])
			volume.hostPath
			v := violation("kube-host", pod.resource, sprintf("volume %s is a path of the node", [object.get(volume, "name", "?")]))
		],
		[v |
			some c in containers
			some port in object.get(c.container, "ports", [])
			object.get(port, "hostPort", 0) > 0
			v := violation("kube-host", c.resource, sprintf("hostPort is %v", [port.hostPort]))
		],
	),
)

resources := [v |
	some c in containers
	missing := [sprintf("%s.%s", [part, unit]) |
		some part in ["requests", "limits"]
		some unit in ["cpu", "memory"]
		not is_given(object.get(c.container, ["resources", part, unit], null))
	]
	count(missing) > 0
	v := violation("kube-resources", c.resource, sprintf("resources lack %s", [listed(missing)]))
]

is_given(value) if not value in {null, ""}

image := [v |
	some c in containers
	name := object.get(c.container, "image", "")
	not is_pinned(name)
	v := violation("kube-image", c.resource, sprintf("image is %s", [json.marshal(name)]))
]

is_pinned(name) if {
	is_string(name)
	regex.match(`@sha256:[0-9a-f]{64}$`, name)
}

is_pinned(name) if {
	is_string(name)
	not contains(name, "@")
	steps := split(name, "/")
	parts := split(steps[count(steps) - 1], ":")
	count(parts) == 2
	parts[1] != ""
	not parts[1] in settings.floating_tags
}

seccomp := [v |
	some c in containers
	profile := security(c, "seccompProfile")
	not is_confined(profile)
	v := violation("kube-seccomp", c.resource, "seccompProfile is neither RuntimeDefault nor Localhost")
]

is_confined(profile) if profile.type in ["RuntimeDefault", "Localhost"]

# --- services ---

public_service := array.concat(
	[v |
		some service in services
		service.spec.type == "LoadBalancer"
		not is_internal(service.document)
		v := violation("kube-public-service", service.resource, "a load balancer without the scheme internal")
	],
	[v |
		some service in services
		service.spec.type == "NodePort"
		v := violation("kube-public-service", service.resource, "type is NodePort")
	],
)

# Services by themselves, and those that an object of KubeRay makes.
services := array.concat(
	[found |
		some document in documents
		document.kind == "Service"
		found := {
			"document": document,
			"resource": name_of(document),
			"spec": object.get(document, "spec", {}),
		}
	],
	[found |
		some document in documents
		walk(document, [_, value])
		kind := value.serviceType
		found := {"document": {}, "resource": name_of(document), "spec": {"type": kind}}
	],
)

is_internal(document) if {
	annotations := object.get(document, ["metadata", "annotations"], {})
	annotations["service.beta.kubernetes.io/aws-load-balancer-scheme"] == "internal"
}

is_internal(document) if {
	annotations := object.get(document, ["metadata", "annotations"], {})
	annotations["service.beta.kubernetes.io/aws-load-balancer-internal"] == "true"
}

# --- network policies ---

policies := [policy |
	some document in documents
	document.kind == "NetworkPolicy"
	spec := object.get(document, "spec", {})
	policy := {
		"namespace": namespace_of(document),
		"selector": object.get(spec, "podSelector", {}),
		"types": object.get(spec, "policyTypes", ["Ingress"]),
	}
]

network_policy := [v |
	some pod in pods
	some direction in ["Ingress", "Egress"]
	not is_covered(pod, direction)
	v := violation("kube-network-policy", pod.resource, sprintf(
		"no network policy of namespace %s selects it for %s",
		[namespace_of(pod.document), direction],
	))
]

is_covered(pod, direction) if {
	some policy in policies
	policy.namespace == namespace_of(pod.document)
	direction in policy.types
	selects(policy.selector, pod.labels)
}

# An expression that this cannot judge counts as not matching.
selects(selector, labels) if {
	every expression in object.get(selector, "matchExpressions", []) {
		holds(expression, labels)
	}
	wanted := object.get(selector, "matchLabels", {})
	count([key | some key in object.keys(wanted); object.get(labels, key, null) != wanted[key]]) == 0
}

holds(expression, labels) if {
	expression.operator == "NotIn"
	not object.get(labels, expression.key, null) in expression.values
}

holds(expression, labels) if {
	expression.operator == "In"
	object.get(labels, expression.key, null) in expression.values
}

holds(expression, labels) if {
	expression.operator == "Exists"
	expression.key in object.keys(labels)
}

holds(expression, labels) if {
	expression.operator == "DoesNotExist"
	not expression.key in object.keys(labels)
}

# --- namespaces ---

namespace_name := array.concat(
	[v |
		some document in documents
		name := document.metadata.namespace
		not is_namespace(name)
		v := violation("kube-namespace", name_of(document), sprintf("namespace is %s", [json.marshal(name)]))
	],
	[v |
		some document in documents
		document.kind == "Namespace"
		not is_namespace(object.get(document, ["metadata", "name"], ""))
		v := violation("kube-namespace", name_of(document), "its name is none")
	],
)

is_namespace(name) if {
	is_string(name)
	regex.match(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`, name)
	count(name) < 64
}

# --- the numbers themselves ---

unusable_settings := array.concat(
	[v |
		not object.get(data.policy.environments, environment, false)
		v := violation("kube-environment", "manifests", sprintf("environment %s has no numbers in data.json", [environment]))
	],
	[v |
		object.get(settings, "floating_tags", null) == null
		v := violation("kube-environment", "manifests", "floating_tags is not set in data.json")
	],
)

rules := {
	"kube-non-root": {
		"what": "Every container runs as a user that is not root, and says so.",
		"why": "Root in a container that breaks out is root on the node.",
		"fix": "set runAsNonRoot to true, and runAsUser to another number than 0, in the securityContext of the pod",
	},
	"kube-privilege": {
		"what": "No container is privileged or may become so; all capabilities are dropped; the root is read-only.",
		"why": "Whatever runs there can then neither leave nor change its own image.",
		"fix": "set privileged and allowPrivilegeEscalation to false, readOnlyRootFilesystem to true, and capabilities.drop to [ALL]",
	},
	"kube-host": {
		"what": "No pod shares the node's network, processes, files or ports.",
		"why": "One tenant would see and reach what is another's.",
		"fix": "remove hostNetwork, hostPID, hostIPC, hostPort and hostPath; use a volume claim or an emptyDir",
	},
	"kube-resources": {
		"what": "Every container, KubeRay's autoscaler too, has requests and limits for CPU and memory.",
		"why": "Without them the scheduler overfills nodes, and a quota refuses the pod.",
		"fix": "set resources.requests and resources.limits",
	},
	"kube-image": {
		"what": "Every container's image has a digest, or a tag that is none of `floating_tags`.",
		"why": "What runs must be what was reviewed.",
		"fix": "use a version as tag, or a digest (@sha256:...)",
	},
	"kube-seccomp": {
		"what": "Every container runs under a seccomp profile: RuntimeDefault or Localhost.",
		"why": "It closes the system calls by which containers were left before.",
		"fix": "set seccompProfile.type to RuntimeDefault in the securityContext of the pod",
	},
	"kube-public-service": {
		"what": "No service has a public load balancer or a port on every node.",
		"why": "The way in is an ingress with TLS.",
		"fix": "use ClusterIP and an ingress, or a load balancer with the scheme internal",
	},
	"kube-network-policy": {
		"what": "Network policies of its namespace select every pod, for incoming and for outgoing traffic.",
		"why": "A pod that no policy selects may talk to everything.",
		"fix": "add a NetworkPolicy with policyTypes [Ingress, Egress] that selects the pod, next to the manifest",
	},
	"kube-namespace": {
		"what": "A namespace is named by at most 63 lower-case letters, digits or hyphens.",
		"why": "Kubernetes refuses any other, in the middle of an apply.",
		"fix": "rename the namespace",
	},
	"kube-environment": {
		"what": "The environment is known, and every setting that the rules need is set for it.",
		"why": "A list that is missing would let everything through.",
		"fix": "add the environment or the setting to policies/data.json",
	},
}
