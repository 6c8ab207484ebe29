{{- define "tributary.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* 52: the StatefulSet adds a hash of up to 11 characters for its revision label. */ -}}
{{- define "tributary.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "tributary.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tributary.selector" -}}
app.kubernetes.io/name: {{ include "tributary.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tributary.labels" -}}
{{ include "tributary.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end -}}

{{- define "tributary.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tributary.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "tributary.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "tributary.configMap" -}}
{{- default (printf "%s-config" (include "tributary.fullname" .)) .Values.config.existingConfigMap -}}
{{- end -}}

{{- /* What a schema cannot say. */ -}}
{{- define "tributary.check" -}}
{{- $v := .Values -}}
{{- $destinations := 0 -}}
{{- range list $v.destination.platform $v.destination.azure $v.destination.s3 $v.destination.local.enabled -}}
{{- if . }}{{ $destinations = add1 $destinations }}{{ end -}}
{{- end -}}
{{- if ne (int $destinations) 1 -}}
{{- fail "set exactly one of destination.platform, destination.azure, destination.s3, destination.local.enabled" -}}
{{- end -}}
{{- $configs := 0 -}}
{{- range list $v.config.inline $v.config.existingConfigMap $v.config.remote.key -}}
{{- if . }}{{ $configs = add1 $configs }}{{ end -}}
{{- end -}}
{{- if ne (int $configs) 1 -}}
{{- fail "set exactly one of config.inline, config.existingConfigMap, config.remote" -}}
{{- end -}}
{{- if ne (empty $v.config.remote.key) (empty $v.config.remote.owner) -}}
{{- fail "config.remote needs both owner and key" -}}
{{- end -}}
{{- if and $v.config.remote.key (not $v.destination.platform) -}}
{{- fail "config.remote needs destination.platform, which keeps the configuration" -}}
{{- end -}}
{{- range tuple "auth_password" "auth_oauth_client_secret" "auth_oauth_client_credential_private_key" -}}
{{- if hasKey $v.config.inline . -}}
{{- fail (printf "config.inline holds the secret `%s`; put it into a Secret and name that in existingSecret" .) -}}
{{- end -}}
{{- end -}}
{{- $named := compact (list $v.secretKeys.apiToken $v.secretKeys.authPass $v.secretKeys.clientSecret $v.secretKeys.privateKey) -}}
{{- if and $named (not $v.existingSecret) -}}
{{- fail "secretKeys are given without existingSecret" -}}
{{- end -}}
{{- if and $v.existingSecret (not $named) -}}
{{- fail "existingSecret is given, but none of its keys in secretKeys" -}}
{{- end -}}
{{- if and $v.destination.platform (not $v.secretKeys.apiToken) -}}
{{- fail "destination.platform needs secretKeys.apiToken" -}}
{{- end -}}
{{- if and $v.secretKeys.apiToken $v.destination.local.enabled -}}
{{- fail "secretKeys.apiToken and destination.local exclude each other" -}}
{{- end -}}
{{- end -}}
