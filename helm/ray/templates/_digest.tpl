{{- /* Names what KubeRay makes the pods of; the arguments are those of ray.clusterSpec. As its strategy Recreate it leaves out
     replicas, bounds, workersToDelete, tolerations and scheduling gates, and counts every other field. The platform reads on the
     pods themselves whether they are what the RayCluster asks for: its status does not say. */}}
{{- define "ray.podsDigest" -}}
{{- $spec := include "ray.clusterSpecWith" . | fromYaml }}
{{- if $spec.Error }}
{{- fail $spec.Error }}
{{- end }}
{{- $_ := unset $spec.headGroupSpec.template.spec "tolerations" }}
{{- $_ := unset $spec.headGroupSpec.template.spec "schedulingGates" }}
{{- range $group := $spec.workerGroupSpecs }}
{{- range $field := list "replicas" "minReplicas" "maxReplicas" "scaleStrategy" }}
{{- $_ := unset $group $field }}
{{- end }}
{{- $_ := unset $group.template.spec "tolerations" }}
{{- $_ := unset $group.template.spec "schedulingGates" }}
{{- end }}
{{- $spec | toJson | sha256sum | trunc 32 }}
{{- end }}

{{- define "ray.digestAnnotation" -}}
{{- with .digest -}}
ray-platform/pods-digest: {{ . | quote }}
{{- end }}
{{- end }}
