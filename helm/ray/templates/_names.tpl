{{- define "ray.selector" -}}
app.kubernetes.io/name: ray
app.kubernetes.io/instance: {{ .Release.Name }}
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
{{- if hasPrefix "sha256:" .Values.image.tag -}}
{{ .Values.image.repository }}@{{ .Values.image.tag }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end }}
{{- end }}

{{- define "ray.headClaim" -}}
{{- .Values.head.persistence.existingClaim | default (printf "%s-head" .Release.Name) }}
{{- end }}
