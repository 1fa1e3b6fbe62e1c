//! All metrics of the operator. Label values are taken from fixed lists.

mod auth_clients;
mod auth_services;
#[cfg(test)]
mod documented_tests;

use std::sync::{Arc, OnceLock};

use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::Store;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::cluster::auth_clients::AuthClients;
use crate::cluster::instrumentation::Instrumentation;
use crate::cluster::kinds::Kind;
use crate::cluster::observed::Observed;
use crate::names::AUTH_CLIENT;
use crate::responsibility::Scope;

#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    durations: HistogramVec,
    applied: IntCounterVec,
    deleted: IntCounterVec,
    status_updates: IntCounter,
    api_requests: IntCounterVec,
    leader: IntGauge,
    watch_errors: IntCounterVec,
    unreadable: IntGaugeVec,
    rollouts: IntGaugeVec,
    client_reconciles: IntCounterVec,
    clients: auth_clients::Gauges,
    auth_clients: Arc<OnceLock<AuthClients>>,
    auth_services: Arc<OnceLock<(Store<Observed>, Scope)>>,
}

impl Metrics {
    /// Registers all metrics in a new registry.
    ///
    /// # Errors
    /// When a name is malformed or a duplicate, which is a bug in this file.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters =
            |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
                let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
                registry.register(Box::new(counters.clone()))?;
                Ok(counters)
            };
        let reconciles = counters("latchkey_operator_reconcile_total", "Reconciles by result.", &["result"])?;
        let client_reconciles = counters(
            "latchkey_operator_client_reconcile_total",
            "Reconciles of AuthClients by result.",
            &["result"],
        )?;
        let applied =
            counters("latchkey_operator_applied_objects_total", "Objects created or updated.", &["kind"])?;
        let deleted = counters("latchkey_operator_deleted_objects_total", "Objects deleted.", &["kind"])?;
        let api_requests = counters(
            "latchkey_operator_api_requests_total",
            "Requests to the API server.",
            &["verb", "resource"],
        )?;
        let watch_errors = counters(
            "latchkey_operator_watch_errors_total",
            "Watch failures, which are retried.",
            &["kind"],
        )?;
        let unreadable = IntGaugeVec::new(
            Opts::new(
                "latchkey_operator_unreadable_objects",
                "Objects that this release of the operator cannot read and does not change.",
            ),
            &["kind"],
        )?;
        registry.register(Box::new(unreadable.clone()))?;
        let rollouts = IntGaugeVec::new(
            Opts::new(
                "latchkey_operator_rollouts",
                "AuthServices that are rolled out because the operator changed, and those that wait for it.",
            ),
            &["state"],
        )?;
        registry.register(Box::new(rollouts.clone()))?;
        for state in ["running", "waiting"] {
            rollouts.with_label_values(&[state]);
        }
        let clients = auth_clients::register(&registry)?;
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "latchkey_operator_reconcile_duration_seconds",
                "Duration of reconciles by result.",
            )
            .buckets(vec![0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]),
            &["result"],
        )?;
        registry.register(Box::new(durations.clone()))?;
        let status_updates = IntCounter::new("latchkey_operator_status_updates_total", "Status writes.")?;
        registry.register(Box::new(status_updates.clone()))?;
        let leader = IntGauge::new("latchkey_operator_leader", "1 on the replica that reconciles.")?;
        registry.register(Box::new(leader.clone()))?;
        // Initialized, so that the first occurrence shows as an increase.
        for result in ["ok", "error"] {
            reconciles.with_label_values(&[result]);
            client_reconciles.with_label_values(&[result]);
            durations.with_label_values(&[result]);
        }
        let others = ["AuthService", AUTH_CLIENT, "CustomResourceDefinition"];
        for kind in others.into_iter().chain(Kind::BUILT_IN.map(Kind::as_str)) {
            watch_errors.with_label_values(&[kind]);
            if kind != "CustomResourceDefinition" {
                unreadable.with_label_values(&[kind]);
            }
        }
        let build = IntGauge::with_opts(
            Opts::new("latchkey_operator_build_info", "Always 1, with the version as a label.")
                .const_label("version", env!("CARGO_PKG_VERSION")),
        )?;
        build.set(1);
        registry.register(Box::new(build))?;
        Ok(Self {
            registry,
            reconciles,
            durations,
            applied,
            deleted,
            status_updates,
            api_requests,
            leader,
            watch_errors,
            unreadable,
            rollouts,
            client_reconciles,
            clients,
            auth_clients: Arc::default(),
            auth_services: Arc::default(),
        })
    }

    /// Counts a reconcile that took `seconds`.
    pub(crate) fn reconciled(&self, succeeded: bool, seconds: f64) {
        let result = [if succeeded { "ok" } else { "error" }];
        self.reconciles.with_label_values(&result).inc();
        self.durations.with_label_values(&result).observe(seconds);
    }

    /// Counts a reconcile of an AuthClient.
    pub(crate) fn client_reconciled(&self, succeeded: bool) {
        self.client_reconciles.with_label_values(&[if succeeded { "ok" } else { "error" }]).inc();
    }

    /// Adds the number of these AuthClients. Only the leader has any.
    pub(crate) fn show_auth_clients(&self, auth_clients: AuthClients) {
        if self.auth_clients.set(auth_clients).is_err() {
            tracing::debug!("the AuthClients are shown already");
        }
    }

    /// Adds the metrics of these AuthServices. Only the leader has any.
    pub(crate) fn show_auth_services(&self, auth_services: Store<Observed>, scope: Scope) {
        if self.auth_services.set((auth_services, scope)).is_err() {
            tracing::debug!("the AuthServices are shown already");
        }
    }

    /// The metrics of each AuthService as Prometheus text, in parts.
    pub(crate) fn auth_services(&self) -> impl Iterator<Item = String> + Send + use<> {
        let all = self.auth_services.get().map(|(store, scope)| auth_services::parts(store.state(), scope));
        all.into_iter().flatten()
    }

    /// Counts an object that was written.
    pub(crate) fn applied(&self, kind: Kind) {
        self.applied.with_label_values(&[kind.as_str()]).inc();
    }

    /// Counts an object that was deleted.
    pub(crate) fn deleted(&self, kind: Kind) {
        self.deleted.with_label_values(&[kind.as_str()]).inc();
    }

    /// Counts a status that was written.
    pub(crate) fn status_updated(&self) {
        self.status_updates.inc();
    }

    /// Sets the numbers of rollouts that the operator causes.
    pub(crate) fn set_rollouts(&self, running: usize, waiting: usize) {
        for (state, number) in [("running", running), ("waiting", waiting)] {
            self.rollouts.with_label_values(&[state]).set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }

    /// Sets whether this replica leads.
    pub(crate) fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// All metrics except those of AuthServices, in Prometheus text format.
    ///
    /// # Errors
    /// When a metric cannot be encoded.
    pub(crate) fn render(&self) -> Result<String, prometheus::Error> {
        if let Some(auth_clients) = self.auth_clients.get() {
            self.clients.update(auth_clients, Timestamp::now());
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl Instrumentation for Metrics {
    fn requested(&self, method: &str, path: &str, watches: bool) {
        let verb = match method {
            "GET" if watches => "watch",
            "GET" => "read",
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" => "delete",
            _ => "other",
        };
        self.api_requests.with_label_values(&[verb, resource_of(path)]).inc();
    }

    fn watch_failed(&self, kind: &'static str) {
        self.watch_errors.with_label_values(&[kind]).inc();
    }

    fn set_unreadable(&self, kind: &'static str, count: usize) {
        self.unreadable.with_label_values(&[kind]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// The resources that the operator requests; any other counts as `other`.
const RESOURCES: [&str; 23] = [
    "authclients",
    "authservices",
    "certificates",
    "configmaps",
    "customresourcedefinitions",
    "deployments",
    "events",
    "horizontalpodautoscalers",
    "httproutes",
    "ingresses",
    "jobs",
    "leases",
    "namespaces",
    "networkpolicies",
    "persistentvolumeclaims",
    "poddisruptionbudgets",
    "pods",
    "routes",
    "secrets",
    "serviceaccounts",
    "servicemonitors",
    "services",
    "statefulsets",
];

/// The resource of an API path: `/api/v1/namespaces/NS/secrets/NAME`, `/apis/GROUP/V/PLURAL`.
fn resource_of(path: &str) -> &'static str {
    let mut segments = path.split('/').skip(1);
    let versions = if segments.next() == Some("apis") { 2 } else { 1 };
    let mut segments = segments.skip(versions).peekable();
    let plural = if segments.peek() == Some(&"namespaces") {
        // Without anything after it, it concerns the namespace itself.
        segments.nth(2).or(Some("namespaces"))
    } else {
        segments.next()
    };
    RESOURCES.into_iter().find(|known| Some(*known) == plural).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_under_what_it_concerns() {
        assert_eq!(resource_of("/api/v1/namespaces/default/secrets/a"), "secrets");
        assert_eq!(
            resource_of("/apis/latchkey.dev/v1alpha1/namespaces/a/authservices/b/status"),
            "authservices"
        );
        assert_eq!(resource_of("/apis/apps/v1/deployments"), "deployments");
        assert_eq!(resource_of("/api/v1/services"), "services");
        assert_eq!(resource_of("/api/v1/namespaces/a"), "namespaces");
        assert_eq!(resource_of("/version"), "other");
        assert_eq!(resource_of(""), "other");
    }
}
