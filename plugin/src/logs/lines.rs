//! The lines of the logs of containers.

use std::pin::Pin;

use futures::io::Lines;
use futures::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::LogParams;

use crate::cli::LogsArguments;
use crate::failure::Failure;
use crate::output::{Printer, Tone};
use crate::pods::SERVER_CONTAINER;

/// The lines of one container, each with its time in front.
pub(super) type Source = Lines<Pin<Box<dyn AsyncBufRead + Send>>>;

/// The containers whose logs are of interest: `None` is the only one of the pod.
pub(super) fn containers(pod: &Pod) -> Vec<String> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let names: Vec<String> = containers.map(|container| container.name.clone()).collect();
    // Sidecars have logs of their own.
    let own: Vec<String> = names.iter().filter(|name| is_own(name)).cloned().collect();
    if own.is_empty() { names } else { own }
}

fn is_own(name: &str) -> bool {
    [SERVER_CONTAINER, "migrate", "postgres", "valkey"].contains(&name)
}

pub(super) fn parameters(options: &LogsArguments, container: &str) -> LogParams {
    LogParams {
        container: Some(container.to_owned()),
        follow: options.follow,
        previous: options.previous,
        since_seconds: options.since.and_then(|since| i64::try_from(since.as_secs()).ok()),
        tail_lines: options.tail,
        timestamps: true,
        ..LogParams::default()
    }
}

pub(super) async fn open(api: &Api<Pod>, pod: &str, parameters: &LogParams) -> Result<Source, kube::Error> {
    let stream = api.log_stream(pod, parameters).await?;
    let boxed: Pin<Box<dyn AsyncBufRead + Send>> = Box::pin(stream);
    Ok(boxed.lines())
}

/// One line of a log, with the colour of its pod.
pub(super) struct Line {
    pod: String,
    number: usize,
    /// As the node wrote it, which may be in its own time zone.
    time: String,
    pub(super) at: Timestamp,
    text: String,
}

impl Line {
    pub(super) fn new(pod: &str, number: usize, line: &str) -> Self {
        let (time, text) = line.split_once(' ').unwrap_or((line, ""));
        // What the kubelet itself says, for example that it has no log, has no time.
        let (time, at, text) = match time.parse() {
            Ok(at) => (time, at, text),
            Err(_) => ("", Timestamp::MIN, line),
        };
        Self { pod: pod.to_owned(), number, time: time.to_owned(), at, text: text.to_owned() }
    }

    pub(super) fn print(&self, options: &LogsArguments, printer: &Printer) -> Result<(), Failure> {
        let pod = printer.paint(&self.pod, Tone::Number(self.number));
        let time = if options.timestamps { format!(" {}", self.time) } else { String::new() };
        printer.print(&format!("{pod}{time} {}\n", self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Component;

    #[test]
    fn lines_are_compared_by_time_whatever_the_number_of_digits_and_the_time_zone() {
        let at = |line: &str| Line::new("p", 0, line).at;
        assert!(at("2026-01-01T00:00:00Z a") < at("2026-01-01T00:00:00.1Z a"));
        assert!(at("2026-01-01T00:00:00.09Z a") < at("2026-01-01T00:00:00.1Z a"));
        assert!(at("2026-01-01T00:00:00.999999999Z a") < at("2026-01-01T00:00:01Z a"));
        assert!(at("2026-01-01T01:00:00.1+01:00 a") < at("2026-01-01T00:00:00.2Z a"));
        for (line, text) in
            [("2026-01-01T00:00:00Z a b", "a b"), ("2026-01-01T00:00:00Z ", ""), ("no log yet", "no log yet")]
        {
            assert_eq!(Line::new("p", 0, line).text, text);
        }
    }

    #[test]
    fn the_log_of_a_sidecar_is_left_out() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "spec": {"containers": [{"name": "istio-proxy"}, {"name": "server"}]},
        }))
        .expect("a pod");
        assert_eq!(containers(&pod), ["server"]);
        assert_eq!(parameters_of_default().container.as_deref(), Some("server"));
    }

    fn parameters_of_default() -> LogParams {
        let options = LogsArguments {
            name: "a".to_owned(),
            follow: false,
            since: None,
            tail: None,
            previous: false,
            timestamps: false,
            component: Component::Server,
        };
        parameters(&options, SERVER_CONTAINER)
    }
}
