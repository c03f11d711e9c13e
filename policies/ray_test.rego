# A manifest that every rule allows; a test says only what it changes (RFC 6902 patches).
package ray_test

import data.ray
import rego.v1

limit(key) := object.union(data.policy.defaults, data.policy.environments.local)[key]

# rego-cpp: a text that was handed over to a function is whole only after trim_suffix.
text(parts) := trim_suffix(concat("", parts), "")

container(resources) := {
	"name": "ray",
	"image": "rayproject/ray:2.60.0",
	"resources": {"requests": resources, "limits": resources},
}

pod(resources) := {"spec": {"containers": [container(resources)]}}

good := {
	"kind": "RayCluster",
	"metadata": {"name": "ray"},
	"spec": {
		"headGroupSpec": {"template": pod({"cpu": "1", "memory": "4Gi"})},
		"workerGroupSpecs": [
			{"groupName": "cpu", "maxReplicas": 8, "template": pod({"cpu": "3", "memory": "13Gi"})},
			{
				"groupName": "gpu",
				"maxReplicas": 5,
				"template": pod({"cpu": "3", "memory": "13Gi", "nvidia.com/gpu": "1"}),
			},
		],
	},
}

release(patches) := {
	"environment": "local",
	"pools": {"cpu": {"max_size": 10, "gpu": false}, "gpu": {"max_size": 12, "gpu": true}},
	"documents": [json.patch(good, patches)],
}

set_to(path, value) := [{"op": "replace", "path": text([path]), "value": value}]

removed(path) := [{"op": "remove", "path": text([path])}]

added(path, value) := [{"op": "add", "path": text([path]), "value": value}]

denied(id) if {
	some violation in ray.findings
	violation.id == id
}

allowed(id) if not denied(id)

test_the_good_manifest_breaks_no_rule if {
	count(ray.findings) == 0 with input as release([])
}

test_ray_resources__allowed_with_requests_and_limits if {
	allowed("ray-resources") with input as release([])
}

test_ray_resources__denied_without_a_limit if {
	denied("ray-resources") with input as release(removed("/spec/headGroupSpec/template/spec/containers/0/resources/limits/memory"))
}

test_ray_resources__denied_for_an_init_container if {
	denied("ray-resources") with input as release(added("/spec/headGroupSpec/template/spec/initContainers", [{"name": "i", "image": "a/b:1"}]))
}

test_ray_gpu_quota__allowed_at_the_quota if {
	allowed("ray-gpu-quota") with input as release(set_to("/spec/workerGroupSpecs/1/maxReplicas", limit("max_ray_gpus")))
}

test_ray_gpu_quota__denied_at_one_more if {
	denied("ray-gpu-quota") with input as release(set_to("/spec/workerGroupSpecs/1/maxReplicas", limit("max_ray_gpus") + 1))
}

test_ray_gpu_quota__denied_when_each_worker_takes_several if {
	denied("ray-gpu-quota") with input as release(set_to("/spec/workerGroupSpecs/1/template/spec/containers/0/resources/limits/nvidia.com~1gpu", "9"))
}

test_ray_gpu_quota__denied_when_the_amount_cannot_be_read if {
	denied("ray-gpu-quota") with input as release(set_to("/spec/workerGroupSpecs/1/template/spec/containers/0/resources/limits/nvidia.com~1gpu", "many"))
}

test_ray_gpu_quota__denied_when_the_head_takes_too_many if {
	denied("ray-gpu-quota") with input as release(added("/spec/headGroupSpec/template/spec/containers/0/resources/limits/nvidia.com~1gpu", 6))
}

test_ray_privileged__allowed_without_rights if {
	allowed("ray-privileged") with input as release([])
}

test_ray_privileged__denied_for_a_privileged_container if {
	denied("ray-privileged") with input as release(added("/spec/workerGroupSpecs/0/template/spec/containers/0/securityContext", {"privileged": true}))
}

test_ray_privileged__denied_in_the_host_s_network if {
	denied("ray-privileged") with input as release(added("/spec/workerGroupSpecs/0/template/spec/hostNetwork", true))
}

test_ray_privileged__denied_for_a_strong_capability if {
	denied("ray-privileged") with input as release(added("/spec/workerGroupSpecs/0/template/spec/containers/0/securityContext", {"capabilities": {"add": ["SYS_ADMIN"]}}))
}

test_ray_image__allowed_by_a_version if {
	allowed("ray-image") with input as release([])
}

test_ray_image__allowed_by_a_digest if {
	allowed("ray-image") with input as release(set_to("/spec/headGroupSpec/template/spec/containers/0/image", "registry:5000/ray@sha256:0000000000000000000000000000000000000000000000000000000000000000"))
}

test_ray_image__denied_by_latest if {
	denied("ray-image") with input as release(set_to("/spec/headGroupSpec/template/spec/containers/0/image", "ray:latest"))
}

test_ray_image__denied_without_a_tag_although_the_registry_has_a_port if {
	denied("ray-image") with input as release(set_to("/spec/headGroupSpec/template/spec/containers/0/image", "registry:5000/ray"))
}

test_ray_image__denied_for_the_autoscaler_s_own if {
	denied("ray-image") with input as release(added("/spec/autoscalerOptions", {"image": "ray"}))
}

test_ray_image__denied_without_any if {
	denied("ray-image") with input as release(removed("/spec/headGroupSpec/template/spec/containers/0/image"))
}

test_ray_pool_size__allowed_as_large_as_its_pool if {
	allowed("ray-pool-size") with input as release(set_to("/spec/workerGroupSpecs/0/maxReplicas", 10))
}

test_ray_pool_size__denied_larger_than_its_pool if {
	denied("ray-pool-size") with input as release(set_to("/spec/workerGroupSpecs/0/maxReplicas", 11))
}

test_ray_pool_size__denied_when_a_replica_takes_several_nodes if {
	denied("ray-pool-size") with input as release(added("/spec/workerGroupSpecs/0/numOfHosts", 4))
}

test_ray_pool_size__denied_without_a_bound if {
	denied("ray-pool-size") with input as release(removed("/spec/workerGroupSpecs/0/maxReplicas"))
}

test_ray_pool_size__denied_on_a_pool_that_is_not_there if {
	denied("ray-pool-size") with input as release(set_to("/spec/workerGroupSpecs/0/groupName", "moon"))
}

test_ray_pool_size__denied_when_two_groups_share_a_pool if {
	denied("ray-pool-size") with input as release(added("/spec/workerGroupSpecs/1/template/spec/nodeSelector", {"eks.amazonaws.com/nodegroup": "local-cpu"}))
}

test_ray_environment__allowed_when_it_has_numbers if {
	count(ray.unusable_settings) == 0 with input as release([])
}

test_ray_environment__denied_when_it_is_unknown if {
	ray.unusable_settings[0].id == "ray-environment" with input as object.union(release([]), {"environment": "moon"})
}

test_ray_image__denied_in_a_manifest_by_itself if {
	denied("ray-image") with input as {"kind": "Pod", "spec": {"containers": [{"name": "x", "image": "x"}]}}
}
