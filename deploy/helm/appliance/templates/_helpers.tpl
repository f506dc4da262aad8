{{/* Names, labels, images and the pieces that several objects share. */}}

{{- define "appliance.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The beginning of all names; short enough for the longest ending and a pod's ordinal. */}}
{{- define "appliance.fullname" -}}
{{- $name := include "appliance.name" . -}}
{{- $full := .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name)) -}}
{{- if hasPrefix "vllm" $full -}}
{{- fail (printf "fullnameOverride: names would begin with %q, and a Service vllm… puts VLLM_… variables into pods, which vLLM reads as its own; choose another release name or fullnameOverride" $full) -}}
{{- end -}}
{{- $full | trunc 30 | trimSuffix "-" -}}
{{- end -}}

{{- define "appliance.selector" -}}
app.kubernetes.io/name: {{ include "appliance.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* root, component */}}
{{- define "appliance.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{ include "appliance.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: appliance
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{/* root, image, key: an image by its digest, or by its tag */}}
{{- define "appliance.image" -}}
{{- $registry := .root.Values.global.imageRegistry -}}
{{- $name := ternary .image.repository (printf "%s/%s" (trimSuffix "/" $registry) .image.repository) (empty $registry) -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else if .root.Values.images.requireDigests -}}
{{- fail (printf "%s.digest: it is empty, and images.requireDigests is on; give the digest of %s" .key $name) -}}
{{- else -}}
{{- printf "%s:%s" $name (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "appliance.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Pod Security `restricted`; root, user */}}
{{- define "appliance.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user | default 10001 | int64 }}
  runAsGroup: {{ .user | default 10001 | int64 }}
  fsGroup: {{ .user | default 10001 | int64 }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "appliance.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  privileged: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* resources as values have them; empty amounts are left out. extra: a mapping of further limits */}}
{{- define "appliance.resources" -}}
{{- $out := dict -}}
{{- range $kind := list "requests" "limits" -}}
{{- $amounts := dict -}}
{{- range $name, $amount := (get $.resources $kind | default dict) -}}
{{- if not (empty (toString $amount)) -}}{{- $_ := set $amounts $name (toString $amount) -}}{{- end -}}
{{- end -}}
{{- range $name, $amount := ($.extra | default dict) -}}{{- $_ := set $amounts $name (toString $amount) -}}{{- end -}}
{{- if $amounts -}}{{- $_ := set $out $kind $amounts -}}{{- end -}}
{{- end -}}
{{- toYaml $out -}}
{{- end -}}

{{/* root, where (values of gateway or engines), selector of the pods, more (labels of nodes) */}}
{{- define "appliance.where" -}}
{{- with (merge (dict) (.more | default dict) (.where.nodeSelector | default dict)) }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .where.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .where.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .where.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .where.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- if .where.spread.topologyKeys }}
topologySpreadConstraints:
  {{- range .where.spread.topologyKeys }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ $.where.spread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- $.labels | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "appliance.secretName" -}}
{{- .Values.secrets.existingSecret | default (printf "%s-keys" (include "appliance.fullname" .)) -}}
{{- end -}}

{{- define "appliance.databaseSecretName" -}}
{{- if eq .Values.database.kind "external" -}}
{{- .Values.database.external.existingSecret -}}
{{- else -}}
{{- .Values.database.bundled.existingSecret | default (printf "%s-database" (include "appliance.fullname" .)) -}}
{{- end -}}
{{- end -}}

{{- define "appliance.databaseKey" -}}
{{- ternary .Values.database.external.key "url" (eq .Values.database.kind "external") -}}
{{- end -}}
