{{/* The name of the operator's objects. It is never the release name alone, because an AuthService of that name in the
same namespace has a Service and a Deployment of the same name. */}}
{{- define "latchkey.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $chart := default .Chart.Name .Values.nameOverride -}}
{{- $name := contains $chart .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $chart) -}}
{{- printf "%s-operator" ($name | trunc 43 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* The names of cluster-scoped objects contain the namespace, so that two releases with the same name do not conflict. */}}
{{- define "latchkey.clusterName" -}}
{{- printf "%s:%s" (include "latchkey.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "latchkey.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "latchkey.labels" -}}
{{ include "latchkey.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "latchkey.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "latchkey.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* An image reference from (dict "image" {repository, tag, digest} "default" TAG "registry" REGISTRY). With a registry,
the image is pulled from there instead of its own registry; the operator does the same with the images of its pods. */}}
{{- define "latchkey.image" -}}
{{- $repository := .image.repository -}}
{{- $registry := default "" .registry | trimSuffix "/" -}}
{{- if and $registry (not (hasPrefix (printf "%s/" $registry) $repository)) -}}
{{- if regexMatch "^([^/]*[.:][^/]*|localhost)/" $repository -}}
{{- $repository = regexReplaceAll "^[^/]*/" $repository "" -}}
{{- end -}}
{{- $repository = printf "%s/%s" $registry $repository -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .default .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The watched namespaces as a JSON list; empty for all. */}}
{{- define "latchkey.watchNamespaces" -}}
{{- $all := list -}}
{{- with .Values.watchNamespace }}{{ $all = append $all . }}{{ end -}}
{{- concat $all .Values.watchNamespaces | uniq | toJson -}}
{{- end -}}

{{/* The Lease of the leader election. Operators of different classes do not share it. */}}
{{- define "latchkey.lease" -}}
{{- with .Values.operatorClass }}{{ printf "latchkey-operator-%s" . }}{{ else }}latchkey-operator{{ end -}}
{{- end -}}

{{/* The block `annotations:` from (list ROOT ANNOTATIONS…): the common annotations, overridden by those of the object.
Empty if there are none. */}}
{{- define "latchkey.annotations" -}}
{{- $all := dict -}}
{{- range rest . -}}
{{- $all = merge $all (default dict .) -}}
{{- end -}}
{{- with merge $all (first .).Values.commonAnnotations -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}
