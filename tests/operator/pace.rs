//! The pace of rollouts: a change of the operator reaches a limited number of AuthServices at a time.

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use latchkey_crds::AuthService;
use latchkey_tests::control_plane::apply;
use latchkey_tests::kubelet::set_ready;
use latchkey_tests::operator::Operator;
use latchkey_tests::wait;
use serde_json::{Value, json};

use crate::fixture::{Fixture, condition};
use crate::tools::status_of;
use crate::waiting::wait_for;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const NEW: &str = "example.com/server:2";

async fn create(fixture: &Fixture, name: &str) {
    let (database, cache) = (format!("database-{name}"), format!("cache-{name}"));
    fixture.apply_secret(&database, &[("url", &format!("postgres://auth:x@db.example.com/{name}"))]).await;
    fixture.apply_secret(&cache, &[("url", "redis://:x@redis.example.com")]).await;
    let object = json!({
        "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService",
        "metadata": {"name": name, "namespace": fixture.namespace},
        "spec": {"database": {"urlSecretRef": {"name": database}}, "redis": {"urlSecretRef": {"name": cache}}},
    });
    apply(&fixture.client, &object).await;
}

/// Waits until a condition of an AuthService has this status and reason.
async fn wait_for_reason(
    fixture: &Fixture,
    name: &str,
    type_: &str,
    status: &str,
    reason: &str,
) -> AuthService {
    wait_for(fixture.api::<AuthService>(), name, |object| {
        let object = object.ok_or("it is gone")?;
        let found = condition(object, type_).ok_or("no condition")?;
        let fits = found.status == status && found.reason == reason;
        fits.then(|| object.clone()).ok_or_else(|| format!("{name}: {found:?}"))
    })
    .await
}

/// The AuthServices that are being migrated to the new image, or were.
async fn migrated(fixture: &Fixture) -> BTreeSet<String> {
    let jobs = fixture.api::<Job>().list(&ListParams::default()).await.expect("Jobs").items;
    let of_new = jobs.into_iter().filter(|job| {
        let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        pod.is_some_and(|pod| pod.containers[0].image.as_deref() == Some(NEW))
    });
    of_new.filter_map(|job| job.name_any().split('-').next().map(str::to_owned)).collect()
}

/// Waits until this many rollouts run and wait.
async fn wait_for_rollouts(operator: &Operator, running: f64, waiting: f64) {
    wait::until("the rollouts", async || {
        let number = async |state: &str| {
            operator.metric("latchkey_operator_rollouts", &[&format!("state=\"{state}\"")]).await
        };
        let numbers = (number("running").await, number("waiting").await);
        wait::check(numbers == (running, waiting), numbers)
    })
    .await;
}

async fn wait_until_migrated(fixture: &Fixture, name: &str) {
    wait::until(&format!("the migration of {name}"), async || {
        let found = migrated(fixture).await;
        wait::check(found.contains(name), found)
    })
    .await;
}

#[tokio::test]
async fn a_new_default_image_is_rolled_out_step_by_step() {
    let fixture = Fixture::new("pace").await;
    let kubelet = fixture.start_kubelet();
    let mut operator =
        fixture.start_operator_with(&["--server-image=example.com/server:1", "--max-rollouts=1"]).await;
    for name in NAMES {
        create(&fixture, name).await;
    }
    for name in NAMES {
        wait_for_reason(&fixture, name, "Ready", "True", "Available").await;
        wait_for_reason(&fixture, name, "Progressing", "False", "Settled").await;
    }
    operator.terminate();

    // No pod starts: the first rollout does not end.
    drop(kubelet);
    let next = [&format!("--server-image={NEW}"), "--max-rollouts=1"];
    let mut operator = fixture.start_operator_with(&next).await;
    wait_for_rollouts(&operator, 1.0, 3.0).await;
    let first =
        wait::until("a migration", async || migrated(&fixture).await.into_iter().next().ok_or("none")).await;
    let queued: Vec<&str> = NAMES.into_iter().filter(|name| *name != first).collect();
    for name in &queued {
        let object = wait_for_reason(&fixture, name, "Progressing", "True", "RolloutQueued").await;
        assert_eq!(condition(&object, "Ready").map(|ready| ready.status.as_str()), Some("True"));
        assert_eq!(status_of(&object), "Healthy");
        let message = &condition(&object, "Progressing").expect("a condition").message;
        assert!(message.contains("--max-rollouts"), "{message}");
    }
    assert_eq!(migrated(&fixture).await.len(), 1);

    // A restart neither exceeds the limit nor loses the order.
    operator.terminate();
    let operator = fixture.start_operator_with(&next).await;
    wait_for_rollouts(&operator, 1.0, 3.0).await;
    operator.wait_for_reconciles(3.0).await;
    assert_eq!(migrated(&fixture).await, BTreeSet::from([first]));

    // A change of the spec does not wait, and neither does a service that is not ready.
    let patch = Patch::Merge(json!({"spec": {"logging": {"level": "debug"}}}));
    let services = fixture.api::<AuthService>();
    services.patch(queued[0], &PatchParams::default(), &patch).await.expect("it is changed");
    wait_until_migrated(&fixture, queued[0]).await;
    wait_for_rollouts(&operator, 1.0, 2.0).await;
    let pods = format!("app.kubernetes.io/component=server,app.kubernetes.io/instance={}", queued[1]);
    set_ready(fixture.client.clone(), &fixture.namespace, &pods, false).await;
    wait_until_migrated(&fixture, queued[1]).await;
    wait_for_rollouts(&operator, 1.0, 1.0).await;
    wait_for_reason(&fixture, queued[2], "Progressing", "True", "RolloutQueued").await;
    assert_eq!(migrated(&fixture).await.len(), 3);

    // The end of a rollout starts the next.
    let _kubelet = fixture.start_kubelet();
    wait_until_migrated(&fixture, queued[2]).await;
    set_ready(fixture.client.clone(), &fixture.namespace, &pods, true).await;
    for name in NAMES {
        let image = "/spec/template/spec/containers/0/image";
        fixture.wait_for_value("Deployment", name, image, &Value::from(NEW)).await;
        wait_for_reason(&fixture, name, "Ready", "True", "Available").await;
    }
    wait_for_rollouts(&operator, 0.0, 0.0).await;
}
