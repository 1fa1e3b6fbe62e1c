//! The traces that a collector receives.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, SUPERUSER, path, superuser_password};
use latchkey_tests::collector::{Collector, attribute};
use latchkey_tests::logs;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

async fn traced() -> (App, Collector) {
    let collector = Collector::start().await;
    let app = App::setup()
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())
        .set("OTEL_BSP_SCHEDULE_DELAY", "50")
        .start()
        .await;
    // A request before that counts its attempts without Redis, or reads revocations from PostgreSQL.
    app.server().wait_for_revocation_mode("redis").await;
    (app, collector)
}

/// Asserts that the span of the request has exactly these children, in this order and within its time.
#[track_caller]
fn assert_children(trace: &[Span], request: &str, names: &[&str]) {
    let root = trace.iter().find(|span| span.name == request).expect("the request's span");
    assert_eq!(root.kind(), SpanKind::Server);
    let found: Vec<_> = trace.iter().filter(|span| span.name != request).collect();
    assert_eq!(found.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), names);
    for span in found {
        assert_eq!(span.parent_span_id, root.span_id, "{span:?}");
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:?}");
        assert!(span.end_time_unix_nano <= root.end_time_unix_nano, "{span:?}");
    }
}

#[tokio::test]
async fn the_trace_of_a_login_contains_the_wait_the_hash_and_each_query() {
    let (app, collector) = traced().await;
    app.post_login(SUPERUSER, &superuser_password()).await.ok(200);

    let trace = collector.trace_with("POST /api/v1/auth/login").await;

    // The rate limit counts the attempt first, and removes it after the right password.
    let names =
        ["EVALSHA", "SELECT users", "wait for the hash pool", "hash the password", "WITH users", "EVALSHA"];
    assert_children(&trace, "POST /api/v1/auth/login", &names);
    let hash = trace.iter().find(|span| span.name == "hash the password").unwrap();
    let took = hash.end_time_unix_nano - hash.start_time_unix_nano;
    assert!(took > 5_000_000, "a hash takes milliseconds: {took} ns");
    for query in trace.iter().filter(|span| span.name.ends_with(" users")) {
        assert_eq!(query.kind(), SpanKind::Client);
        assert_eq!(attribute(query, "db.system.name"), Some("postgresql"));
        assert!(attribute(query, "db.query.text").unwrap().contains("FROM users"), "{query:?}");
    }
    assert_eq!(logs::leak(&format!("{trace:?}")), None);
    assert!(!format!("{trace:?}").contains(SUPERUSER), "a trace contains a value");
}

#[tokio::test]
async fn traces_contain_each_call_to_redis() {
    let (app, collector) = traced().await;
    let access = app.superuser().await.access.clone();
    app.me(&access).await.ok(200);
    app.post(path::LOGOUT).bearer_auth(&access).answer().await.ok(200);

    let trace = collector.trace_with("GET /api/v1/auth/me").await;
    assert_children(&trace, "GET /api/v1/auth/me", &["MGET", "SELECT users"]);
    assert_eq!(attribute(&trace[1], "db.system.name"), Some("redis"));

    let trace = collector.trace_with("POST /api/v1/auth/logout").await;
    let names: Vec<_> = trace.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names.first(), Some(&"POST /api/v1/auth/logout"));
    assert_eq!(names.last(), Some(&"PIPELINE"), "the session ends in the database first: {names:?}");
    assert!(names.contains(&"WITH sessions"), "{names:?}");
}

#[tokio::test]
async fn a_request_continues_the_clients_trace() {
    let (app, collector) = traced().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    app.get(path::JWKS).header("traceparent", parent).answer().await.ok(200);

    let trace = collector.trace_with("GET /.well-known/jwks.json").await;
    assert_eq!(trace[0].trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
    assert_eq!(trace[0].parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
}

#[tokio::test]
async fn workers_create_no_traces_and_log_lines_have_their_request_id() {
    let (app, collector) = traced().await;
    app.post(path::LOGIN).header("x-request-id", "traced-1").form(&[("a", "b")]).answer().await.problem(422);
    let form = [("username", SUPERUSER), ("password", "wrong")];
    app.post(path::LOGIN).header("x-request-id", "traced-2").form(&form).answer().await.problem(401);
    for id in ["traced-1", "traced-2"] {
        app.server().wait_for_log(id).await;
    }
    // The second login is the only one that verifies a password; its spans arrive after those of the first.
    collector.trace_with("hash the password").await;
    let children: Vec<_> =
        collector.all().into_iter().filter(|span| span.kind() != SpanKind::Server).collect();
    let without_parent = children.iter().filter(|span| span.parent_span_id.is_empty()).count();
    assert_eq!(without_parent, 0, "{children:?}");
}
