//! Writers that change an owned object while the operator repairs it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kube::api::{Patch, PatchParams};
use latchkey_crds::AuthService;
use latchkey_tests::control_plane::apply;
use latchkey_tests::wait;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::fixture::{Fixture, condition};

const SETTINGS: &str = "auth-settings";
const FOREIGN: &str = "/data/TRUSTED_PROXIES";
/// Three rounds find the bugs in question with a probability of more than two thirds.
const ROUNDS: usize = 24;
/// How long three writers write in each round.
const WRITING: Duration = Duration::from_millis(500);
/// How long a repair may take after the last write. One that is forgotten waits for the next periodic reconcile, up to a
/// minute.
const REPAIRED_WITHIN: Duration = Duration::from_secs(10);

/// Writers that patch one object repeatedly until they are stopped.
struct Writers {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Writers {
    fn start(fixture: &Fixture, kind: &str, name: &'static str, patch: &Patch<Value>, count: usize) -> Self {
        let (stop, written, mut tasks) =
            (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default(), JoinSet::new());
        for _ in 0..count {
            let (api, patch, stop, written) =
                (fixture.any(kind), patch.clone(), stop.clone(), written.clone());
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    api.patch(name, &PatchParams::default(), &patch)
                        .await
                        .expect("the API server accepts the patch");
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { stop, written, tasks }
    }

    fn written(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    /// Stops them after their last responses.
    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = tokio::time::timeout(wait::PATIENCE, self.tasks.join_all()).await;
        ended.expect("every writer receives its last response in time");
    }
}

async fn value(fixture: &Fixture, kind: &str, name: &str, pointer: &str) -> Value {
    let object = fixture.any(kind).get(name).await.expect("the object");
    serde_json::to_value(object).expect("JSON").pointer(pointer).cloned().unwrap_or(Value::Null)
}

/// Three writers write in each round; their changes are reverted each time.
async fn race(
    fixture: &Fixture,
    kind: &str,
    name: &'static str,
    patch: Patch<Value>,
    pointer: &str,
    rounds: usize,
) {
    let before = value(fixture, kind, name, pointer).await;
    for round in 0..rounds {
        let writers = Writers::start(fixture, kind, name, &patch, 3);
        let begun = Instant::now();
        wait::until("the writers to have written for 500 ms", async || {
            wait::check(begun.elapsed() > WRITING, begun.elapsed())
        })
        .await;
        writers.stop().await;
        let what = format!("{kind} {pointer} to be {before} in round {round}");
        wait::until_within(REPAIRED_WITHIN, Duration::from_millis(1), &what, async || {
            let now = value(fixture, kind, name, pointer).await;
            wait::check(now == before, now)
        })
        .await;
    }
}

#[tokio::test]
async fn changes_of_concurrent_writers_are_reverted() {
    let fixture = Fixture::new("racing").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"networkPolicy": {"enabled": true}})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let proxies = Patch::Merge(json!({"data": {"TRUSTED_PROXIES": "0.0.0.0/0"}}));
    race(&fixture, "ConfigMap", SETTINGS, proxies, FOREIGN, ROUNDS).await;
    // The same for every other object with a completely owned part.
    let container = json!({"name": "server", "env": [{"name": "TRUSTED_PROXIES", "value": "0.0.0.0/0"}]});
    let environment = Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": [container]}}}}));
    race(&fixture, "Deployment", "auth", environment, "/spec/template/spec/containers/0/env", 4).await;
    let rules = Patch::Merge(json!({"spec": {"ingress": [{}]}}));
    race(&fixture, "NetworkPolicy", "auth-migrations", rules, "/spec/ingress", 4).await;
    let selector = Patch::Merge(json!({"spec": {"podSelector": {"matchLabels": {"example.com/none": "x"}}}}));
    race(&fixture, "NetworkPolicy", "auth", selector, "/spec/podSelector", 4).await;
    let owner = Patch::Merge(json!({"metadata": {"ownerReferences": null}}));
    race(&fixture, "Service", "auth", owner, "/metadata/ownerReferences", 4).await;
    fixture.wait_for_condition("Ready", "True").await;
}

#[tokio::test]
async fn a_continuous_writer_delays_no_other_auth_service_and_causes_few_writes() {
    let fixture = Fixture::new("endless").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let repairs = || {
        let writes = fixture.writes();
        writes.iter().filter(|w| w.resource == "configmaps" && w.name == SETTINGS && w.code == 200).count()
    };
    let (repaired, all) = (repairs(), fixture.writes().len());
    let patch = Patch::Merge(json!({"data": {"TRUSTED_PROXIES": "0.0.0.0/0"}}));
    let writers = Writers::start(&fixture, "ConfigMap", SETTINGS, &patch, 1);
    let begun = Instant::now();

    // Another AuthService is created, and the drift of other objects is repaired at the same time.
    let metadata = json!({"name": "other", "namespace": fixture.namespace});
    let object = json!({
        "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": metadata, "spec": {},
    });
    apply(&fixture.client, &object).await;
    let services = fixture.api::<AuthService>();
    wait::until("the other AuthService to be ready", async || {
        let other = services.get("other").await.expect("the other AuthService");
        let ready = condition(&other, "Ready").cloned();
        wait::check(ready.as_ref().is_some_and(|ready| ready.status == "True"), ready)
    })
    .await;
    let drift = Patch::Merge(json!({"spec": {"selector": {"app.kubernetes.io/instance": "other"}}}));
    fixture
        .any("Service")
        .patch("auth", &PatchParams::default(), &drift)
        .await
        .expect("the API server accepts it");
    let selected = "/spec/selector/app.kubernetes.io~1instance";
    fixture.wait_for_value("Service", "auth", selected, &json!("auth")).await;

    // Repairs continue throughout.
    wait::until("three repairs", async || {
        let more = repairs() - repaired;
        wait::check(more >= 3, more)
    })
    .await;
    let took = begun.elapsed();
    let of_the_other = |write: &&latchkey_tests::audit::Write| write.name.starts_with("other");
    let own = fixture.writes()[all..].iter().filter(|write| !of_the_other(write)).count();
    // Five immediate repairs and then one per second, each of at most five writes; and the status.
    assert!(
        own <= 40 + 8 * usize::try_from(took.as_secs() + 1).expect("a number"),
        "{own} writes within {took:?}, while the writer wrote {}",
        writers.written()
    );

    writers.stop().await;
    let stopped = Instant::now();
    fixture.wait_for_value("ConfigMap", SETTINGS, FOREIGN, &Value::Null).await;
    assert!(stopped.elapsed() < REPAIRED_WITHIN, "it was repaired only after {:?}", stopped.elapsed());
    fixture.wait_for_condition("Ready", "True").await;
}

/// The status is owned completely. Only the watch announces the change: no object is touched.
#[tokio::test]
async fn a_status_of_another_client_is_overwritten_immediately() {
    let fixture = Fixture::new("status-drift").await;
    let _kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_reason("Progressing", "False", "Settled").await;
    for round in 0..5 {
        let written = Instant::now();
        fixture.merge_status(json!({"version": format!("0.0.{round}"), "readyReplicas": 77})).await;
        wait::until("another number of ready replicas than 77", async || {
            let ready = fixture.auth_service().await.status.map(|status| status.ready_replicas);
            wait::check(ready.is_some_and(|ready| ready != 77), ready)
        })
        .await;
        assert!(written.elapsed() < REPAIRED_WITHIN, "only after {:?}", written.elapsed());
    }
    // The operator's own writes trigger no further reconcile.
    let reconciles = operator.metric("latchkey_operator_reconcile_total", &[]).await;
    assert!(reconciles < 60.0, "{reconciles} reconciles");
}
