//! A steady load of logins, reads and client credentials, and an observer of the condition `Ready`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use latchkey_crds::{AuthService, conditions};
use latchkey_tests::app::path;
use latchkey_tests::cluster::Cluster;
use latchkey_tests::process::run;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::url_of;
use crate::namespace::{NAME, Namespace, SERVER_PODS};

/// Between two requests of each kind. A request is sent at its time, whether earlier ones were answered or not.
const READS: Duration = Duration::from_millis(25);
const LOGINS: Duration = Duration::from_millis(300);
const CLIENT_TOKENS: Duration = Duration::from_millis(100);
/// The deadline of a request. The server responds within five seconds of its own time; a connection to a pod that is gone
/// never succeeds.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long `Ready` may disagree with the Deployment: both are observed one after the other, and by several controllers.
const DISAGREEMENT: Duration = Duration::from_secs(10);

/// An account that logs in.
#[derive(Debug, Clone)]
pub struct Login {
    pub username: String,
    pub password: String,
}

/// An OAuth client that obtains tokens.
#[derive(Debug, Clone)]
pub struct OauthClient {
    pub id: &'static str,
    /// Used in turn: during a rotation some instances of an application have the new secret, and others the old one.
    pub secrets: Vec<String>,
}

/// What the tasks found.
#[derive(Debug, Default)]
struct Findings {
    ended: AtomicBool,
    /// Whether there is no operator that could update the condition.
    unattended: AtomicBool,
    sent: AtomicUsize,
    faults: Mutex<Vec<String>>,
    /// The warnings of the servers at the first fault: their pods may be gone when the test ends.
    warnings: Mutex<Option<JoinHandle<String>>>,
    namespace: String,
}

impl Findings {
    fn report(&self, fault: String) {
        lock(&self.faults).push(fault);
        lock(&self.warnings).get_or_insert_with(|| {
            let mut kubectl = Cluster::shared().kubectl();
            kubectl.args(["-n", &self.namespace, "logs", "-l", SERVER_PODS, "--prefix", "--tail=400"]);
            tokio::task::spawn_blocking(move || {
                let output = run(&mut kubectl);
                let log = String::from_utf8_lossy(&output.stdout).into_owned();
                let warnings: Vec<_> = log.lines().filter(|line| !line.contains("\"INFO\"")).collect();
                warnings.join("\n")
            })
        });
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

/// The running load and the running observer.
pub struct Load {
    findings: Arc<Findings>,
    oauth_client: Arc<Mutex<OauthClient>>,
    tasks: Vec<JoinHandle<()>>,
    begun: Instant,
}

impl Load {
    /// Starts both. Requests are sent from this machine to the address of the Service, each over a new connection.
    pub async fn start(
        namespace: &Namespace,
        access: String,
        logins: Vec<Login>,
        oauth_client: OauthClient,
    ) -> Self {
        let services: Api<Service> = Api::namespaced(namespace.cluster.client().await, &namespace.name);
        let service = services.get(NAME).await.expect("the Service");
        let address = service.spec.and_then(|spec| spec.cluster_ip).expect("the Service's address");
        let base = url_of(&address, 80);
        let client = reqwest::Client::builder().timeout(PATIENCE).pool_max_idle_per_host(0).no_proxy();
        let client = client.build().expect("an HTTP client");
        let findings = Arc::new(Findings { namespace: namespace.name.clone(), ..Findings::default() });
        let [me, login, token] = [path::ME, path::LOGIN, path::TOKEN].map(|path| format!("{base}{path}"));
        let reads = {
            let client = client.clone();
            repeat(&findings, READS, "GET /me", move |_| client.get(&me).bearer_auth(&access))
        };
        let oauth_client = Arc::new(Mutex::new(oauth_client));
        let tokens = {
            let (client, oauth_client) = (client.clone(), Arc::clone(&oauth_client));
            repeat(&findings, CLIENT_TOKENS, "POST /token", move |number| {
                let OauthClient { id, secrets } = &*lock(&oauth_client);
                let form = [
                    ("grant_type", "client_credentials"),
                    ("client_id", id),
                    ("client_secret", &secrets[number % secrets.len()]),
                ];
                client.post(&token).form(&form)
            })
        };
        let posts = repeat(&findings, LOGINS, "POST /login", move |number| {
            let account = &logins[number % logins.len()];
            client.post(&login).form(&[("username", &account.username), ("password", &account.password)])
        });
        let observer = tokio::spawn(observe(
            Api::namespaced(namespace.client.clone(), &namespace.name),
            Api::namespaced(namespace.client.clone(), &namespace.name),
            Arc::clone(&findings),
        ));
        let tasks = vec![reads, tokens, posts, observer];
        Self { findings, oauth_client, tasks, begun: Instant::now() }
    }

    /// From now on the OAuth client uses these secrets.
    pub fn use_secrets(&self, secrets: &[&str]) {
        lock(&self.oauth_client).secrets = secrets.iter().map(|&secret| secret.to_owned()).collect();
    }

    /// From now on no operator updates the condition, or one does again.
    pub fn set_unattended(&self, unattended: bool) {
        self.findings.unattended.store(unattended, Ordering::Relaxed);
    }

    /// Waits until this number of further requests were sent.
    pub async fn wait_for_requests(&self, count: usize) {
        let before = self.findings.sent.load(Ordering::Relaxed);
        crate::waiting::wait_for(&format!("{count} requests"), async || {
            let sent = self.findings.sent.load(Ordering::Relaxed) - before;
            if sent >= count { Ok(()) } else { Err(sent) }
        })
        .await;
    }

    /// Describes what was found up to now, for the note of a step.
    pub fn summary(&self) -> String {
        let faults = lock(&self.findings.faults).len();
        let sent = self.findings.sent.load(Ordering::Relaxed);
        format!("{:.0} s, {sent} requests, {faults} faults", self.begun.elapsed().as_secs_f64())
    }

    /// Ends both, and asserts that no request failed and `Ready` was true to the facts.
    pub async fn stop(self) {
        self.findings.ended.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("the task ends");
        }
        let warnings = lock(&self.findings.warnings).take();
        let warnings = match warnings {
            Some(task) => task.await.expect("the log is read"),
            None => String::new(),
        };
        let faults = lock(&self.findings.faults);
        let sent = self.findings.sent.load(Ordering::Relaxed);
        assert!(
            faults.is_empty(),
            "{} of {sent} requests failed, or Ready was wrong: {faults:#?}\nwarnings of the servers at the first:\n{warnings}",
            faults.len()
        );
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends requests at their times until the end, and then waits for their responses.
fn repeat<F>(findings: &Arc<Findings>, every: Duration, what: &'static str, request: F) -> JoinHandle<()>
where
    F: Fn(usize) -> reqwest::RequestBuilder + Send + 'static,
{
    let findings = Arc::clone(findings);
    tokio::spawn(async move {
        let mut times = interval(every);
        times.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut open = tokio::task::JoinSet::new();
        let mut number = 0;
        while !findings.has_ended() {
            times.tick().await;
            while open.try_join_next().is_some() {}
            let (request, findings) = (request(number), Arc::clone(&findings));
            number += 1;
            open.spawn(async move {
                let begun = Instant::now();
                let fault = match request.send().await {
                    Ok(response) if response.status() == 200 => {
                        response.bytes().await.err().map(|e| format!("{e:?}"))
                    }
                    Ok(response) => {
                        let status = response.status();
                        Some(format!("{status}: {}", response.text().await.unwrap_or_default()))
                    }
                    Err(error) => Some(format!("{error:?}")),
                };
                findings.sent.fetch_add(1, Ordering::Relaxed);
                if let Some(fault) = fault {
                    findings.report(format!("{what} after {:?}: {fault}", begun.elapsed()));
                }
            });
        }
        open.join_all().await;
    })
}

/// Compares `Ready` with the Deployment until the end.
async fn observe(services: Api<AuthService>, deployments: Api<Deployment>, findings: Arc<Findings>) {
    let mut times = interval(Duration::from_millis(250));
    let mut since: Option<(String, Instant)> = None;
    while !findings.has_ended() {
        times.tick().await;
        // The API server does not respond while it is restarted.
        let (Ok(service), Ok(deployment)) = tokio::join!(services.get(NAME), deployments.get(NAME)) else {
            continue;
        };
        let wrong =
            disagreement(&service, &deployment).filter(|_| !findings.unattended.load(Ordering::Relaxed));
        since = match (wrong, since) {
            (Some(wrong), Some((known, at))) if wrong == known => {
                if at.elapsed() > DISAGREEMENT {
                    findings.report(format!("for {:?}: {wrong}", at.elapsed()));
                    Some((known, Instant::now()))
                } else {
                    Some((known, at))
                }
            }
            (Some(wrong), _) => Some((wrong, Instant::now())),
            (None, _) => None,
        };
    }
}

/// What is wrong with the condition, if anything is. A rollout or a further replica may or may not make it False.
fn disagreement(service: &AuthService, deployment: &Deployment) -> Option<String> {
    let all = service.status.as_ref()?.conditions.as_slice();
    let ready = all.iter().find(|condition| condition.type_ == conditions::READY)?;
    let status = deployment.status.clone().unwrap_or_default();
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let (replicas, updated) = (status.replicas.unwrap_or(0), status.updated_replicas.unwrap_or(0));
    let available = status.available_replicas.unwrap_or(0);
    let complete = status.observed_generation == deployment.metadata.generation
        && ready.observed_generation == service.metadata.generation
        && [replicas, updated, available] == [wanted; 3];
    let wrong = if ready.status == "True" { available == 0 } else { complete };
    wrong.then(|| {
        format!(
            "Ready is {} ({}: {}), with {replicas} replicas, {updated} updated, {available} available of {wanted}",
            ready.status, ready.reason, ready.message
        )
    })
}
