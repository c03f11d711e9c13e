{{- /* The spec of a RayCluster, of: top (the chart's context), groups (name -> worker group); of the standing one also standing,
     persistent, suspend. Its pods carry a digest of all that KubeRay would replace them for. */}}
{{- define "ray.clusterSpec" -}}
{{- include "ray.clusterSpecWith" (merge (dict "digest" (include "ray.podsDigest" .)) .) }}
{{- end }}

{{- define "ray.clusterSpecWith" -}}
{{- $top := .top }}
{{- with .top }}
rayVersion: {{ .Values.rayVersion | quote }}
{{- if $.standing }}
# KubeRay resumes a suspended cluster on an explicit false alone.
suspend: {{ $.suspend }}
{{- end }}
authOptions:
  mode: token
  secretName: {{ .Values.auth.secretName }}
enableInTreeAutoscaling: true
autoscalerOptions:
  version: v2
  idleTimeoutSeconds: {{ .Values.autoscaler.idleTimeoutSeconds }}
  upscalingMode: {{ .Values.autoscaler.upscalingMode }}
  image: {{ include "ray.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  env:
    {{- include "ray.env" . | nindent 4 }}
  resources:
    {{- include "ray.resources" .Values.autoscaler.resources | nindent 4 }}
  securityContext:
    {{- include "ray.containerSecurity" . | nindent 4 }}
  volumeMounts:
    {{- include "ray.headMounts" $ | nindent 4 }}
{{- with .Values.gcsFaultTolerance }}
{{- if .redisAddress }}
gcsFaultToleranceOptions:
  backend: redis
  redisAddress: {{ .redisAddress | quote }}
  {{- /* Two clusters in one namespace of Redis would read each other's nodes. */}}
  {{- if and $.standing .storageNamespace }}
  externalStorageNamespace: {{ .storageNamespace | quote }}
  {{- end }}
  {{- if .secretName }}
  {{- if .usernameKey }}
  redisUsername:
    valueFrom:
      secretKeyRef:
        name: {{ .secretName }}
        key: {{ .usernameKey }}
  {{- end }}
  redisPassword:
    valueFrom:
      secretKeyRef:
        name: {{ .secretName }}
        key: {{ .passwordKey }}
  {{- end }}
{{- end }}
{{- end }}
headGroupSpec:
  serviceType: ClusterIP
  rayStartParams:
    num-cpus: "0"
    dashboard-host: 0.0.0.0
  template:
    metadata:
      labels:
        {{- include "ray.labels" . | nindent 8 }}
        app.kubernetes.io/component: head
        {{- if $.standing }}
        # As KubeRay labels them, for whoever looks at the selectors beside it.
        ray.io/cluster: {{ .Release.Name }}
        {{- end }}
      annotations:
        {{- include "ray.annotations" . | nindent 8 }}
        {{- include "ray.digestAnnotation" $ | nindent 8 }}
    spec:
      serviceAccountName: {{ include "ray.serviceAccountName" . }}
      # KubeRay restarts Ray by replacing pods, which the v2 autoscaler counts on.
      restartPolicy: Never
      terminationGracePeriodSeconds: {{ .Values.head.terminationGracePeriodSeconds }}
      {{- with .Values.head.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- include "ray.pullSecrets" . | nindent 6 }}
      securityContext:
        {{- include "ray.podSecurity" . | nindent 8 }}
      {{- with .Values.head.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- $offSpot := dict "key" "eks.amazonaws.com/capacityType" "operator" "NotIn" "values" (list "SPOT") }}
      affinity:
        {{- include "ray.nodeAffinity" (append .Values.head.nodeAffinity $offSpot) | nindent 8 }}
      {{- with .Values.head.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: ray-head
          image: {{ include "ray.image" . }}
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          env:
            {{- include "ray.env" . | nindent 12 }}
          ports:
            - name: gcs
              containerPort: 6379
            - name: dashboard
              containerPort: 8265
            - name: client
              containerPort: 10001
            - name: metrics
              containerPort: 8080
            - name: serve
              containerPort: 8000
          {{- include "ray.probes" . | nindent 10 }}
          # The last lines of its log are kept with the exit code, when the pod itself is soon replaced.
          terminationMessagePolicy: FallbackToLogsOnError
          resources:
            {{- include "ray.resources" .Values.head.resources | nindent 12 }}
          securityContext:
            {{- include "ray.containerSecurity" . | nindent 12 }}
          volumeMounts:
            {{- include "ray.headMounts" $ | nindent 12 }}
      volumes:
        - name: scratch
          emptyDir:
            sizeLimit: {{ .Values.scratch.sizeLimit }}
        {{- if $.persistent }}
        - name: sessions
          persistentVolumeClaim:
            claimName: {{ include "ray.headClaim" . }}
        {{- end }}
{{- end }}
workerGroupSpecs:
  {{- range $name, $group := .groups }}
  {{- include "ray.workerGroup" (dict "top" $top "digest" $.digest "standing" $.standing "name" $name "group" (mergeOverwrite (deepCopy $top.Values.workerDefaults) (deepCopy $group))) | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "ray.headMounts" -}}
- name: scratch
  mountPath: /tmp
{{- if .persistent }}
- name: sessions
  mountPath: /tmp/ray
{{- end }}
{{- end }}
