//! `logs`: the logs of all replicas, merged by time.

mod follow;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::process::ExitCode;

use futures::io::Lines;
use futures::{AsyncBufRead, AsyncBufReadExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::LogParams;
use kube::{Api, ResourceExt};

use crate::cli::LogsArguments;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::output::{Printer, Tone};
use crate::pods::{self, SERVER_CONTAINER};

/// The lines of one container, each with its time in front.
type Source = Lines<Pin<Box<dyn AsyncBufRead + Send>>>;

/// Prints the logs, until now or until it is interrupted.
pub async fn run(cluster: &Cluster, options: &LogsArguments, printer: &Printer) -> Result<ExitCode, Failure> {
    cluster.auth_service(&options.name).await?;
    let labels = pods::selector_of(&options.name, options.component);
    let found: Vec<Pod> =
        cluster.list(&labels).await.map_err(|error| Failure::of_request("list the pods", &error))?;
    if found.is_empty() && !options.follow {
        return Err(Failure::Failed(format!(
            "{} has no such pods; kubectl latchkey status shows why",
            options.name
        )));
    }
    if options.follow {
        return follow::follow(cluster, options, &labels, printer).await;
    }
    merge(cluster, options, &found, printer).await
}

/// The containers whose logs are of interest: `None` is the only one of the pod.
fn containers(pod: &Pod) -> Vec<String> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let names: Vec<String> = containers.map(|container| container.name.clone()).collect();
    // Sidecars have logs of their own.
    let own: Vec<String> = names.iter().filter(|name| is_own(name)).cloned().collect();
    if own.is_empty() { names } else { own }
}

fn is_own(name: &str) -> bool {
    [SERVER_CONTAINER, "migrate", "postgres", "valkey"].contains(&name)
}

fn parameters(options: &LogsArguments, container: &str) -> LogParams {
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

async fn open(api: &Api<Pod>, pod: &str, parameters: &LogParams) -> Result<Source, kube::Error> {
    let stream = api.log_stream(pod, parameters).await?;
    let boxed: Pin<Box<dyn AsyncBufRead + Send>> = Box::pin(stream);
    Ok(boxed.lines())
}

/// One line of a log, with the colour of its pod.
struct Line {
    pod: String,
    number: usize,
    /// As the node wrote it, which may be in its own time zone.
    time: String,
    at: Timestamp,
    text: String,
}

impl Line {
    fn new(pod: &str, number: usize, line: &str) -> Self {
        let (time, text) = line.split_once(' ').unwrap_or((line, ""));
        // What the kubelet itself says, for example that it has no log, has no time.
        let (time, at, text) = match time.parse() {
            Ok(at) => (time, at, text),
            Err(_) => ("", Timestamp::MIN, line),
        };
        Self { pod: pod.to_owned(), number, time: time.to_owned(), at, text: text.to_owned() }
    }

    fn print(&self, options: &LogsArguments, printer: &Printer) -> Result<(), Failure> {
        let pod = printer.paint(&self.pod, Tone::Number(self.number));
        let time = if options.timestamps { format!(" {}", self.time) } else { String::new() };
        printer.print(&format!("{pod}{time} {}\n", self.text))
    }
}

/// Prints all lines so far in the order of their times. Only the next line of each pod is in memory.
async fn merge(
    cluster: &Cluster,
    options: &LogsArguments,
    found: &[Pod],
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let api = cluster.api::<Pod>();
    let mut sources: Vec<(String, usize, Source)> = Vec::new();
    let mut failed = false;
    for (number, pod) in found.iter().enumerate() {
        for container in containers(pod) {
            let name = pod.name_any();
            match open(&api, &name, &parameters(options, &container)).await {
                Ok(source) => sources.push((name, number, source)),
                Err(error) => {
                    failed = true;
                    let failure = Failure::of_request(&format!("read the log of {name}"), &error);
                    printer.note(&failure.to_string());
                }
            }
        }
    }
    let mut heads: BTreeMap<usize, Line> = BTreeMap::new();
    for index in 0..sources.len() {
        next_line(&mut sources, index, &mut heads).await;
    }
    loop {
        let earliest = heads.iter().min_by_key(|(_, line)| line.at);
        let Some(index) = earliest.map(|(index, _)| *index) else { break };
        if let Some(line) = heads.remove(&index) {
            line.print(options, printer)?;
        }
        next_line(&mut sources, index, &mut heads).await;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn next_line(sources: &mut [(String, usize, Source)], index: usize, heads: &mut BTreeMap<usize, Line>) {
    let (pod, number, source) = &mut sources[index];
    if let Some(Ok(line)) = source.next().await {
        heads.insert(index, Line::new(pod, *number, &line));
    }
}

/// The last lines of a container, for the support bundle.
pub async fn read(api: &Api<Pod>, pod: &str, parameters: &LogParams) -> Result<String, kube::Error> {
    api.logs(pod, parameters).await
}

/// The names of the containers whose logs belong to Latchkey.
pub fn containers_of(pod: &Pod) -> Vec<String> {
    containers(pod)
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
