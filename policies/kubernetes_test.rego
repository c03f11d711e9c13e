# A release that every rule allows; a test says only what it changes (RFC 6902 patches of its first document).
package kubernetes_test

import data.kubernetes
import rego.v1

# rego-cpp: a text that was handed over to a function is whole only after trim_suffix.
text(parts) := trim_suffix(concat("", parts), "")

confined := {
	"allowPrivilegeEscalation": false,
	"readOnlyRootFilesystem": true,
	"capabilities": {"drop": ["ALL"]},
}

amounts := {"cpu": "1", "memory": "1Gi"}

container := {
	"name": "a",
	"image": "a/b:1",
	"securityContext": confined,
	"resources": {"requests": amounts, "limits": amounts},
}

pod := {
	"metadata": {"labels": {"app": "a"}},
	"spec": {
		"securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
		"containers": [container],
	},
}

good := {
	"kind": "Deployment",
	"metadata": {"name": "a", "namespace": "team"},
	"spec": {"template": pod},
}

policy := {
	"kind": "NetworkPolicy",
	"metadata": {"name": "deny", "namespace": "team"},
	"spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}

release(patches) := {"environment": "local", "documents": [json.patch(good, patches), policy]}

with_policy(patches) := {"environment": "local", "documents": [good, json.patch(policy, patches)]}

with_service(document) := {"environment": "local", "documents": [good, policy, document]}

service(spec, annotations) := {
	"kind": "Service",
	"metadata": {"name": "s", "namespace": "team", "annotations": annotations},
	"spec": spec,
}

cluster(patches) := {
	"environment": "local",
	"documents": [policy, json.patch(
		{
			"kind": "RayCluster",
			"metadata": {"name": "ray", "namespace": "team"},
			"spec": {
				"autoscalerOptions": {
					"image": "a/b:1",
					"securityContext": confined,
					"resources": {"requests": amounts, "limits": amounts},
				},
				"headGroupSpec": {"serviceType": "ClusterIP", "template": pod},
				"workerGroupSpecs": [{"groupName": "cpu", "template": pod}],
			},
		},
		patches,
	)],
}

set_to(path, value) := [{"op": "replace", "path": text([path]), "value": value}]

removed(path) := [{"op": "remove", "path": text([path])}]

added(path, value) := [{"op": "add", "path": text([path]), "value": value}]

denied(id) if {
	some violation in kubernetes.findings
	violation.id == id
}

allowed(id) if not denied(id)

test_the_good_release_breaks_no_rule if {
	count(kubernetes.findings) == 0 with input as release([])
}

test_a_good_ray_cluster_breaks_no_rule if {
	count(kubernetes.findings) == 0 with input as cluster([])
}

test_kube_non_root__allowed_when_the_pod_says_so if {
	allowed("kube-non-root") with input as release([])
}

test_kube_non_root__denied_when_nobody_says_so if {
	denied("kube-non-root") with input as release(removed("/spec/template/spec/securityContext/runAsNonRoot"))
}

test_kube_non_root__denied_when_the_container_takes_it_back if {
	denied("kube-non-root") with input as release(added("/spec/template/spec/containers/0/securityContext/runAsNonRoot", false))
}

test_kube_non_root__denied_for_user_zero if {
	denied("kube-non-root") with input as release(set_to("/spec/template/spec/securityContext/runAsUser", 0))
}

test_kube_non_root__denied_in_a_worker_group if {
	denied("kube-non-root") with input as cluster(removed("/spec/workerGroupSpecs/0/template/spec/securityContext/runAsNonRoot"))
}

test_kube_privilege__allowed_without_any if {
	allowed("kube-privilege") with input as release([])
}

test_kube_privilege__denied_when_privileged if {
	denied("kube-privilege") with input as release(added("/spec/template/spec/containers/0/securityContext/privileged", true))
}

test_kube_privilege__denied_when_it_may_become_so if {
	denied("kube-privilege") with input as release(removed("/spec/template/spec/containers/0/securityContext/allowPrivilegeEscalation"))
}

test_kube_privilege__denied_with_capabilities if {
	denied("kube-privilege") with input as release(removed("/spec/template/spec/containers/0/securityContext/capabilities"))
}

test_kube_privilege__denied_on_a_root_that_can_be_written if {
	denied("kube-privilege") with input as release(set_to("/spec/template/spec/containers/0/securityContext/readOnlyRootFilesystem", false))
}

test_kube_privilege__denied_for_the_autoscaler_of_a_ray_cluster if {
	denied("kube-privilege") with input as cluster(removed("/spec/autoscalerOptions/securityContext"))
}

test_kube_host__allowed_without_it if {
	allowed("kube-host") with input as release([])
}

test_kube_host__denied_in_its_network if {
	denied("kube-host") with input as release(added("/spec/template/spec/hostNetwork", true))
}

test_kube_host__denied_with_a_path_of_the_node if {
	denied("kube-host") with input as release(added("/spec/template/spec/volumes", [{"name": "v", "hostPath": {"path": "/"}}]))
}

test_kube_host__denied_with_a_port_of_the_node if {
	denied("kube-host") with input as release(added("/spec/template/spec/containers/0/ports", [{"containerPort": 80, "hostPort": 80}]))
}

test_kube_resources__allowed_with_requests_and_limits if {
	allowed("kube-resources") with input as release([])
}

test_kube_resources__denied_without_a_limit if {
	denied("kube-resources") with input as release(set_to("/spec/template/spec/containers/0/resources", {"requests": {"cpu": "1", "memory": "1Gi"}}))
}

test_kube_resources__denied_without_any if {
	denied("kube-resources") with input as release(removed("/spec/template/spec/containers/0/resources"))
}

test_kube_resources__denied_for_an_init_container if {
	denied("kube-resources") with input as release(added("/spec/template/spec/initContainers", [{"name": "i", "image": "a/b:1"}]))
}

test_kube_resources__denied_for_the_autoscaler_of_a_ray_cluster if {
	denied("kube-resources") with input as cluster(removed("/spec/autoscalerOptions/resources"))
}

test_kube_image__allowed_by_a_version if {
	allowed("kube-image") with input as release([])
}

test_kube_image__allowed_by_a_digest if {
	allowed("kube-image") with input as release(set_to("/spec/template/spec/containers/0/image", "registry:5000/a@sha256:0000000000000000000000000000000000000000000000000000000000000000"))
}

test_kube_image__denied_by_latest if {
	denied("kube-image") with input as release(set_to("/spec/template/spec/containers/0/image", "a/b:latest"))
}

test_kube_image__denied_without_a_tag if {
	denied("kube-image") with input as release(set_to("/spec/template/spec/containers/0/image", "registry:5000/b"))
}

test_kube_image__denied_without_any if {
	denied("kube-image") with input as release(removed("/spec/template/spec/containers/0/image"))
}

test_kube_seccomp__allowed_by_the_pod_s_profile if {
	allowed("kube-seccomp") with input as release([])
}

test_kube_seccomp__denied_without_one if {
	denied("kube-seccomp") with input as release(removed("/spec/template/spec/securityContext/seccompProfile"))
}

test_kube_seccomp__denied_unconfined if {
	denied("kube-seccomp") with input as release(added("/spec/template/spec/containers/0/securityContext/seccompProfile", {"type": "Unconfined"}))
}

test_kube_public_service__allowed_inside if {
	allowed("kube-public-service") with input as with_service(service({"type": "ClusterIP"}, {}))
}

test_kube_public_service__allowed_by_an_internal_load_balancer if {
	allowed("kube-public-service") with input as with_service(service({"type": "LoadBalancer"}, {"service.beta.kubernetes.io/aws-load-balancer-scheme": "internal"}))
}

test_kube_public_service__denied_by_a_load_balancer if {
	denied("kube-public-service") with input as with_service(service({"type": "LoadBalancer"}, {}))
}

test_kube_public_service__denied_by_a_public_scheme if {
	denied("kube-public-service") with input as with_service(service({"type": "LoadBalancer"}, {"service.beta.kubernetes.io/aws-load-balancer-scheme": "internet-facing"}))
}

test_kube_public_service__denied_on_every_node if {
	denied("kube-public-service") with input as with_service(service({"type": "NodePort"}, {}))
}

test_kube_public_service__denied_for_the_head_of_a_ray_cluster if {
	denied("kube-public-service") with input as cluster(set_to("/spec/headGroupSpec/serviceType", "LoadBalancer"))
}

test_kube_network_policy__allowed_when_all_pods_are_selected if {
	allowed("kube-network-policy") with input as release([])
}

test_kube_network_policy__allowed_by_its_labels if {
	allowed("kube-network-policy") with input as with_policy(set_to("/spec/podSelector", {"matchLabels": {"app": "a"}}))
}

test_kube_network_policy__denied_without_any if {
	denied("kube-network-policy") with input as {"environment": "local", "documents": [good]}
}

test_kube_network_policy__denied_in_another_namespace if {
	denied("kube-network-policy") with input as with_policy(set_to("/metadata/namespace", "other"))
}

test_kube_network_policy__denied_for_one_direction_alone if {
	denied("kube-network-policy") with input as with_policy(set_to("/spec/policyTypes", ["Ingress"]))
}

test_kube_network_policy__denied_by_other_labels if {
	denied("kube-network-policy") with input as with_policy(set_to("/spec/podSelector", {"matchLabels": {"app": "b"}}))
}

test_kube_network_policy__allowed_by_an_expression if {
	allowed("kube-network-policy") with input as with_policy(set_to("/spec/podSelector", {"matchExpressions": [{"key": "app", "operator": "Exists"}, {"key": "ray.io/cluster", "operator": "NotIn", "values": ["other"]}]}))
}

test_kube_network_policy__denied_by_an_expression if {
	denied("kube-network-policy") with input as with_policy(set_to("/spec/podSelector", {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}))
}

test_kube_network_policy__denied_by_an_expression_of_an_unknown_operator if {
	denied("kube-network-policy") with input as with_policy(set_to("/spec/podSelector", {"matchExpressions": [{"key": "app", "operator": "Gt", "values": ["0"]}]}))
}

test_kube_namespace__allowed_by_its_name if {
	allowed("kube-namespace") with input as release([])
}

test_kube_namespace__denied_in_capitals if {
	denied("kube-namespace") with input as release(set_to("/metadata/namespace", "Team_A"))
}

test_kube_namespace__denied_for_a_namespace_itself if {
	denied("kube-namespace") with input as with_service({"kind": "Namespace", "metadata": {"name": "-a"}})
}

test_kube_environment__allowed_when_it_is_known if {
	count(kubernetes.unusable_settings) == 0 with input as release([])
}

test_kube_environment__denied_when_it_is_unknown if {
	kubernetes.unusable_settings[0].id == "kube-environment" with input as object.union(release([]), {"environment": "moon"})
}

test_kube_image__denied_in_a_manifest_by_itself if {
	denied("kube-image") with input as {"kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
}
