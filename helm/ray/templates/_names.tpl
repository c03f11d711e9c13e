{{- define "ray.selector" -}}
app.kubernetes.io/name: ray
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* The pods of the standing RayCluster, and of no other: the pods of a RayJob's or a RayService's clusters have the labels of
     the chart too, but another ray.io/cluster. */}}
{{- define "ray.clusterSelector" -}}
{{ include "ray.selector" . }}
ray.io/cluster: {{ .Release.Name }}
{{- end }}

{{- /* The other pods of the release: those of a RayJob's or a RayService's clusters, and a RayJob's submitter, which has no
     ray.io/cluster at all. */}}
{{- define "ray.othersSelector" -}}
matchLabels:
  {{- include "ray.selector" . | nindent 2 }}
matchExpressions:
  - {key: ray.io/cluster, operator: NotIn, values: [{{ .Release.Name }}]}
{{- end }}

{{- define "ray.labels" -}}
{{ include "ray.selector" . }}
app.kubernetes.io/version: {{ .Values.rayVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
ray-platform/environment: {{ .Values.environment | quote }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "ray.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default .Release.Name }}
{{- end }}

{{- define "ray.image" -}}
{{- include "ray.imageOf" (list .Values.image.repository .Values.image.tag) }}
{{- end }}

{{- /* Of repository and tag; the tag may be a digest. */}}
{{- define "ray.imageOf" -}}
{{- $repository := first . }}
{{- $tag := last . }}
{{- $repository }}{{ ternary "@" ":" (hasPrefix "sha256:" $tag) }}{{ $tag }}
{{- end }}

{{- define "ray.headClaim" -}}
{{- .Values.head.persistence.existingClaim | default (printf "%s-head" .Release.Name) }}
{{- end }}
