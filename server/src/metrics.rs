//! All metrics. The label values are bounded: route templates, methods, status classes and constants.

use prometheus::core::Collector;
use prometheus::{
    Encoder as _, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

pub struct Metrics {
    registry: Registry,
    http_requests: IntCounterVec,
    http_duration: HistogramVec,
    logins: IntCounterVec,
    audit_events: IntCounterVec,
    introspections: IntCounterVec,
    feed_pages: IntCounterVec,
    feed_readers: GaugeVec,
    rate_limited: IntCounterVec,
    mail: IntCounterVec,
    key_reloads: IntCounterVec,
    client_registry_reloads: IntCounterVec,
    registered_clients: IntGauge,
    truncated_groups: IntCounter,
    certificate_reloads: IntCounterVec,
    housekeeping_deleted: IntCounterVec,
    housekeeping_runs: IntCounterVec,
    connections: GaugeVec,
    connections_closed: IntCounterVec,
    hash_pool: GaugeVec,
    database_pool: GaugeVec,
    outbox: GaugeVec,
    revocation_mode: GaugeVec,
    dependency_up: GaugeVec,
}

/// From one millisecond to ten seconds; a password login takes about 20 ms.
const BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

impl Metrics {
    /// # Errors
    /// Fails only if two metrics have the same name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let metrics = Self::declare()?;
        // Initialised with zero, so that `rate()` sees the first increment.
        for outcome in [
            "succeeded",
            "refused",
            "limited",
            "deactivated",
            "unverified",
            "not_allowed",
            "overloaded",
            "failed",
        ] {
            metrics.logins.with_label_values(&[outcome]);
        }
        for outcome in ["active", "inactive"] {
            metrics.introspections.with_label_values(&[outcome]);
        }
        for kind in ["reset", "changes", "unchanged"] {
            metrics.feed_pages.with_label_values(&[kind]);
        }
        for outcome in ["loaded", "refused"] {
            metrics.key_reloads.with_label_values(&[outcome]);
            metrics.client_registry_reloads.with_label_values(&[outcome]);
            metrics.certificate_reloads.with_label_values(&[outcome]);
        }
        for outcome in ["completed", "skipped", "failed"] {
            metrics.housekeeping_runs.with_label_values(&[outcome]);
        }
        for reason in ["head_deadline", "idle", "displaced"] {
            metrics.connections_closed.with_label_values(&[reason]);
        }
        Ok(metrics)
    }

    #[expect(clippy::too_many_lines, reason = "one list of all metrics")]
    fn declare() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let route = ["route", "method", "status"];
        Ok(Self {
            http_requests: register(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "latchkey_http_requests_total",
                        "Requests answered, by route, method and status class",
                    ),
                    &route,
                )?,
            )?,
            http_duration: register(
                &registry,
                HistogramVec::new(
                    HistogramOpts::new(
                        "latchkey_http_request_duration_seconds",
                        "Time from the request's headers to the response's headers",
                    )
                    .buckets(BUCKETS.to_vec()),
                    &route,
                )?,
            )?,
            logins: register(
                &registry,
                IntCounterVec::new(
                    Opts::new("latchkey_logins_total", "Password logins, by outcome"),
                    &["outcome"],
                )?,
            )?,
            audit_events: register(
                &registry,
                IntCounterVec::new(
                    Opts::new("latchkey_audit_events_total", "Audit events, by kind and outcome"),
                    &["kind", "outcome"],
                )?,
            )?,
            introspections: register(
                &registry,
                IntCounterVec::new(
                    Opts::new("latchkey_introspections_total", "Introspected tokens, by outcome"),
                    &["outcome"],
                )?,
            )?,
            feed_pages: register(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "latchkey_revocation_feed_pages_total",
                        "Pages of the feed of revocations, by kind",
                    ),
                    &["kind"],
                )?,
            )?,
            feed_readers: by_state(
                &registry,
                "latchkey_revocation_feed_readers",
                "Requests that wait for a change of the feed of revocations, by state: waiting, limit",
            )?,
            rate_limited: register(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "latchkey_rate_limited_total",
                        "Attempts refused with 429, by endpoint and scope",
                    ),
                    &["endpoint", "scope"],
                )?,
            )?,
            mail: register(
                &registry,
                IntCounterVec::new(
                    Opts::new("latchkey_mail_total", "Attempts to send a message, by kind and outcome"),
                    &["kind", "outcome"],
                )?,
            )?,
            key_reloads: register(
                &registry,
                IntCounterVec::new(
                    Opts::new("latchkey_key_set_reloads_total", "Key sets read, by outcome"),
                    &["outcome"],
                )?,
            )?,
            client_registry_reloads: register(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "latchkey_client_registry_reloads_total",
                        "Changed registries of OAuth clients, by outcome",
                    ),
                    &["outcome"],
                )?,
            )?,
            registered_clients: register(
                &registry,
                IntGauge::new("latchkey_client_registry_clients", "OAuth clients in the loaded registry")?,
            )?,
            truncated_groups: register(
                &registry,
                IntCounter::new(
                    "latchkey_truncated_groups_total",
                    "Access tokens that do not name all groups of the account",
                )?,
            )?,
            certificate_reloads: register(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "latchkey_tls_certificate_reloads_total",
                        "Changed certificates of the API port, by outcome",
                    ),
                    &["outcome"],
                )?,
            )?,
            housekeeping_deleted: register(
                &registry,
                IntCounterVec::new(
                    Opts::new("latchkey_housekeeping_deleted_total", "Expired rows deleted, by table"),
                    &["table"],
                )?,
            )?,
            housekeeping_runs: register(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "latchkey_housekeeping_runs_total",
                        "Runs of housekeeping, by outcome: completed, skipped (another replica is running it), failed",
                    ),
                    &["outcome"],
                )?,
            )?,
            connections: by_state(
                &registry,
                "latchkey_http_connections",
                "Connections to the API port by state: open, limit",
            )?,
            connections_closed: register(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "latchkey_http_connections_closed_total",
                        "Connections that the server closed, by reason: head_deadline, idle, displaced",
                    ),
                    &["reason"],
                )?,
            )?,
            hash_pool: by_state(
                &registry,
                "latchkey_hash_pool",
                "Password hashes by state: workers, running, waiting",
            )?,
            database_pool: by_state(
                &registry,
                "latchkey_database_connections",
                "Connections to PostgreSQL by state: open, idle",
            )?,
            outbox: by_state(
                &registry,
                "latchkey_outbox_messages",
                "Messages in the outbox by state: pending, dead",
            )?,
            revocation_mode: register(
                &registry,
                GaugeVec::new(
                    Opts::new(
                        "latchkey_revocation_mode",
                        "1 for the store that answers revocation checks (redis or postgres), else 0",
                    ),
                    &["mode"],
                )?,
            )?,
            dependency_up: register(
                &registry,
                GaugeVec::new(
                    Opts::new("latchkey_dependency_ready", "1 while a dependency is usable, else 0"),
                    &["dependency"],
                )?,
            )?,
            registry,
        })
    }

    /// Counts a response. `route` is the route template, never the path.
    pub fn observe_request(&self, route: &str, method: &str, status: u16, seconds: f64) {
        let status = match status {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        // The client chooses the method, so unknown ones share a label.
        let method = match method {
            "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD" | "OPTIONS" => method,
            _ => "other",
        };
        let labels = [route, method, status];
        self.http_requests.with_label_values(&labels).inc();
        self.http_duration.with_label_values(&labels).observe(seconds);
    }

    pub fn count_login(&self, outcome: &str) {
        self.logins.with_label_values(&[outcome]).inc();
    }

    pub fn count_audit_event(&self, kind: &str, outcome: &str) {
        self.audit_events.with_label_values(&[kind, outcome]).inc();
    }

    pub fn count_introspection(&self, outcome: &str) {
        self.introspections.with_label_values(&[outcome]).inc();
    }

    /// Counts a page of the feed of revocations: `reset`, `changes` or `unchanged`.
    pub fn count_feed_page(&self, kind: &str) {
        self.feed_pages.with_label_values(&[kind]).inc();
    }

    /// Counts an attempt that a rate limit refused.
    pub fn count_rate_limited(&self, endpoint: &str, scope: &str) {
        self.rate_limited.with_label_values(&[endpoint, scope]).inc();
    }

    /// Counts an attempt to send a message.
    pub fn count_mail(&self, kind: &str, outcome: &str) {
        self.mail.with_label_values(&[kind, outcome]).inc();
    }

    pub fn count_closed_connection(&self, reason: &str) {
        self.connections_closed.with_label_values(&[reason]).inc();
    }

    /// A changed certificate of the API port was read: `loaded` or `refused`.
    pub fn count_certificate_reload(&self, outcome: &str) {
        self.certificate_reloads.with_label_values(&[outcome]).inc();
    }

    pub fn count_key_reload(&self, outcome: &str) {
        self.key_reloads.with_label_values(&[outcome]).inc();
    }

    /// A changed client registry was read: `loaded` or `refused`.
    pub fn count_client_registry_reload(&self, outcome: &str) {
        self.client_registry_reloads.with_label_values(&[outcome]).inc();
    }

    pub fn set_registered_clients(&self, count: usize) {
        self.registered_clients.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// An access token was issued that does not name all groups of the account.
    pub fn count_truncated_groups(&self) {
        self.truncated_groups.inc();
    }

    pub fn count_housekeeping_deleted(&self, table: &str, rows: u64) {
        self.housekeeping_deleted.with_label_values(&[table]).inc_by(rows);
    }

    pub fn count_housekeeping_run(&self, outcome: &str) {
        self.housekeeping_runs.with_label_values(&[outcome]).inc();
    }

    /// Sets a gauge that is measured when the metrics are scraped.
    pub fn set_state(&self, gauge: StateGauge, state: &str, value: f64) {
        let gauge = match gauge {
            StateGauge::Connections => &self.connections,
            StateGauge::FeedReaders => &self.feed_readers,
            StateGauge::HashPool => &self.hash_pool,
            StateGauge::DatabasePool => &self.database_pool,
            StateGauge::Outbox => &self.outbox,
            StateGauge::RevocationMode => &self.revocation_mode,
            StateGauge::Dependency => &self.dependency_up,
        };
        gauge.with_label_values(&[state]).set(value);
    }

    /// Renders the Prometheus text format, version 0.0.4.
    ///
    /// # Errors
    /// Fails only if a metric has no value.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut buffer = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer).into_owned())
    }
}

/// The gauges of [`Metrics::set_state`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateGauge {
    Connections,
    FeedReaders,
    HashPool,
    DatabasePool,
    Outbox,
    RevocationMode,
    Dependency,
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn by_state(registry: &Registry, name: &str, help: &str) -> Result<GaugeVec, prometheus::Error> {
    register(registry, GaugeVec::new(Opts::new(name, help), &["state"])?)
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
