//! Monitoring, logs and traces.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_default;

/// Prometheus.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// The ServiceMonitor of the Prometheus Operator, made when the cluster knows that kind.
    #[serde(default, skip_serializing_if = "is_default")]
    pub service_monitor: ServiceMonitor,
}

/// The ServiceMonitor of the Prometheus Operator.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct ServiceMonitor {
    /// Whether there is one.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How often Prometheus scrapes, such as 30s. Default: what Prometheus is set to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$') && duration(self) >= duration('1s')")
        .message("spec.monitoring.serviceMonitor.interval must be a duration of at least 1s, such as 30s"))]
    pub interval: Option<String>,
    /// Labels of the ServiceMonitor, where Prometheus selects by them (often `release: NAME`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[x_kube(validation = Rule::new("!('app.kubernetes.io/managed-by' in self || 'app.kubernetes.io/name' in self || 'app.kubernetes.io/instance' in self || 'app.kubernetes.io/component' in self)")
        .message("spec.monitoring.serviceMonitor.labels: the app.kubernetes.io labels name, instance, component and managed-by are the operator's own"))]
    pub labels: BTreeMap<String, String>,
}

impl Default for ServiceMonitor {
    fn default() -> Self {
        Self { enabled: true, interval: None, labels: BTreeMap::new() }
    }
}

fn yes() -> bool {
    true
}

/// The server's log.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct Logging {
    /// The least severe level that is logged.
    #[serde(default)]
    pub level: LogLevel,
    /// One JSON object a line, or text for people.
    #[serde(default)]
    pub format: LogFormat,
}

/// The least severe level that is logged.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the field's standard words")]
pub enum LogLevel {
    Trace,
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

/// The shape of a log line.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the field's description says what each one is")]
pub enum LogFormat {
    #[default]
    Json,
    Text,
}

/// OpenTelemetry traces.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Tracing {
    /// Where traces go (OTLP over gRPC), such as http://collector.observability.svc:4317. Default: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 300))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^/?#@\\\\s]+(/[^?#\\\\s]*)?$') && isURL(self)")
        .message("spec.tracing.otlpEndpoint must be an http or https URL such as http://collector.observability.svc:4317"))]
    pub otlp_endpoint: Option<String>,
}
