//! Logs and traces.

mod decided_each_time;
mod json_lines;
mod log_queue;
mod query_spans;
mod request_labels;

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use axum::http::{HeaderMap, HeaderName};
use decided_each_time::DecidedEachTime;
use json_lines::JsonLines;
use latchkey_config::{BoundedLines, LogFormat, Settings};
use log_queue::LogQueue;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use query_spans::QuerySpans;
pub use request_labels::RequestLabels;
use tracing::Span;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// Stops the export of traces and writes the waiting log lines when dropped.
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    log: LogQueue,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = &self.traces {
            // The process is ending, so an error cannot be handled.
            let _ = provider.shutdown();
        }
        self.log.flush();
    }
}

/// Starts logging to standard error, and the export of traces over OTLP if an endpoint is set.
///
/// # Errors
/// The exporter cannot be set up, or logging was already started.
pub fn start(settings: &Settings) -> anyhow::Result<Telemetry> {
    let level = settings.log_level.as_str();
    // Dependencies log only warnings, because their debug lines may contain headers and queries. sqlx's pool logs every
    // refused connection; store/pool.rs instead logs when refusals begin and end.
    let filter = EnvFilter::try_new(format!("warn,sqlx_core::pool=off,latchkey_server={level}"))
        .context("LOG_LEVEL is not valid")?;
    let provider = settings.otlp_endpoint.as_ref().map(|_| tracer_provider()).transpose()?;
    let log = LogQueue::start(std::io::stderr()).context("the thread of the log cannot be started")?;
    let queue = log.clone();
    let writer = move || BoundedLines(queue.clone());
    let lines = match settings.log_format {
        LogFormat::Json => JsonLines(writer).boxed(),
        LogFormat::Text => tracing_subscriber::fmt::layer().with_writer(writer).with_target(false).boxed(),
    };
    USES_SPANS.store(provider.is_some() || matches!(settings.log_format, LogFormat::Text), Ordering::Relaxed);
    let registry = tracing_subscriber::registry().with(lines.with_filter(DecidedEachTime(filter)));
    let Some(provider) = &provider else {
        registry.try_init()?;
        return Ok(Telemetry { traces: None, log });
    };
    let tracer = provider.tracer("latchkey-server");
    // Traces have their own filters, so that LOG_LEVEL does not affect them. The layers are not wrapped in an Option,
    // because Option does not forward `on_register_dispatch`.
    let spans = format!("off,latchkey_server=info,{DETAIL}=trace");
    let queries = format!("{spans},{}=debug", query_spans::TARGET);
    registry
        .with(
            tracing_opentelemetry::layer()
                .with_tracer(tracer.clone())
                .with_filter(DecidedEachTime(EnvFilter::new(spans))),
        )
        .with(QuerySpans::new(tracer).with_filter(DecidedEachTime(EnvFilter::new(queries))))
        .try_init()?;
    Ok(Telemetry { traces: Some(provider.clone()), log })
}

/// Whether traces or text lines need the spans of requests.
static USES_SPANS: AtomicBool = AtomicBool::new(false);

/// Creates the span of a request, or none if nothing uses it. JSON lines get the same from [`RequestLabels`].
pub fn request_span(labels: &RequestLabels, headers: &HeaderMap) -> Span {
    if !USES_SPANS.load(Ordering::Relaxed) {
        return Span::none();
    }
    let RequestLabels { origin, method, route, .. } = labels;
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        request_id = origin.request_id,
        method = method.as_str(),
        route = &**route,
        http.response.status_code = tracing::field::Empty,
    );
    continue_trace(&span, headers);
    span
}

/// The exporter reads the standard `OTEL_*` variables itself: endpoint, headers, timeout, resource attributes.
fn tracer_provider() -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .build()
        .context("OTEL_EXPORTER_OTLP_ENDPOINT is not valid")?;
    let resource = opentelemetry_sdk::Resource::builder().with_service_name("latchkey-server").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// The target of spans that appear only in traces. The log filter excludes it, so that the current span of a log line
/// is the request's. Without trace export these spans cost one comparison.
const DETAIL: &str = "detail";

/// Whether traces are exported and the code runs within a request. Background workers would otherwise export a trace
/// for every poll of the database.
pub fn belongs_to_a_request() -> bool {
    LevelFilter::current() == LevelFilter::TRACE && !Span::current().is_none()
}

/// Creates a span for a step of a request.
pub fn detail_span(name: &'static str) -> Span {
    if !belongs_to_a_request() {
        return Span::none();
    }
    tracing::trace_span!(target: DETAIL, "detail", otel.name = name)
}

/// Creates a span for a call to a dependency, with OpenTelemetry's semantic conventions for databases.
pub fn call_span(system: &'static str, operation: &'static str) -> Span {
    if !belongs_to_a_request() {
        return Span::none();
    }
    tracing::trace_span!(
        target: DETAIL,
        "call",
        otel.name = operation,
        otel.kind = "client",
        db.system.name = system,
        db.operation.name = operation,
    )
}

/// Makes `span` a child of the client's span if the request has a `traceparent` header (W3C Trace Context).
pub fn continue_trace(span: &Span, headers: &HeaderMap) {
    struct Headers<'a>(&'a HeaderMap);
    impl Extractor for Headers<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.get(key).and_then(|value| value.to_str().ok())
        }
        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(HeaderName::as_str).collect()
        }
    }
    if headers.contains_key("traceparent") {
        // The only error is that traces are not exported.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&Headers(headers)));
    }
}
