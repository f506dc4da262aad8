{{/* The configuration that pods read: what `config` says, and what only the chart can know. */}}

{{/* What `config` says, or the starter pool, as YAML. */}}
{{- define "appliance.said" -}}
{{- if .Values.config -}}
{{- toYaml .Values.config -}}
{{- else -}}
{{- toYaml (omit (.Files.Get "files/starter.yaml" | fromYaml).config "ledger") -}}
{{- end -}}
{{- end -}}

{{/* Paths and addresses that hold in every pod. */}}
{{- define "appliance.paths" -}}
version: 1
data_dir: /var/lib/appliance
engines:
  first_port: 8100
models:
  catalog: {{ include "appliance.catalogPath" . }}
  store: {{ include "appliance.storePath" . }}
  verify_digests: false # an init container did, once
{{- end -}}

{{- define "appliance.gatewayConfig" -}}
{{- $said := include "appliance.said" . | fromYaml -}}
{{- $chart := include "appliance.gatewayOwn" . | fromYaml -}}
{{- toYaml (mergeOverwrite $said (include "appliance.paths" . | fromYaml) $chart) -}}
{{- end -}}

{{- define "appliance.gatewayOwn" -}}
{{- $packs := printf "%s-packs" (include "appliance.fullname" .) -}}
server:
  host: "0.0.0.0"
  port: 8000
  api_key_file: /etc/appliance/secrets/api-keys
  open_paths: [/health, /ready] # the probes bring no key
access:
  pepper_file: /etc/appliance/secrets/pepper
cluster:
  key_file: /etc/appliance/secrets/pack-key
  salt_file: /etc/appliance/secrets/salt
  discovery:
    {{- if eq .Values.gateway.discovery.kind "kubernetes" }}
    kubernetes:
      service: {{ $packs }}
    {{- else }}
    urls:
      {{- include "appliance.doors" . | nindent 6 }}
    {{- end }}
ledger:
  {{- if ne .Values.database.kind "sqlite" }}
  url_file: /etc/appliance/database/url
  {{- end }}
  audit:
    key_file: /etc/appliance/secrets/audit-key
{{- end -}}

{{/* What runs the gateways: where each keeps a volume of its own, because of its audit chain, a StatefulSet. */}}
{{- define "appliance.gatewayKind" -}}
{{- ternary "StatefulSet" "Deployment" (and (ne .Values.database.kind "sqlite") .Values.gateway.data.enabled) -}}
{{- end -}}

{{/* Addresses of the packs' doors, by the names of their pods. */}}
{{- define "appliance.doors" -}}
{{- $full := include "appliance.fullname" . -}}
{{- range $pack := .Values.packs -}}
{{- range $n := until (int (include "appliance.packReplicas" $pack)) }}
- http://{{ $full }}-{{ $pack.name }}-{{ $n }}.{{ $full }}-packs.{{ $.Release.Namespace }}.svc:8090
{{- end -}}
{{- end -}}
{{- range .Values.groups }}
- http://{{ $full }}-{{ .name }}-0.{{ $full }}-{{ .name }}.{{ $.Release.Namespace }}.svc:8090
{{- end -}}
{{- end -}}

{{/* What a pack needs to know. Sections that only gateways read are left out, so that a change there restarts no engine. */}}
{{- define "appliance.packConfig" -}}
{{- $said := omit (include "appliance.said" . | fromYaml) "access" "bundle" "coordinator" "dispatch" "ledger" "policy" "server" -}}
{{- $chart := include "appliance.packOwn" . | fromYaml -}}
{{- toYaml (mergeOverwrite $said (include "appliance.paths" . | fromYaml) $chart) -}}
{{- end -}}

{{- define "appliance.packOwn" -}}
cluster:
  key_file: /etc/appliance/secrets/pack-key
  door:
    host: "0.0.0.0"
    port: 8090
{{- end -}}

{{- define "appliance.catalogPath" -}}
{{- get (dict "image" "/opt/appliance/catalog" "configMap" "/etc/appliance/catalog" "store" "/etc/appliance/catalog") .Values.models.catalog.kind -}}
{{- end -}}

{{- define "appliance.storePath" -}}
{{- ternary "/opt/appliance/models" "/models" (eq .Values.models.store.kind "embedded") -}}
{{- end -}}

{{/* Pods of a pack: what it says, else 1. */}}
{{- define "appliance.packReplicas" -}}
{{- if hasKey . "replicas" -}}{{ .replicas }}{{- else -}}1{{- end -}}
{{- end -}}

{{/* root, pack: one pack as `appliance engines --plan` reads it */}}
{{- define "appliance.packPlan" -}}
{{- $ids := list -}}
{{- range .pack.engines -}}{{- $ids = append $ids .id -}}{{- end -}}
{{- $turns := list -}}
{{- range .root.Values.turn_groups -}}
{{- if has (first .engines) $ids -}}{{- $turns = append $turns . -}}{{- end -}}
{{- end -}}
{{- $engines := list -}}
{{- range .pack.engines -}}
{{- $engines = append $engines (merge (dict) . (dict "tensor_parallel_size" 1 "gpu_memory_utilization" 0.9)) -}}
{{- end -}}
{{- $pack := merge (dict "engines" $engines) (pick .pack "name" "node" "gpus" "gpu_ids") (dict "node" "") -}}
{{- toYaml (dict "packs" (list $pack) "turn_groups" $turns) -}}
{{- end -}}

{{/* Seconds that an answer in flight gets when an engine stops: the configuration's, else its default. */}}
{{- define "appliance.packDrainSeconds" -}}
{{- $said := include "appliance.said" . | fromYaml -}}
{{- ceil (dig "engines" "drain_timeout_s" 10.0 $said) | int -}}
{{- end -}}

{{- define "appliance.gatewayDrainSeconds" -}}
{{- $said := include "appliance.said" . | fromYaml -}}
{{- ceil (dig "server" "drain_timeout_s" 5.0 $said) | int -}}
{{- end -}}

{{/* root, group: a group as the pack of each of its nodes; who is the first, LeaderWorkerSet tells in the environment */}}
{{- define "appliance.groupPack" -}}
{{- $ids := list -}}
{{- range $n := until (int .group.gpus_per_node) -}}{{- $ids = append $ids (toString $n) -}}{{- end -}}
{{- $engine := merge (pick .group "model" "kv_cache_memory_bytes") (dict
  "id" (printf "%s-0" .group.model)
  "gpu_ids" $ids
  "tensor_parallel_size" .group.tensor_parallel_size
  "gpu_memory_utilization" (.group.gpu_memory_utilization | default 0.9)
  "max_model_len" (.group.max_model_len | default 4096)
  "max_num_seqs" (.group.max_num_seqs | default 64)
  "max_num_batched_tokens" (.group.max_num_batched_tokens | default 2048)
  "pipeline_parallel_size" .group.pipeline_parallel_size) -}}
{{- toYaml (merge (pick .group "name" "weights_bytes" "node_selector" "resources") (dict "node" "" "gpus" .group.gpus_per_node "gpu_ids" $ids "engines" (list $engine))) -}}
{{- end -}}
