{{/* Rules of NetworkPolicies. */}}

{{- define "appliance.dnsRule" -}}
{{- $dns := .Values.networkPolicy.dns -}}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ $dns.namespace }}
      podSelector:
        matchLabels:
          {{- toYaml $dns.podLabels | nindent 10 }}
    {{- range $dns.cidrs }}
    - ipBlock: {cidr: {{ . }}}
    {{- end }}
  ports:
    - {protocol: UDP, port: {{ $dns.port }}}
    - {protocol: TCP, port: {{ $dns.port }}}
{{- end -}}

{{/* Peers and ports as values have them; nothing where nobody is named, since an empty `to` means everybody. */}}
{{- define "appliance.peers" -}}
{{- if and .to .ports -}}
- to:
    {{- toYaml .to | nindent 4 }}
  ports:
    {{- range .ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end -}}
{{- end -}}

{{/* The API server: its addresses as the cluster tells them, else where values say that it may be. */}}
{{- define "appliance.apiServerRule" -}}
{{- $api := .Values.networkPolicy.apiServer -}}
{{- $cidrs := list -}}
{{- $ports := list -}}
{{- if $api.lookUp -}}
{{- range (dig "items" (list) (lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "" | default dict)) -}}
{{- if eq (dig "metadata" "labels" "kubernetes.io/service-name" "" .) "kubernetes" -}}
{{- $family := .addressType -}}
{{- range .endpoints -}}{{- range .addresses -}}{{- $cidrs = append $cidrs (printf "%s/%s" . (ternary "128" "32" (eq $family "IPv6"))) -}}{{- end -}}{{- end -}}
{{- range .ports -}}{{- $ports = append $ports (int .port) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $service := lookup "v1" "Service" "default" "kubernetes" | default dict -}}
{{- if and $cidrs $service -}}{{- /* some network plugins look at the Service's address */ -}}
{{- range (dig "spec" "clusterIPs" (list) $service) -}}{{- $cidrs = append $cidrs (printf "%s/%s" . (ternary "128" "32" (contains ":" .))) -}}{{- end -}}
{{- range (dig "spec" "ports" (list) $service) -}}{{- $ports = append $ports (int .port) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $cidrs -}}{{- $cidrs = $api.cidrs -}}{{- $ports = $api.ports -}}{{- end -}}
{{- if and $cidrs $ports -}}
- to:
    {{- range uniq $cidrs }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  ports:
    {{- range uniq $ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end -}}
{{- end -}}
