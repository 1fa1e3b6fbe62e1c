//! Writes log lines as JSON: time, level, the fields of the event, target and, as `span`, the request. The layer of
//! tracing-subscriber writes the same lines and allocates for each member.

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::io::Write;

use chrono::{SecondsFormat, Utc};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::request_labels::RequestLabels;

/// The buffer that a thread reuses has at most this capacity.
const MOST_REUSED: usize = 16 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// `make_writer` gives a writer, of which each call of `write` is one whole line.
pub(super) struct JsonLines<M>(pub(super) M);

impl<S: Subscriber, W: Write, M: Fn() -> W + 'static> Layer<S> for JsonLines<M> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = BUFFER.take();
        line.clear();
        write_event(&mut line, event);
        // Without standard error there is nowhere to report to.
        let _ = self.0().write_all(&line);
        if line.capacity() <= MOST_REUSED {
            BUFFER.set(line);
        }
    }
}

fn write_event(line: &mut Vec<u8>, event: &Event<'_>) {
    let metadata = event.metadata();
    let time = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    // Writing to a vector does not fail.
    let _ = write!(line, r#"{{"timestamp":"{time}","level":"{}""#, metadata.level());
    event.record(&mut Members(line));
    write_text(line, "target", metadata.target());
    RequestLabels::with_current(|request| write_request(line, request));
    line.extend_from_slice(b"}\n");
}

fn write_request(line: &mut Vec<u8>, request: &RequestLabels) {
    let RequestLabels { origin, method, route, status } = request;
    line.extend_from_slice(br#","span":{"#);
    if let Some(status) = status {
        let _ = write!(line, r#""http.response.status_code":{status},"#);
    }
    line.extend_from_slice(br#""method":"#);
    write_string(line, method.as_str());
    write_text(line, "otel.kind", "server");
    line.extend_from_slice(br#","otel.name":"#);
    write_formatted(line, format_args!("{method} {route}"));
    write_text(line, "request_id", &origin.request_id);
    write_text(line, "route", route);
    line.extend_from_slice(br#","name":"request"}"#);
}

/// Writes the fields of an event as members.
struct Members<'a>(&'a mut Vec<u8>);

impl Members<'_> {
    fn write_number(&mut self, field: &Field, number: impl fmt::Display) {
        write_name(self.0, field.name());
        let _ = write!(self.0, "{number}");
    }
}

impl Visit for Members<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write_name(self.0, field.name().strip_prefix("r#").unwrap_or(field.name()));
        write_formatted(self.0, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        write_text(self.0, field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write_number(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write_number(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write_number(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinity.
        if value.is_finite() { self.write_number(field, value) } else { self.write_number(field, "null") }
    }
}

fn write_name(line: &mut Vec<u8>, name: &str) {
    line.push(b',');
    write_string(line, name);
    line.push(b':');
}

fn write_text(line: &mut Vec<u8>, name: &str, value: &str) {
    write_name(line, name);
    write_string(line, value);
}

fn write_formatted(line: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    line.push(b'"');
    // An error of the value's own formatting leaves the line valid.
    let _ = Escaped(line).write_fmt(text);
    line.push(b'"');
}

fn write_string(line: &mut Vec<u8>, text: &str) {
    line.push(b'"');
    escape(line, text);
    line.push(b'"');
}

struct Escaped<'a>(&'a mut Vec<u8>);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

/// RFC 8259 §7.
fn escape(line: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
        line.extend_from_slice(&rest[..at]);
        match rest[at] {
            byte @ (b'"' | b'\\') => line.extend_from_slice(&[b'\\', byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            control => drop(write!(line, "\\u{control:04x}")),
        }
        rest = &rest[at + 1..];
    }
    line.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::IpAddr;
    use std::sync::{Arc, Mutex};

    use http::Method;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::domain::Origin;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            assert!(line.ends_with(b"\n"), "not a whole line");
            self.0.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(emit: impl FnOnce()) -> Value {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::registry().with(JsonLines(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, emit);
        let line = written.0.lock().unwrap();
        serde_json::from_slice(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn labels(request_id: &str, status: Option<u16>) -> RequestLabels {
        let address = IpAddr::from([192, 0, 2, 1]);
        let origin = Origin { request_id: request_id.to_owned(), address, user_agent: None };
        RequestLabels { origin: Arc::new(origin), method: Method::GET, route: "/a/{id}".into(), status }
    }

    #[test]
    fn a_line_has_the_members_of_the_documentation() {
        let mut line = log(|| {
            labels("id-1", Some(200)).sync_scope(|| {
                let (some, none) = (Some(-1_i64), None::<i64>);
                tracing::warn!(text = "a", some, none, yes = true, ms = 0.5, bad = f64::NAN, list = ?[1], "done");
            });
        });
        let time = line["timestamp"].take();
        assert!(chrono::DateTime::parse_from_rfc3339(time.as_str().unwrap()).is_ok(), "{time}");
        let span = json!({
            "name": "request", "request_id": "id-1", "method": "GET", "route": "/a/{id}",
            "otel.kind": "server", "otel.name": "GET /a/{id}", "http.response.status_code": 200,
        });
        let expected = json!({
            "timestamp": null, "level": "WARN", "message": "done", "text": "a", "some": -1, "yes": true, "ms": 0.5,
            "bad": null, "list": "[1]", "target": module_path!(), "span": span,
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn a_line_outside_of_a_request_has_no_span() {
        assert_eq!(log(|| tracing::info!("ready")).get("span"), None);
    }

    proptest! {
        #[test]
        fn every_text_survives(text in "\\PC{0,9}|[\\x00-\\x7f]{0,20}", id in "[\\x00-\\x7f]{0,9}") {
            let line = log(|| labels(&id, None).sync_scope(|| tracing::info!(text, shown = %text, debug = ?text, "m")));
            prop_assert_eq!(&line["text"], &text);
            prop_assert_eq!(&line["shown"], &text);
            prop_assert_eq!(&line["debug"], &format!("{text:?}"));
            prop_assert_eq!(&line["span"]["request_id"], &id);
        }
    }
}
