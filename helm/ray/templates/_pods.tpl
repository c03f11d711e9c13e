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
runAsUser: {{ .Values.security.runAsUser }}
runAsGroup: {{ .Values.security.runAsGroup }}
fsGroup: {{ .Values.security.fsGroup }}
# A volume of many files is not gone through at each start.
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "ray.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- /* HOME: the image's own is on the read-only root. */}}
{{- define "ray.env" -}}
- name: RAY_AUTH_MODE
  value: token
- name: RAY_AUTH_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ .Values.auth.secretName }}
      key: {{ .Values.auth.secretKey }}
- name: HOME
  value: /tmp
- name: RAY_USAGE_STATS_ENABLED
  value: "0"
{{- end }}

{{- define "ray.annotations" -}}
# The cluster autoscaler takes no node away under a Ray node: Ray's own takes idle workers away, and then
# the node is empty.
cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
{{- if .Values.metrics.annotations }}
prometheus.io/scrape: "true"
prometheus.io/port: "8080"
prometheus.io/path: /metrics
{{- end }}
{{- end }}

{{- /* Ray's one health check for all its nodes (since 2.53), on the agent's port; it asks for no token. */}}
{{- define "ray.probes" -}}
{{- $check := dict "path" "/api/healthz" "port" 52365 }}
{{- $p := .Values.probes }}
startupProbe:
  httpGet: {{ toJson $check }}
  periodSeconds: {{ $p.periodSeconds }}
  timeoutSeconds: {{ $p.timeoutSeconds }}
  failureThreshold: {{ max 1 (div (int $p.startupSeconds) (int $p.periodSeconds)) }}
readinessProbe:
  httpGet: {{ toJson $check }}
  periodSeconds: {{ $p.periodSeconds }}
  timeoutSeconds: {{ $p.timeoutSeconds }}
  failureThreshold: {{ $p.failureThreshold }}
livenessProbe:
  httpGet: {{ toJson $check }}
  periodSeconds: {{ $p.periodSeconds }}
  timeoutSeconds: {{ $p.timeoutSeconds }}
  # A worker that is merely busy must not be killed: twice as patient.
  failureThreshold: {{ mul 2 (int $p.failureThreshold) }}
{{- end }}

{{- /* Node affinity of the conditions and of what the chart itself asks. */}}
{{- define "ray.nodeAffinity" -}}
{{- with . }}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      - matchExpressions:
          {{- range . }}
          - {{ toJson . }}
          {{- end }}
{{- end }}
{{- end }}

{{- define "ray.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}
