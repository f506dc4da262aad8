{{/* Weights and manifests as volumes. */}}

{{/* The store's volume; nothing where the weights are in the image. */}}
{{- define "appliance.storeVolume" -}}
{{- $store := .Values.models.store -}}
{{- if eq $store.kind "claim" }}
- name: models
  persistentVolumeClaim:
    claimName: {{ $store.claim.existingClaim | default (printf "%s-models" (include "appliance.fullname" .)) }}
    readOnly: true
{{- else if eq $store.kind "hostPath" }}
- name: models
  hostPath:
    path: {{ $store.hostPath }}
    type: Directory
{{- else if eq $store.kind "image" }}
- name: models
  image:
    reference: {{ include "appliance.image" (dict "root" . "image" $store.image "key" "models.store.image") }}
    pullPolicy: {{ .Values.images.pullPolicy }}
{{- end }}
{{- end -}}

{{- define "appliance.storeMount" -}}
{{- if ne .Values.models.store.kind "embedded" }}
- name: models
  mountPath: /models
  readOnly: true
  {{- with .Values.models.store.subPath }}
  subPath: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "appliance.catalogVolume" -}}
{{- if eq .Values.models.catalog.kind "configMap" }}
- name: catalog
  configMap:
    name: {{ .Values.models.catalog.configMap }}
{{- end }}
{{- end -}}

{{- define "appliance.catalogMount" -}}
{{- if eq .Values.models.catalog.kind "configMap" }}
- name: catalog
  mountPath: /etc/appliance/catalog
  readOnly: true
{{- else if eq .Values.models.catalog.kind "store" }}
- name: models
  mountPath: /etc/appliance/catalog
  subPath: {{ clean (printf "%s/catalog" .Values.models.store.subPath) | trimPrefix "/" }}
  readOnly: true
{{- end }}
{{- end -}}
