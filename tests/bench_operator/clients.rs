//! Many AuthClients of one AuthService: the time until every one is registered, the cost until then, of single changes, of
//! the steady state and of a restart, and the memory of the operator.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use latchkey_clients::Registry;
use latchkey_crds::{AuthClient, AuthService};
use latchkey_tests::control_plane::{
    CONTROLLERS, Contents, ControlPlane, FIELD_MANAGER, apply, auth_client_crd, auth_service_crd,
    service_monitor_crd,
};
use latchkey_tests::kubelet::{Kubelet, Outcome, is_of_job};
use latchkey_tests::operator::{Installation, Operator};
use latchkey_tests::status_port::{StatusPort, healthy};
use latchkey_tests::wait;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::api_server_metrics::{ApiServerMetrics, Requests, show};
use crate::fleet::{Fleet, name, namespace};
use crate::servers::Addresses;
use crate::{MEBI, figure, own_writes, say, steady_time};

const CONCURRENCY: usize = 16;
const PER_NAMESPACE: usize = 20;
/// The deadline until all are Ready, for each thousand.
const PATIENCE: Duration = Duration::from_mins(10);
/// The Secret of the registry.
const REGISTRY: &str = "auth-0-clients";
/// How long a server takes to load a changed registry: the kubelet updates the mount of a pod that is annotated within a
/// second.
const LOADS_AFTER: Duration = Duration::from_millis(500);

/// The AuthClients.
#[derive(Clone)]
struct Clients {
    client: Client,
    count: usize,
}

fn namespace_of(number: usize) -> String {
    format!("clients-{}", number / PER_NAMESPACE)
}

fn name_of(number: usize) -> String {
    format!("client-{number}")
}

impl Clients {
    async fn prepare(client: Client, count: usize) -> Self {
        for number in (0..count).step_by(PER_NAMESPACE) {
            let metadata = json!({"name": namespace_of(number)});
            apply(&client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})).await;
        }
        Self { client, count }
    }

    fn api(&self, number: usize) -> Api<AuthClient> {
        Api::namespaced(self.client.clone(), &namespace_of(number))
    }

    async fn apply(&self, number: usize) {
        let name = name_of(number);
        let object = json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthClient", "metadata": {"name": name},
            "spec": {
                "authServiceRef": {"name": crate::fleet::name(0), "namespace": namespace(0)},
                "scopes": ["orders:read", "orders:write"],
                "audiences": ["https://api.example.com"],
            },
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = self.api(number).patch(&name, &parameters, &Patch::Apply(object)).await;
        applied.expect("the API server accepts it");
    }

    /// Waits until the first `count` are Ready, and prints the progress.
    async fn wait_until_ready(&self, begun: Instant, operator: &Operator) {
        let patience = PATIENCE * u32::try_from(self.count.div_ceil(1000)).unwrap_or(1);
        let api: Api<AuthClient> = Api::all(self.client.clone());
        let changes = watcher(api, watcher::Config::default()).default_backoff().applied_objects();
        let mut changes = std::pin::pin!(changes);
        let (mut ready, mut reported) = (HashSet::new(), Instant::now());
        while ready.len() < self.count {
            assert!(
                begun.elapsed() < patience,
                "{} of {} are Ready after {patience:?}",
                ready.len(),
                self.count
            );
            if reported.elapsed() > Duration::from_secs(10) {
                reported = Instant::now();
                say(&format!(
                    "  after {:.0} s: {} are Ready, {} MB",
                    begun.elapsed().as_secs_f64(),
                    ready.len(),
                    operator.memory().resident / 1_048_576
                ));
            }
            let next = tokio::time::timeout(Duration::from_secs(5), changes.next()).await;
            let Ok(Some(Ok(client))) = next else { continue };
            if is_ready(&client) {
                ready.insert(client.name_any());
            } else {
                ready.remove(&client.name_any());
            }
        }
    }

    async fn registry(&self) -> (Registry, usize) {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &namespace(0));
        let data = api.get(REGISTRY).await.expect("the registry").data.expect("data");
        let bytes = &data["clients.json.gz"].0;
        (Registry::parse(bytes).expect("a valid registry"), bytes.len())
    }

    /// The time until one more AuthClient is Ready: the one that was deleted, because an AuthService may have no more.
    async fn time_to_add(&self) -> Duration {
        let last = self.count - 1;
        let begun = Instant::now();
        self.apply(last).await;
        self.wait_for(last, "the added AuthClient", |client| client.is_some_and(is_ready)).await;
        begun.elapsed()
    }

    /// The time until the secret of one of them is another one, which every replica accepts.
    async fn time_to_rotate(&self) -> Duration {
        let begun = Instant::now();
        let change = json!({"metadata": {"annotations": {"latchkey.dev/rotate-secret": "now"}}});
        let patched = self.api(0).patch(&name_of(0), &PatchParams::default(), &Patch::Merge(change)).await;
        patched.expect("it is annotated");
        self.wait_for(0, "the rotation", |client| {
            client.is_some_and(|client| !client.annotations().contains_key("latchkey.dev/rotate-secret"))
        })
        .await;
        begun.elapsed()
    }

    /// The time until one of them is gone.
    async fn time_to_delete(&self) -> Duration {
        let last = self.count - 1;
        let begun = Instant::now();
        let deleted = self.api(last).delete(&name_of(last), &DeleteParams::default()).await;
        deleted.expect("it is deleted");
        self.wait_for(last, "the deletion", |client| client.is_none()).await;
        begun.elapsed()
    }

    async fn wait_for(&self, number: usize, what: &str, is_met: impl Fn(Option<&AuthClient>) -> bool) {
        let within = Duration::from_mins(2);
        wait::until_within(within, Duration::from_millis(20), what, async || {
            let client = self.api(number).get_opt(&name_of(number)).await.expect("a response");
            wait::check(is_met(client.as_ref()), client.and_then(|client| client.status))
        })
        .await;
    }
}

fn is_ready(client: &AuthClient) -> bool {
    let conditions = client.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| {
        condition.type_ == "Ready"
            && condition.status == "True"
            && condition.observed_generation == client.metadata.generation
    })
}

/// Simulates both replicas of the AuthService: a status port that reports the stored keys and the stored registry.
async fn start_server(client: Client) -> (String, JoinHandle<()>) {
    let address = Addresses::of_this_process().of(&name(0));
    let port = StatusPort::open_at(address.clone()).await;
    let services: Api<AuthService> = Api::namespaced(client.clone(), &namespace(0));
    let secrets: Api<Secret> = Api::namespaced(client, &namespace(0));
    let of_registry = watcher::Config::default().fields(&format!("metadata.name={REGISTRY}"));
    let task = tokio::spawn(async move {
        let services = watcher(services, watcher::Config::default()).default_backoff().applied_objects();
        let secrets = watcher(secrets, of_registry).default_backoff().applied_objects();
        let (mut services, mut secrets) = (std::pin::pin!(services), std::pin::pin!(secrets));
        let (mut kids, mut loaded) = (Vec::new(), Value::Null);
        loop {
            tokio::select! {
                Some(Ok(service)) = services.next() => {
                    let keys = service.status.iter().flat_map(|status| &status.signing_keys);
                    kids = keys.map(|key| key.kid.clone()).collect();
                }
                Some(Ok(secret)) = secrets.next() => {
                    tokio::time::sleep(LOADS_AFTER).await;
                    let data = secret.data.unwrap_or_default();
                    let registry = data.get("clients.json.gz").and_then(|data| Registry::parse(&data.0).ok());
                    if let Some(registry) = registry {
                        loaded = json!({"serial": registry.serial(), "count": registry.clients().len()});
                    }
                }
                else => continue,
            }
            let mut status = healthy(&kids);
            status["clients"] = loaded.clone();
            port.answer(status);
        }
    });
    (address, task)
}

/// Measures this number of AuthClients.
#[expect(clippy::too_many_lines, reason = "one measurement after the other")]
pub async fn bench(count: usize) {
    assert!(
        count < latchkey_clients::MAX_CLIENTS + 1,
        "an AuthService has at most {}",
        latchkey_clients::MAX_CLIENTS
    );
    let crds = [auth_service_crd(), auth_client_crd(), service_monitor_crd()];
    let mut control_plane = ControlPlane::start(Contents { crds: &crds, controllers: &CONTROLLERS }).await;
    let client = control_plane.client().await;
    let installation = Installation::new(&control_plane, "latchkey-system", &[]).await;
    let rate = crate::calibration::first_applies_a_second(&client).await;
    let fleet = Fleet::prepare(client.clone(), 1).await;
    let (address, server) = start_server(client.clone()).await;
    let kubelet = Kubelet::start_in_all_namespaces(client.clone(), move |pod| {
        if is_of_job(pod) { Outcome::Succeeded } else { Outcome::Ready(address.clone()) }
    });
    let mut operator = installation.start("operator-0");
    operator.wait_until_ready().await;
    fleet.apply_all().await;
    let admits = json!({"spec": {"clients": {"allowedNamespaces": {"from": "All"}}}});
    let services: Api<AuthService> = Api::namespaced(client.clone(), &namespace(0));
    let admitting = services.patch(&name(0), &PatchParams::default(), &Patch::Merge(admits)).await;
    admitting.expect("the AuthService admits other namespaces");
    fleet.wait_until_ready(Instant::now(), &operator).await;
    // One is there before, so that no rollout is measured.
    let clients = Clients::prepare(client.clone(), count).await;
    clients.apply(0).await;
    clients.wait_for(0, "the first AuthClient", |client| client.is_some_and(is_ready)).await;
    fleet.wait_until_quiet(&operator).await;

    say(&format!(
        "\n{count} AuthClients of one AuthService, in {} namespaces",
        count.div_ceil(PER_NAMESPACE)
    ));
    let empty = operator.memory();
    let api_server = ApiServerMetrics::new(client.clone());
    let requests = api_server.requests().await;
    let (written, busy) = (own_writes(&control_plane, &installation), operator.processor_seconds());
    let serial = clients.registry().await.0.serial();
    let begun = Instant::now();
    stream::iter(1..count).for_each_concurrent(CONCURRENCY, |number| clients.apply(number)).await;
    let applied = begun.elapsed();
    clients.wait_until_ready(begun, &operator).await;
    let ready = begun.elapsed();
    let bring_up = api_server.requests().await.since(&requests);
    let writes = own_writes(&control_plane, &installation) - written;
    let busy = operator.processor_seconds() - busy;
    let (registry, size) = clients.registry().await;
    assert_eq!(registry.clients().len(), count, "the registry has all of them");
    let loaded = operator.memory();

    fleet.wait_until_quiet(&operator).await;
    let rotated = clients.time_to_rotate().await;
    let deleted = clients.time_to_delete().await;
    let added = clients.time_to_add().await;

    // The remaining processes are the API server, its etcd and the operator.
    drop(kubelet);
    control_plane.stop_controllers();
    fleet.wait_until_quiet(&operator).await;
    let requests = api_server.requests().await;
    let (written, busy_before) = (own_writes(&control_plane, &installation), operator.processor_seconds());
    tokio::time::sleep(steady_time()).await;
    let steady = api_server.requests().await.since(&requests);
    let steady_writes = own_writes(&control_plane, &installation) - written;
    let steady_busy = (operator.processor_seconds() - busy_before) / steady_time().as_secs_f64();

    operator.terminate();
    let written = own_writes(&control_plane, &installation);
    let begun = Instant::now();
    let mut restarted = installation.start("operator-0");
    restarted.wait_until_ready().await;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let all = count as f64 - 0.5;
    let within = Duration::from_mins(5);
    wait::until_within(within, Duration::from_millis(50), "a reconcile of each AuthClient", async || {
        let ended = restarted.metric("latchkey_operator_client_reconcile_total", &[]).await;
        wait::check(ended > all, ended)
    })
    .await;
    let reconciled = begun.elapsed();
    fleet.wait_until_quiet(&restarted).await;
    let restart_writes = own_writes(&control_plane, &installation) - written;
    server.abort();

    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "rounded figures")]
    let mebi = |bytes: u64| format!("{:.0} MB", bytes as f64 / MEBI);
    #[expect(clippy::cast_precision_loss, reason = "rounded figures")]
    let each = |whole: u64| format!("{whole}, {:.1} of each", whole as f64 / count.max(1) as f64);
    say("");
    figure("figure", "measured", "target");
    figure("time to apply them", &seconds(applied), "");
    figure("all Ready after", &seconds(ready), "");
    figure("requests until then, without watches", &each(bring_up.total()), "");
    figure("  of these, writes of the operator", &each(writes as u64), "");
    figure(
        "registries written, size of the last one",
        &format!("{}, {size} bytes", registry.serial() - serial),
        "under 1 MiB",
    );
    figure("CPU time of the operator", &format!("{busy:.1} s"), "");
    figure("first applies per second without other load", &format!("{rate:.0}"), "");
    figure("one rotation takes", &seconds(rotated), "");
    figure("one deletion takes", &seconds(deleted), "");
    figure("one more is Ready after", &seconds(added), "");
    figure(
        &format!("writes in {} s of steady state", steady_time().as_secs()),
        &steady_writes.to_string(),
        "0",
    );
    figure("  CPU in that time", &format!("{:.1}%", 100.0 * steady_busy), "");
    figure("a restarted operator has reconciled all after", &seconds(reconciled), "");
    figure("  writes after the restart", &restart_writes.to_string(), "0");
    figure("resident memory with one AuthClient", &mebi(empty.resident), "");
    figure("  when all are Ready", &mebi(loaded.resident), "");
    figure("  after the restart", &mebi(restarted.memory().resident), "");
    say("\nrequests that the API server counted, without watches (operator, controllers and this program):");
    show("  bring-up", &bring_up);
    show("  steady state (operator and API server alone)", &steady);
    let all = control_plane.audit.writes_by(&installation.user);
    show("  all writes of both operators", &Requests::of(&all));
}
