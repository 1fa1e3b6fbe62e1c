//! Monitoring, logs and traces.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_default;

/// Prometheus monitoring.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// A ServiceMonitor. Created if the Prometheus Operator is installed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub service_monitor: ServiceMonitor,
}

/// The ServiceMonitor of the Prometheus Operator.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct ServiceMonitor {
    /// Enables the ServiceMonitor.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The scrape interval, such as 30s. Default: Prometheus' global scrape interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$') && duration(self) >= duration('1s')")
        .message("spec.monitoring.serviceMonitor.interval must be a duration of at least 1s, such as 30s"))]
    pub interval: Option<String>,
    /// Additional labels of the ServiceMonitor, for the selector of Prometheus (often `release: NAME`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("additionalProperties" = {
        "type": "string", "maxLength": 63, "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
    }))]
    #[x_kube(validation = Rule::new("!('app.kubernetes.io/managed-by' in self || 'app.kubernetes.io/name' in self || 'app.kubernetes.io/instance' in self || 'app.kubernetes.io/component' in self)")
        .message("spec.monitoring.serviceMonitor.labels: the app.kubernetes.io labels name, instance, component and managed-by are reserved for the operator"))]
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
    /// The log level.
    #[serde(default)]
    pub level: LogLevel,
    /// The log format: one JSON object per line, or plain text.
    #[serde(default)]
    pub format: LogFormat,
}

/// The log level.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are standard log levels")]
pub enum LogLevel {
    Trace,
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

/// The log format.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the field's description explains them")]
pub enum LogFormat {
    #[default]
    Json,
    Text,
}

/// OpenTelemetry traces.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Tracing {
    /// The OTLP (gRPC) endpoint for traces, such as http://collector.observability.svc:4317. Unset: tracing is
    /// disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 300))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^/?#@\\\\s]+(/[^?#\\\\s]*)?$') && isURL(self)")
        .message("spec.tracing.otlpEndpoint must be an http or https URL such as http://collector.observability.svc:4317"))]
    pub otlp_endpoint: Option<String>,
}
