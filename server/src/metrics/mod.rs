//! All metrics. The label values are bounded: route templates, methods, status classes and constants.

mod declare;

use prometheus::{
    Encoder as _, GaugeVec, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry, TextEncoder,
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
    file_refused: GaugeVec,
}

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
        for file in [ReloadedFile::SigningKeys, ReloadedFile::Clients, ReloadedFile::Certificate] {
            metrics.set_file_refused(file, false);
        }
        for outcome in ["completed", "skipped", "failed"] {
            metrics.housekeeping_runs.with_label_values(&[outcome]);
        }
        for reason in ["head_deadline", "idle", "displaced"] {
            metrics.connections_closed.with_label_values(&[reason]);
        }
        Ok(metrics)
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

    /// A changed file was loaded or refused.
    pub fn count_reload(&self, file: ReloadedFile, is_loaded: bool) {
        let reloads = match file {
            ReloadedFile::SigningKeys => &self.key_reloads,
            ReloadedFile::Clients => &self.client_registry_reloads,
            ReloadedFile::Certificate => &self.certificate_reloads,
        };
        reloads.with_label_values(&[if is_loaded { "loaded" } else { "refused" }]).inc();
        self.set_file_refused(file, !is_loaded);
    }

    /// Whether the present content of a file is refused.
    pub fn set_file_refused(&self, file: ReloadedFile, is_refused: bool) {
        let name = match file {
            ReloadedFile::SigningKeys => "signing_keys",
            ReloadedFile::Clients => "clients",
            ReloadedFile::Certificate => "certificate",
        };
        self.file_refused.with_label_values(&[name]).set(f64::from(u8::from(is_refused)));
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

/// The files that are read again when they change. The last valid content of each stays in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadedFile {
    SigningKeys,
    Clients,
    Certificate,
}

#[cfg(test)]
mod tests;
