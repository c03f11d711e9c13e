{{- /* One worker group, of: top (the chart's context), name, group (with the defaults filled in), digest, standing. */}}
{{- define "ray.workerGroup" -}}
{{- $name := .name }}
{{- $group := .group }}
{{- if lt (int $group.maxReplicas) (int $group.minReplicas) }}
{{- fail (printf "workerGroups.%s: maxReplicas %d is below minReplicas %d" $name (int $group.maxReplicas) (int $group.minReplicas)) }}
{{- end }}
{{- if ge (int $group.drainSeconds) (int $group.terminationGracePeriodSeconds) }}
{{- fail (printf "workerGroups.%s: drainSeconds %d is not below terminationGracePeriodSeconds %d" $name (int $group.drainSeconds) (int $group.terminationGracePeriodSeconds)) }}
{{- end }}
{{- with .top }}
- groupName: {{ $name }}
  {{- with $group.replicas }}
  # The autoscaler owns these two: what stands is handed on, so that an upgrade resets nothing.
  replicas: {{ . }}
  {{- end }}
  {{- with $group.scaleStrategy.workersToDelete }}
  scaleStrategy:
    workersToDelete: {{ toJson . }}
  {{- end }}
  minReplicas: {{ $group.minReplicas }}
  maxReplicas: {{ $group.maxReplicas }}
  numOfHosts: {{ $group.numOfHosts }}
  {{- if $group.idleTimeoutSeconds }}
  idleTimeoutSeconds: {{ $group.idleTimeoutSeconds }}
  {{- end }}
  {{- with $group.rayResources }}
  rayStartParams:
    resources: {{ toJson . | squote | quote }}
  {{- else }}
  rayStartParams: {}
  {{- end }}
  {{- if or $group.instanceType $group.spot }}
  # Of the Ray node; Ray itself adds the group's name.
  labels:
    {{- with $group.instanceType }}
    node.kubernetes.io/instance-type: {{ . | quote }}
    {{- end }}
    {{- if $group.spot }}
    ray-platform/capacity: spot
    {{- end }}
  {{- end }}
  template:
    metadata:
      labels:
        {{- include "ray.labels" . | nindent 8 }}
        app.kubernetes.io/component: worker
        {{- if $.standing }}
        # As KubeRay labels them, for whoever looks at the selectors beside it.
        ray.io/cluster: {{ .Release.Name }}
        {{- end }}
        ray-platform/worker-group: {{ $name | quote }}
        ray-platform/capacity: {{ ternary "spot" "on-demand" $group.spot }}
      annotations:
        {{- include "ray.annotations" . | nindent 8 }}
        {{- with $group.instanceType }}
        ray-platform/instance-type: {{ . | quote }}
        {{- end }}
        {{- include "ray.digestAnnotation" $ | nindent 8 }}
    spec:
      serviceAccountName: {{ include "ray.serviceAccountName" . }}
      # KubeRay lets this account change the RayCluster, for the autoscaler: not for the tasks of workers.
      automountServiceAccountToken: false
      restartPolicy: Never
      terminationGracePeriodSeconds: {{ $group.terminationGracePeriodSeconds }}
      {{- with $group.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- include "ray.pullSecrets" . | nindent 6 }}
      securityContext:
        {{- include "ray.podSecurity" . | nindent 8 }}
      nodeSelector:
        {{- toYaml (default (dict "ray-platform/pool" $name) $group.nodeSelector) | nindent 8 }}
      {{- with $group.nodeAffinity }}
      affinity:
        {{- include "ray.nodeAffinity" . | nindent 8 }}
      {{- end }}
      {{- if $group.spreadOverZones }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: topology.kubernetes.io/zone
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "ray.selector" . | nindent 14 }}
              ray-platform/worker-group: {{ $name | quote }}
              {{- if $.standing }}
              ray.io/cluster: {{ .Release.Name }}
          {{- else }}
          # The cluster's name is chosen by KubeRay: of the pod's own.
          matchLabelKeys: [ray.io/cluster]
          {{- end }}
      {{- end }}
      {{- with $group.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: ray-worker
          image: {{ include "ray.imageOf" (list .Values.image.repository ($group.imageTag | default .Values.image.tag)) }}
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          env:
            {{- include "ray.env" . | nindent 12 }}
          ports:
            - name: metrics
              containerPort: 8080
          # A node's end comes with a notice (spot: two minutes, by the node termination handler's drain). Ray is told
          # first: an idle node goes at once; a busy one gets no new task, its objects move on, and its tasks have until
          # the deadline. Without a head to tell there is nothing to wait for.
          lifecycle:
            preStop:
              exec:
                command:
                  - /bin/sh
                  - -c
                  - |
                    drain() {
                      ray drain-node --reason="DRAIN_NODE_REASON_$1" --reason-message='the pod is told to end' \
                        --deadline-remaining-seconds={{ $group.drainSeconds }}
                    }
                    drain IDLE_TERMINATION || { drain PREEMPTION && sleep {{ $group.drainSeconds }}; }
          {{- include "ray.probes" . | nindent 10 }}
          terminationMessagePolicy: FallbackToLogsOnError
          resources:
            {{- include "ray.resources" $group.resources | nindent 12 }}
          securityContext:
            {{- include "ray.containerSecurity" . | nindent 12 }}
          volumeMounts:
            - name: scratch
              mountPath: /tmp
      volumes:
        - name: scratch
          emptyDir:
            sizeLimit: {{ .Values.scratch.sizeLimit }}
{{- end }}
{{- end }}
