{{- define "ray.labels" -}}
app.kubernetes.io/name: ray
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Values.rayVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
ray-platform/environment: {{ .Values.environment | quote }}
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

{{- /* Requests equal limits. A GPU is asked for only where there is one: a zero would still tie the pod to the device plugin. */}}
{{- define "ray.resources" -}}
{{- range $i, $part := list "limits" "requests" }}
{{- if $i }}
{{ end }}
{{- $part }}:
  cpu: {{ $.cpu | quote }}
  memory: {{ $.memory | quote }}
  {{- if gt (int (default 0 $.gpu)) 0 }}
  nvidia.com/gpu: {{ $.gpu | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "ray.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 100
fsGroup: 100
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "ray.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
{{- end }}

{{- define "ray.env" -}}
- name: RAY_AUTH_MODE
  value: token
- name: RAY_AUTH_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ .Values.auth.secretName }}
      key: {{ .Values.auth.secretKey }}
{{- end }}
