{{/* What the schema can't say: each failure is one sentence that names the key and the way out. */}}

{{- define "appliance.check" -}}
{{- include "appliance.checkConfig" . -}}
{{- include "appliance.checkPacks" . -}}
{{- include "appliance.checkStores" . -}}
{{- include "appliance.checkWays" . -}}
{{- end -}}

{{- define "appliance.checkConfig" -}}
{{- if .Values.config -}}
{{- if not .Values.config.pool -}}
{{- fail "config.pool: no model is named; list the models that are to be served, or leave config empty for the starter pool" -}}
{{- end -}}
{{- if not .Values.config.roles -}}
{{- fail "config.roles: nobody plays a role; name at least config.roles.generalist" -}}
{{- end -}}
{{- $pool := list -}}
{{- range .Values.config.pool -}}{{- $pool = append $pool .model -}}{{- end -}}
{{- range $role, $models := omit .Values.config.roles "executors" -}}
{{- range $models -}}
{{- if not (has . $pool) -}}{{- fail (printf "config.roles.%s: %s is not in config.pool; add it there or name one of %s" $role . (join ", " $pool)) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- range $skill, $models := .Values.config.roles.executors -}}
{{- range $models -}}
{{- if not (has . $pool) -}}{{- fail (printf "config.roles.executors.%s: %s is not in config.pool; add it there or name one of %s" $skill . (join ", " $pool)) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- range $pack := .Values.packs -}}
{{- range $pack.engines -}}
{{- if not (has .model $pool) -}}{{- fail (printf "packs: engine %s of %s serves %s, which is not in config.pool; make the packs anew with `appliance plan --helm-values`" .id $pack.name .model) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- range .Values.groups -}}
{{- if not (has .model $pool) -}}{{- fail (printf "groups: %s serves %s, which is not in config.pool; add it there" .name .model) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "appliance.checkPacks" -}}
{{- $names := list -}}
{{- range concat (.Values.packs | default list) (.Values.groups | default list) -}}
{{- if has .name $names -}}{{- fail (printf "packs: %s stands twice; give each pack a name of its own" .name) -}}{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- if not $names -}}{{- fail "packs: there is none; name one, or take those of `appliance plan --helm-values`" -}}{{- end -}}
{{- range $pack := .Values.packs -}}
{{- range $engine := $pack.engines -}}
{{- range $engine.gpu_ids -}}
{{- if not (has . ($pack.gpu_ids | default list)) -}}{{- fail (printf "packs: engine %s of %s stands on %s, which is not among its gpu_ids; add it there" $engine.id $pack.name .) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $pack.engines (ne (len ($pack.gpu_ids | default list)) (int ($pack.gpus | default 0))) -}}
{{- fail (printf "packs: %s has %d gpu_ids, but gpus is %d; make them equal" $pack.name (len ($pack.gpu_ids | default list)) (int ($pack.gpus | default 0))) -}}
{{- end -}}
{{- end -}}
{{- if .Values.groups -}}
{{- range .Values.packs -}}
{{- if not .engines -}}{{- fail (printf "packs: %s has no engines, so it would start every model of the pool, also those of groups; give it the engines of a plan" .name) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- range .Values.groups -}}
{{- if ne (mul .tensor_parallel_size .pipeline_parallel_size) (mul .nodes .gpus_per_node) -}}
{{- fail (printf "groups: %s: tensor_parallel_size × pipeline_parallel_size is %d, but nodes × gpus_per_node is %d; make them equal" .name (mul .tensor_parallel_size .pipeline_parallel_size) (mul .nodes .gpus_per_node)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "appliance.checkStores" -}}
{{- $several := or (gt (int .Values.gateway.replicas) 1) .Values.gateway.autoscaling.enabled -}}
{{- if and $several (eq .Values.database.kind "sqlite") -}}
{{- fail "gateway.replicas: several gateways need a database that they share; set database.kind to external or bundled" -}}
{{- end -}}
{{- if and (eq .Values.database.kind "external") (not .Values.database.external.existingSecret) -}}
{{- fail "database.external.existingSecret: it is empty; name the Secret that holds the URL of PostgreSQL" -}}
{{- end -}}
{{- if and (eq .Values.database.kind "external") .Values.networkPolicy.enabled (not .Values.networkPolicy.database.to) -}}
{{- fail "networkPolicy.database.to: nobody is named, so gateways could not reach the external database; name its address, as {ipBlock: {cidr: 10.1.2.3/32}}" -}}
{{- end -}}
{{- if and .Values.config (eq .Values.models.store.kind "embedded") -}}
{{- range .Values.config.pool -}}
{{- if not (hasPrefix "starter-" .model) -}}{{- fail (printf "models.store.kind: embedded holds the starter models only, and config.pool names %s; set it to claim, image or hostPath" .model) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.models.store.kind "hostPath") (not .Values.models.store.hostPath) -}}
{{- fail "models.store.hostPath: it is empty; name the directory of the nodes that holds the models" -}}
{{- end -}}
{{- if and (eq .Values.models.catalog.kind "configMap") (not .Values.models.catalog.configMap) -}}
{{- fail "models.catalog.configMap: it is empty; name the ConfigMap with the manifests" -}}
{{- end -}}
{{- if and (eq .Values.models.catalog.kind "store") (has .Values.models.store.kind (list "embedded")) -}}
{{- fail "models.catalog.kind: the embedded store has no catalog; set it to image or configMap" -}}
{{- end -}}
{{- end -}}

{{- define "appliance.checkWays" -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.host: it is empty; name the host at which the appliance is reached" -}}
{{- end -}}
{{- if and .Values.tls.certManager.enabled (not .Values.tls.certManager.issuerRef) -}}
{{- fail "tls.certManager.issuerRef: it is empty; name the issuer, as {name: internal-ca, kind: ClusterIssuer}" -}}
{{- end -}}
{{- if and .Values.tls.certManager.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.host: it is empty, and a certificate needs a name; give the host" -}}
{{- end -}}
{{- if and .Values.gatewayApi.enabled (not .Values.gatewayApi.parentRefs) -}}
{{- fail "gatewayApi.parentRefs: nobody is named; name the Gateway, as [{name: internal, namespace: gateways}]" -}}
{{- end -}}
{{- $keda := or (and .Values.gateway.autoscaling.enabled (eq .Values.gateway.autoscaling.kind "keda")) (and .Values.engines.autoscaling.enabled (eq .Values.engines.autoscaling.kind "keda")) -}}
{{- if and $keda (not .Values.monitoring.prometheusAddress) -}}
{{- fail "monitoring.prometheusAddress: it is empty, and KEDA asks Prometheus how many pods are needed; name it, as http://prometheus.monitoring:9090" -}}
{{- end -}}
{{- if and .Values.engines.autoscaling.enabled (eq .Values.gateway.discovery.kind "urls") -}}
{{- fail "gateway.discovery.kind: packs that scale are found by EndpointSlices only; set it to kubernetes" -}}
{{- end -}}
{{- end -}}
