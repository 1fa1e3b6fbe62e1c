//! `logs --follow`: prints lines as they arrive, also of pods that start later and of containers that start again.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::LogParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::lines::{Line, containers, open, parameters};
use crate::cli::LogsArguments;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::output::Printer;
use crate::pods;

/// The pause before the log of a container that still runs is opened again, after a connection was lost.
const RETRY: Duration = Duration::from_secs(1);

/// A container, by the uid of its pod: the pod of a StatefulSet keeps its name.
type Key = (String, String);

/// Prints lines until the process is interrupted.
pub(super) async fn follow(
    cluster: &Cluster,
    options: &LogsArguments,
    labels: &str,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let (sender, mut lines) = mpsc::channel::<Line>(256);
    let config = watcher::Config::default().labels(labels);
    let mut changes = watcher(cluster.api::<Pod>(), config).default_backoff().boxed();
    let mut retry = tokio::time::interval(RETRY);
    retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reading: JoinSet<(Key, End)> = JoinSet::new();
    let mut known = Known::default();
    loop {
        tokio::select! {
            Some(line) = lines.recv() => {
                line.print(options, printer)?;
                continue;
            }
            Some(change) = changes.next() => {
                if let Ok(change) = change {
                    known.update(change);
                }
            }
            Some(ended) = reading.join_next() => {
                if let Ok((key, end)) = ended && let Some(message) = known.end(&key, end) {
                    printer.note(&message);
                }
                // The container may still run; the next look at it is after the pause.
                continue;
            }
            _ = retry.tick() => {}
        }
        for Opening { key, pod, number, after, parameters } in known.start_due(options) {
            let (api, sender) = (cluster.api::<Pod>(), sender.clone());
            reading.spawn(async move {
                let end = copy(api, pod, number, after, parameters, sender).await;
                (key, end)
            });
        }
    }
}

/// The pods and their logs.
#[derive(Default)]
struct Known {
    /// By uid.
    pods: BTreeMap<String, Pod>,
    /// The pods of a list that is being read.
    listed: BTreeSet<String>,
    /// By uid; decides the colour.
    numbers: BTreeMap<String, usize>,
    logs: BTreeMap<Key, Log>,
}

/// The log of a container that was opened at least once.
struct Log {
    state: State,
    /// The number of restarts of the container when its log was opened.
    restarts: i32,
    opened_first: Instant,
    /// The time of the last line that was printed.
    last: Option<Timestamp>,
    /// The last message about a failure.
    message: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Ended,
    /// The user may not read it.
    Forbidden,
}

/// A log to open.
struct Opening {
    key: Key,
    pod: String,
    number: usize,
    /// Lines that are not later were printed before.
    after: Option<Timestamp>,
    parameters: LogParams,
}

/// Why reading a log ended.
struct End {
    last: Option<Timestamp>,
    failure: Option<kube::Error>,
}

impl Known {
    fn update(&mut self, change: watcher::Event<Pod>) {
        let uid = |pod: &Pod| pod.uid().unwrap_or_default();
        match change {
            watcher::Event::Apply(pod) => {
                self.pods.insert(uid(&pod), pod);
            }
            watcher::Event::InitApply(pod) => {
                self.listed.insert(uid(&pod));
                self.pods.insert(uid(&pod), pod);
            }
            watcher::Event::Delete(pod) => {
                self.pods.remove(&uid(&pod));
            }
            watcher::Event::Init => self.listed.clear(),
            watcher::Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                self.pods.retain(|uid, _| listed.contains(uid));
            }
        }
        let pods = &self.pods;
        self.logs.retain(|(uid, _), log| log.state == State::Reading || pods.contains_key(uid));
    }

    /// Returns what to print about the end of a log.
    fn end(&mut self, key: &Key, end: End) -> Option<String> {
        let pod = self.pods.get(&key.0).map(ResourceExt::name_any);
        let log = self.logs.get_mut(key)?;
        log.last = end.last.max(log.last);
        log.state = State::Ended;
        let Some(error) = end.failure else {
            log.message = None;
            return None;
        };
        if matches!(&error, kube::Error::Api(status) if [401, 403].contains(&status.code)) {
            log.state = State::Forbidden;
        }
        // A pod that is gone needs no message.
        let message = Failure::of_request(&format!("read the log of {}", pod?), &error).to_string();
        let is_new = log.message.as_ref() != Some(&message);
        log.message = Some(message.clone());
        is_new.then_some(message)
    }

    /// The logs to open now, which count as being read from now on.
    fn start_due(&mut self, options: &LogsArguments) -> Vec<Opening> {
        let mut due = Vec::new();
        for (uid, pod) in &self.pods {
            for container in containers(pod) {
                let key = (uid.clone(), container);
                let observed = Observed::of(pod, &key.1);
                let log = self.logs.get_mut(&key);
                if !observed.is_due(log.as_deref().map(|log| (log.state, log.restarts))) {
                    continue;
                }
                let (after, parameters) = match &log {
                    None => (None, parameters(options, &key.1)),
                    Some(log) => (log.last, log.continued(options, &key.1)),
                };
                let count = self.numbers.len();
                let number = *self.numbers.entry(uid.clone()).or_insert(count);
                let log = self.logs.entry(key.clone()).or_insert_with(|| Log {
                    state: State::Reading,
                    restarts: 0,
                    opened_first: Instant::now(),
                    last: None,
                    message: None,
                });
                (log.state, log.restarts) = (State::Reading, observed.restarts);
                due.push(Opening { key, pod: pod.name_any(), number, after, parameters });
            }
        }
        due
    }
}

impl Log {
    /// The parameters that continue after the last line. `--tail` chooses where to begin, and would leave out lines now.
    fn continued(&self, options: &LogsArguments, container: &str) -> LogParams {
        let mut parameters = parameters(options, container);
        let elapsed =
            i64::try_from(self.opened_first.elapsed().as_secs()).unwrap_or(i64::MAX).saturating_add(1);
        match self.last {
            Some(last) => {
                // The API server knows whole seconds, and kube would round up.
                parameters.since_time = Timestamp::from_second(last.as_second()).ok();
                parameters.since_seconds = None;
            }
            None if options.since.is_some() || options.tail.is_some() => {
                let since = parameters.since_seconds.unwrap_or_default();
                parameters.since_seconds = Some(since.saturating_add(elapsed));
            }
            None => {}
        }
        parameters.tail_lines = None;
        parameters
    }
}

/// What the kubelet has reported about a container.
#[derive(Debug, Clone, Copy)]
struct Observed {
    restarts: i32,
    is_running: bool,
    has_log: bool,
}

impl Observed {
    fn of(pod: &Pod, container: &str) -> Self {
        let phase = pods::phase(pod);
        let Some(status) = pods::container(pod, container) else {
            let is_running = phase == "Running";
            let has_log = is_running || ["Succeeded", "Failed"].contains(&phase);
            return Self { restarts: 0, is_running, has_log };
        };
        let state = |state: Option<&ContainerState>| {
            let is_running = state.is_some_and(|state| state.running.is_some());
            (is_running, is_running || state.is_some_and(|state| state.terminated.is_some()))
        };
        let (is_running, has_log) = state(status.state.as_ref());
        // A container that waits for its next start has the log of the last one.
        let has_log = has_log || state(status.last_state.as_ref()).1;
        Self { restarts: status.restart_count, is_running, has_log }
    }

    fn is_due(self, log: Option<(State, i32)>) -> bool {
        match log {
            None => self.has_log,
            Some((State::Reading, _)) => false,
            Some((State::Ended, restarts)) => self.is_running || (self.has_log && self.restarts > restarts),
            Some((State::Forbidden, restarts)) => self.has_log && self.restarts > restarts,
        }
    }
}

/// Sends the lines of a container until its log ends.
async fn copy(
    api: Api<Pod>,
    pod: String,
    number: usize,
    after: Option<Timestamp>,
    parameters: LogParams,
    lines: mpsc::Sender<Line>,
) -> End {
    let mut last = after;
    let mut source = match open(&api, &pod, &parameters).await {
        Ok(source) => source,
        Err(error) => return End { last, failure: Some(error) },
    };
    while let Some(Ok(line)) = source.next().await {
        let line = Line::new(&pod, number, &line);
        if after.is_some_and(|after| line.at <= after) {
            continue;
        }
        last = last.max(Some(line.at));
        if lines.send(line).await.is_err() {
            break;
        }
    }
    End { last, failure: None }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::Component;

    fn options(tail: Option<i64>, since: Option<Duration>) -> LogsArguments {
        LogsArguments {
            name: "a".to_owned(),
            follow: true,
            since,
            tail,
            previous: false,
            timestamps: false,
            component: Component::Server,
        }
    }

    fn pod(restarts: i32, state: &Value, last: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "uid": "1"},
            "spec": {"containers": [{"name": "server"}]},
            "status": {"phase": "Running", "containerStatuses": [{
                "name": "server", "image": "", "imageID": "", "ready": false, "restartCount": restarts,
                "state": state, "lastState": last,
            }]},
        }))
        .expect("a pod")
    }

    #[test]
    fn a_log_is_opened_again_after_each_start_of_the_container() {
        let running = json!({"running": {}});
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let ended = json!({"terminated": {"exitCode": 1}});
        let is_due = |restarts, state: &Value, last: &Value, log| {
            Observed::of(&pod(restarts, state, last), "server").is_due(log)
        };
        let none = json!({});
        assert!(is_due(0, &running, &none, None));
        assert!(!is_due(0, &waiting, &none, None), "it has not started");
        assert!(is_due(3, &waiting, &ended, None), "the log of its last start");
        assert!(!is_due(1, &running, &ended, Some((State::Reading, 0))));
        assert!(is_due(0, &running, &none, Some((State::Ended, 0))), "the connection was lost");
        assert!(!is_due(0, &ended, &none, Some((State::Ended, 0))), "everything was read");
        assert!(!is_due(0, &waiting, &ended, Some((State::Ended, 0))));
        assert!(is_due(1, &ended, &ended, Some((State::Ended, 0))), "it started and ended meanwhile");
        assert!(!is_due(0, &running, &none, Some((State::Forbidden, 0))));
        let without_status: Pod =
            serde_json::from_value(json!({"status": {"phase": "Running"}})).expect("a pod");
        assert!(Observed::of(&without_status, "server").is_due(None));
    }

    #[test]
    fn a_log_continues_where_it_ended() {
        let log = |last: Option<&str>| Log {
            state: State::Ended,
            restarts: 0,
            opened_first: Instant::now(),
            last: last.map(|last| last.parse().expect("a time")),
            message: None,
        };
        let last = log(Some("2026-01-01T00:00:07.9Z"));
        let continued = last.continued(&options(Some(3), Some(Duration::from_mins(1))), "server");
        assert_eq!(
            continued.since_time.map(|time| time.to_string()).as_deref(),
            Some("2026-01-01T00:00:07Z")
        );
        assert_eq!((continued.since_seconds, continued.tail_lines), (None, None));
        // No line was printed yet.
        let since = |tail, since| log(None).continued(&options(tail, since), "server").since_seconds;
        assert_eq!(since(None, None), None);
        assert_eq!(since(Some(0), None), Some(1));
        assert_eq!(since(None, Some(Duration::from_mins(1))), Some(61));
    }

    #[test]
    fn a_failure_is_reported_once_and_pods_that_are_gone_are_forgotten() {
        let mut known = Known::default();
        known.update(watcher::Event::Apply(pod(0, &json!({"running": {}}), &json!({}))));
        let due = known.start_due(&options(None, None));
        assert_eq!(due.iter().map(|due| due.pod.as_str()).collect::<Vec<_>>(), ["p"]);
        assert!(known.start_due(&options(None, None)).is_empty(), "it is being read");
        let key = due[0].key.clone();
        let failed = || End { last: None, failure: Some(kube::Error::LinesCodecMaxLineLengthExceeded) };
        assert!(known.end(&key, failed()).is_some_and(|message| message.contains("the log of p")));
        assert_eq!(known.end(&key, failed()), None);
        assert_eq!(known.start_due(&options(None, None)).len(), 1);
        known.end(&key, End { last: None, failure: None });
        known.update(watcher::Event::Init);
        known.update(watcher::Event::InitDone);
        assert!(known.pods.is_empty() && known.logs.is_empty());
    }
}
