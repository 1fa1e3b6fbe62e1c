//! The name, the description and the labels of each metric.

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use super::Metrics;

/// From one millisecond to ten seconds; a password login takes about 20 ms.
const BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

impl Metrics {
    #[expect(clippy::too_many_lines, reason = "one list of all metrics")]
    pub(super) fn declare() -> Result<Self, prometheus::Error> {
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
            file_refused: register(
                &registry,
                GaugeVec::new(
                    Opts::new(
                        "latchkey_file_refused",
                        "1 while a file is refused, so that its last valid content is in use, else 0",
                    ),
                    &["file"],
                )?,
            )?,
            registry,
        })
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn by_state(registry: &Registry, name: &str, help: &str) -> Result<GaugeVec, prometheus::Error> {
    register(registry, GaugeVec::new(Opts::new(name, help), &["state"])?)
}
