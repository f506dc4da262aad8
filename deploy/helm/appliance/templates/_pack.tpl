{{/* The pod of a pack: the supervisor, and the engines that it starts, in one container. */}}

{{/* Resources of the GPUs: root, pack → mapping */}}
{{- define "appliance.devices" -}}
{{- if .root.Values.engines.dra.enabled -}}
{}
{{- else if .pack.devices -}}
{{- toYaml .pack.devices -}}
{{- else if gt (int (.pack.gpus | default 0)) 0 -}}
{{- toYaml (dict .root.Values.engines.gpuResource (int .pack.gpus)) -}}
{{- else -}}
{}
{{- end -}}
{{- end -}}

{{/* Has the pack any GPU? root, pack → "yes" or nothing */}}
{{- define "appliance.hasGpus" -}}
{{- if or (gt (int (.pack.gpus | default 0)) 0) .pack.devices -}}yes{{- end -}}
{{- end -}}

{{/*
Seconds until a pack must have started: the starts of its engines, one after the other, since those of a GPU start in
turn, and the reading of their weights from the slowest disk. Where there is no plan, every model of the pool counts once.
*/}}
{{- define "appliance.startSeconds" -}}
{{- $per := .root.Values.engines.engineStartSeconds | int64 -}}
{{- $speed := .root.Values.engines.diskBytesPerSecond | int64 -}}
{{- $seconds := 60 | int64 -}}
{{- if .pack.engines -}}
{{- $seconds = add $seconds (mul $per (len .pack.engines)) -}}
{{- else -}}
{{- range (include "appliance.said" .root | fromYaml).pool -}}
{{- $seconds = add $seconds $per -}}
{{- end -}}
{{- end -}}
{{- add $seconds (div (add (.pack.weights_bytes | default 0 | int64) $speed -1) $speed) -}}
{{- end -}}

{{/* Models of a pack, one per line. */}}
{{- define "appliance.packModels" -}}
{{- $models := list -}}
{{- range .pack.engines -}}{{- $models = append $models .model -}}{{- end -}}
{{- if not $models -}}
{{- range (include "appliance.said" .root | fromYaml).pool -}}{{- $models = append $models .model -}}{{- end -}}
{{- end -}}
{{- join "\n" (uniq $models) -}}
{{- end -}}

{{- define "appliance.packImage" -}}
{{- if include "appliance.hasGpus" . -}}
{{- include "appliance.image" (dict "root" .root "image" .root.Values.images.engines "key" "images.engines") -}}
{{- else -}}
{{- include "appliance.image" (dict "root" .root "image" .root.Values.images.enginesCpu "key" "images.enginesCpu") -}}
{{- end -}}
{{- end -}}

{{/* root, pack, selector, rank (a further node of a group: it has no door) */}}
{{- define "appliance.packPod" -}}
{{- $root := .root -}}
{{- $pack := .pack -}}
{{- $engines := $root.Values.engines -}}
{{- $full := include "appliance.fullname" $root -}}
{{- $gpus := include "appliance.hasGpus" . -}}
{{- $node := dict -}}
{{- if and $engines.pinNodes $pack.node -}}{{- $_ := set $node "kubernetes.io/hostname" $pack.node -}}{{- end -}}
metadata:
  labels:
    {{- include "appliance.labels" (dict "root" $root "component" (ternary "rank" "pack" (not (empty .rank)))) | nindent 4 }}
    appliance/network: pack
    appliance/pack: {{ $pack.name }}
    {{- with $engines.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    appliance/config: {{ include "appliance.packConfig" $root | sha256sum }}
    appliance/plan: {{ include "appliance.packPlan" (dict "root" $root "pack" $pack) | sha256sum }}
    {{- with $engines.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "appliance.podSecurity" (dict "user" 10001) | nindent 2 }}
  {{- include "appliance.pullSecrets" $root | nindent 2 }}
  serviceAccountName: {{ $full }}-pack
  terminationGracePeriodSeconds: {{ add $engines.preStopSeconds (include "appliance.packDrainSeconds" $root) 20 }}
  {{- include "appliance.where" (dict "where" $engines "labels" .selector "more" (merge $node ($pack.node_selector | default dict))) | nindent 2 }}
  {{- if and $engines.dra.enabled $gpus }}
  resourceClaims:
    - name: gpus
      resourceClaimTemplateName: {{ $full }}-{{ $pack.name }}
  {{- end }}
  {{- if $root.Values.models.verify }}
  initContainers:
    - name: verify
      image: {{ include "appliance.packImage" . }}
      imagePullPolicy: {{ $root.Values.images.pullPolicy }}
      args:
        - models
        - verify
        - --config
        - /etc/appliance/config/config.yaml
        {{- range splitList "\n" (include "appliance.packModels" .) }}
        - {{ . }}
        {{- end }}
      {{- include "appliance.containerSecurity" $root | nindent 6 }}
      resources:
        requests: {cpu: "1", memory: 256Mi, ephemeral-storage: 16Mi}
        limits: {cpu: "4", memory: 1Gi, ephemeral-storage: 64Mi}
      volumeMounts:
        {{- include "appliance.packMounts" . | nindent 8 }}
  {{- end }}
  containers:
    - name: engines
      image: {{ include "appliance.packImage" . }}
      imagePullPolicy: {{ $root.Values.images.pullPolicy }}
      args:
        - engines
        - --config
        - /etc/appliance/config/config.yaml
        {{- if $pack.engines }}
        - --plan
        - /etc/appliance/plan/plan.yaml
        - --pack
        - {{ $pack.name }}
        {{- end }}
        - --log-to-stderr
      env:
        - name: APPLIANCE_PACK_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        - name: APPLIANCE_ENGINE_HOST
          valueFrom: {fieldRef: {fieldPath: status.podIP}}
        - name: APPLIANCE_NODE
          valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
        {{- with $engines.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if not .rank }}
      ports:
        - name: door
          containerPort: 8090
      {{- end }}
      {{- include "appliance.containerSecurity" $root | nindent 6 }}
      {{- $own := $pack.resources | default (ternary $engines.resources $engines.cpuResources (not (empty $gpus))) }}
      resources:
        {{- include "appliance.resources" (dict "resources" $own "extra" (include "appliance.devices" . | fromYaml)) | nindent 8 }}
        {{- if and $engines.dra.enabled $gpus }}
        claims:
          - name: gpus
        {{- end }}
      {{- if not .rank }}
      startupProbe: # {{ include "appliance.startSeconds" . }} s: the starts of all engines, and the reading of their weights
        httpGet: {path: /started, port: door}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: {{ div (add (include "appliance.startSeconds" .) 9) 10 }}
      livenessProbe:
        httpGet: {path: /health, port: door}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe: # true once an engine has generated a token, and as long as it goes on to
        httpGet: {path: /ready, port: door}
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 2
      lifecycle:
        preStop:
          sleep:
            seconds: {{ $engines.preStopSeconds }}
      {{- end }}
      volumeMounts:
        {{- include "appliance.packMounts" . | nindent 8 }}
        {{- if not .rank }}
        - name: secrets
          mountPath: /etc/appliance/secrets
          readOnly: true
        {{- end }}
        - name: data
          mountPath: /var/lib/appliance
        - name: shm
          mountPath: /dev/shm
  volumes:
    - name: config
      configMap:
        name: {{ $full }}-packs
    {{- if $pack.engines }}
    - name: plan
      configMap:
        name: {{ $full }}-{{ $pack.name }}
    {{- end }}
    {{- if not .rank }}
    - name: secrets
      secret:
        secretName: {{ include "appliance.secretName" $root }}
        defaultMode: 0440
        items:
          - {key: pack-key, path: pack-key}
    {{- end }}
    {{- if not $engines.cache.enabled }}
    - name: data
      emptyDir:
        sizeLimit: {{ $engines.cache.size }}
    {{- end }}
    - name: tmp
      emptyDir:
        sizeLimit: 4Gi
    - name: shm
      emptyDir:
        medium: Memory
        sizeLimit: {{ $engines.sharedMemory }}
    {{- include "appliance.storeVolume" $root | nindent 4 }}
    {{- include "appliance.catalogVolume" $root | nindent 4 }}
{{- end -}}

{{/* What both containers of a pack read. */}}
{{- define "appliance.packMounts" -}}
- name: config
  mountPath: /etc/appliance/config
  readOnly: true
{{- if .pack.engines }}
- name: plan
  mountPath: /etc/appliance/plan
  readOnly: true
{{- end }}
- name: tmp
  mountPath: /tmp
{{- include "appliance.storeMount" .root }}
{{- include "appliance.catalogMount" .root }}
{{- end -}}
