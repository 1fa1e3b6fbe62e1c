//! A trace collector: OTLP over gRPC.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::server::{Server, TcpIncoming};
use tonic::{Request, Response, Status};

use crate::wait;

/// A running collector. Dropping it stops it.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    spans: Spans,
    serving: JoinHandle<()>,
}

#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Spans {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes =
            request.into_inner().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("the address just bound");
        let spans = Spans::default();
        let service = TraceServiceServer::new(spans.clone());
        let serving = tokio::spawn(async move {
            let served = Server::builder().add_service(service);
            served.serve_with_incoming(TcpIncoming::from(listener)).await.expect("the collector serves");
        });
        Self { address, spans, serving }
    }

    /// The value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for a span of this name, and returns all spans of its trace in the order of their start.
    pub async fn trace_with(&self, name: &str) -> Vec<Span> {
        let trace = wait::until(&format!("a span `{name}`"), || async {
            let spans = self.all();
            let found = spans.iter().find(|span| span.name == name).map(|span| span.trace_id.clone());
            found.ok_or_else(|| spans.into_iter().map(|span| span.name).collect::<Vec<_>>())
        })
        .await;
        let mut spans: Vec<_> = self.all().into_iter().filter(|span| span.trace_id == trace).collect();
        spans.sort_by_key(|span| (span.start_time_unix_nano, span.end_time_unix_nano));
        spans
    }

    /// All spans received so far.
    pub fn all(&self) -> Vec<Span> {
        self.spans.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The text of an attribute of a span.
pub fn attribute<'a>(span: &'a Span, name: &str) -> Option<&'a str> {
    let found = span.attributes.iter().find(|attribute| attribute.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}
