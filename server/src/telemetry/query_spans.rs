//! Exports a span for each query, created from the event that sqlx emits at the end of a query. This covers every query
//! without wrapping any. Without an exporter sqlx does not create the event.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanKind, TraceContextExt as _, Tracer as _};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::dispatcher::WeakDispatch;
use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// The target of sqlx's events.
pub const TARGET: &str = "sqlx::query";

/// The layer's filter must enable the spans of requests in addition to [`TARGET`].
pub struct QuerySpans {
    tracer: SdkTracer,
    dispatch: OnceLock<WeakDispatch>,
}

impl QuerySpans {
    pub fn new(tracer: SdkTracer) -> Self {
        Self { tracer, dispatch: OnceLock::new() }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for QuerySpans {
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        // The process has only one subscriber, so this is set once.
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != TARGET {
            return;
        }
        // Queries of background workers, which poll the database, get no span.
        let parent = context.event_span(event).map(|span| span.id()).and_then(|id| {
            let dispatch = self.dispatch.get()?.upgrade()?;
            tracing_opentelemetry::get_otel_context(&id, &dispatch)
        });
        let Some(parent) = parent.filter(|parent| parent.span().span_context().is_sampled()) else { return };
        let mut query = EndedQuery::default();
        event.record(&mut query);
        let ended = SystemTime::now();
        let span = self
            .tracer
            .span_builder(summarise(query.text()))
            .with_kind(SpanKind::Client)
            .with_start_time(ended.checked_sub(query.elapsed).unwrap_or(ended))
            .with_attributes([
                // OpenTelemetry's semantic conventions for databases. Values are bound parameters and not in the text.
                KeyValue::new("db.system.name", "postgresql"),
                KeyValue::new("db.query.text", query.text().split_whitespace().collect::<Vec<_>>().join(" ")),
                KeyValue::new("db.response.returned_rows", query.rows_returned),
            ]);
        span.start_with_context(&self.tracer, &parent).end_with_timestamp(ended);
    }
}

#[derive(Default)]
struct EndedQuery {
    summary: String,
    statement: String,
    rows_returned: i64,
    elapsed: Duration,
}

impl EndedQuery {
    /// sqlx sets no statement if the summary contains all of it.
    fn text(&self) -> &str {
        if self.statement.is_empty() { &self.summary } else { &self.statement }
    }
}

impl Visit for EndedQuery {
    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.statement),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "rows_returned" {
            self.rows_returned = i64::try_from(value).unwrap_or(i64::MAX);
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.elapsed = Duration::try_from_secs_f64(value).unwrap_or_default();
        }
    }
}

/// The first keyword of a statement and the first table that it names, such as `SELECT users`.
fn summarise(text: &str) -> String {
    let mut words = text.split_whitespace();
    let verb = words.next().unwrap_or("query").to_ascii_uppercase();
    let mut before = verb.clone();
    let table = words.find(|word| {
        let names = ["FROM", "INTO", "UPDATE"].contains(&before.as_str());
        before = word.trim_start_matches('(').to_ascii_uppercase();
        names && word.starts_with(|first: char| first.is_ascii_lowercase())
    });
    match table {
        Some(table) => {
            let end = table.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(table.len());
            format!("{verb} {}", &table[..end])
        }
        None => verb,
    }
}

#[cfg(test)]
mod tests {
    use super::summarise;

    #[test]
    fn a_summary_is_the_first_keyword_and_the_first_table() {
        for (text, summary) in [
            ("SELECT id FROM users WHERE id = $1", "SELECT users"),
            ("\n\nWITH owner AS (\n SELECT id FROM users WHERE x FOR SHARE)\nINSERT INTO a", "WITH users"),
            ("UPDATE sessions SET a = b", "UPDATE sessions"),
            ("INSERT INTO audit_events\n (kind) VALUES ($1)", "INSERT audit_events"),
            ("SELECT NOT EXISTS (SELECT FROM sessions WHERE id = $1)", "SELECT sessions"),
            ("SELECT pg_advisory_xact_lock(1)", "SELECT"),
            ("COMMIT", "COMMIT"),
            ("", "QUERY"),
        ] {
            assert_eq!(summarise(text), summary, "{text}");
        }
    }
}
