//! Every object that creates pods × every reason why it cannot: a condition repeats the words of the controller, the
//! scheduler or the kubelet. Quotas, admission and controllers are real; the tests write what the scheduler and the
//! kubelet would.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, ResourceExt};
use latchkey_crds::AuthService;
use latchkey_tests::control_plane::apply;
use latchkey_tests::kubelet::set_status;
use latchkey_tests::wait;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME, condition};
use crate::waiting::wait_for;

/// What the admission policy of these tests says.
const REFUSED: &str = "the policy of the test refuses this pod";

/// An owned object that creates pods.
struct Workload {
    kind: &'static str,
    component: &'static str,
    /// The condition that says why it has no running pod.
    condition: &'static str,
    spec: Value,
}

fn external(name: &str) -> Value {
    json!({"urlSecretRef": {"name": name}})
}

/// A policy that refuses the pods of one component in the namespace.
fn policy(fixture: &Fixture, component: &str) -> [Value; 2] {
    let name = format!("latchkey-{}", fixture.namespace);
    let object = |suffix: &str, spec: Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": format!("ValidatingAdmissionPolicy{suffix}"),
            "metadata": {"name": name}, "spec": spec,
        })
    };
    let matched = format!(
        "has(object.metadata.labels) && 'app.kubernetes.io/component' in object.metadata.labels && object.metadata.labels['app.kubernetes.io/component'] == '{component}'"
    );
    let spec = json!({
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": fixture.namespace}},
            "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        },
        "matchConditions": [{"name": "component", "expression": matched}],
        "failurePolicy": "Fail",
        "validations": [{"expression": "false", "message": REFUSED}],
    });
    [object("", spec), object("Binding", json!({"policyName": name, "validationActions": ["Deny"]}))]
}

/// Waits until the API server refuses a pod of the component with these words.
async fn wait_until_refused(fixture: &Fixture, component: &str, words: &str) {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "probe", "labels": {"app.kubernetes.io/component": component}},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "c", "image": "none",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    }))
    .expect("a Pod");
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    wait::until("the pod to be refused", async || {
        let refused = fixture.api::<Pod>().create(&dry_run, &pod).await.err().map(|error| error.to_string());
        wait::check(refused.as_ref().is_some_and(|refused| refused.contains(words)), refused)
    })
    .await;
}

/// A quota that is used up. No controller counts pods in these tests.
async fn apply_quota(fixture: &Fixture) {
    let metadata = json!({"name": "full", "namespace": fixture.namespace});
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {"pods": "0"}}});
    apply(&fixture.client, &quota).await;
    let status = json!({"status": {"hard": {"pods": "0"}, "used": {"pods": "0"}}});
    let quotas = fixture.api::<ResourceQuota>();
    quotas.patch_status("full", &PatchParams::default(), &Patch::Merge(status)).await.expect("it is written");
    wait_until_refused(fixture, "none", "exceeded quota").await;
}

async fn delete_policy(fixture: &Fixture) {
    for kind in ["ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"] {
        let resource =
            ApiResource::from_gvk(&GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind));
        let api: Api<DynamicObject> = Api::all_with(fixture.client.clone(), &resource);
        let name = format!("latchkey-{}", fixture.namespace);
        api.delete(&name, &DeleteParams::default()).await.expect("it is deleted");
    }
}

/// Makes the controller of the workload retry now instead of after its increasing delay.
async fn nudge(fixture: &Fixture, workload: &Workload) {
    let now = uuid::Uuid::new_v4().to_string();
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"touched": now}}}));
    let (parameters, all) = (PatchParams::default(), ListParams::default());
    if workload.kind == "Deployment" {
        let sets = fixture.api::<ReplicaSet>();
        for set in sets.list(&all).await.expect("ReplicaSets") {
            sets.patch(&set.name_any(), &parameters, &patch).await.expect("it is annotated");
        }
        return;
    }
    let api = fixture.any(workload.kind);
    for object in api.list(&all).await.expect("a list") {
        api.patch(&object.name_any(), &parameters, &patch).await.expect("it is annotated");
    }
}

/// Waits until the condition of the workload contains all words, and no condition denies that a user has to act.
async fn expect(fixture: &Fixture, workload: &Workload, words: &[&str]) {
    wait_for(fixture.api::<AuthService>(), NAME, |object| {
        let object = object.ok_or("it is gone")?;
        let found = condition(object, workload.condition).ok_or("no condition")?;
        if !words.iter().all(|word| found.message.contains(word)) {
            return Err(format!("{found:?}, expected {words:?}"));
        }
        for type_ in ["Ready", "SchemaMigrated", "Progressing", "Stalled"] {
            let other = condition(object, type_).ok_or("no condition")?;
            if workload.condition == "Ready" && other.message.to_lowercase().contains("no action") {
                return Err(format!("{other:?}, although {found:?}"));
            }
        }
        let normal = found.status == "True" && workload.condition == "Ready";
        (!normal).then_some(()).ok_or_else(|| format!("{found:?}"))
    })
    .await;
}

/// The pod of the component that is not being deleted.
async fn pod_of(fixture: &Fixture, component: &str) -> Pod {
    let selector = ListParams::default().labels(&format!("app.kubernetes.io/component={component}"));
    wait::until("a pod", async || {
        let pods = fixture.api::<Pod>().list(&selector).await.expect("pods").items;
        pods.into_iter().find(|pod| pod.metadata.deletion_timestamp.is_none()).ok_or("no pod")
    })
    .await
}

fn container(name: &str, state: &Value, last: &Value) -> Value {
    json!({
        "name": name, "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": state,
        "lastState": last,
    })
}

/// What the scheduler and the kubelet write into the status of a pod that cannot run, with words of theirs.
fn states() -> Vec<(Value, Vec<&'static str>)> {
    let then = "2026-01-01T00:00:00Z";
    let status = |conditions: Value, containers: Value, init: Value| json!({"phase": "Pending", "conditions": conditions, "containerStatuses": containers, "initContainerStatuses": init});
    let scheduled = json!([{"type": "PodScheduled", "status": "True", "lastTransitionTime": then}]);
    let unscheduled = |message: &str| {
        let found = json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
            "lastTransitionTime": then,
        });
        status(json!([found]), Value::Null, Value::Null)
    };
    let waiting = |reason: &str, message: &str| {
        let state = json!({"waiting": {"reason": reason, "message": message}});
        status(scheduled.clone(), json!([container("c", &state, &json!({}))]), Value::Null)
    };
    let killed = json!({"terminated": {
        "exitCode": 137, "reason": "OOMKilled", "startedAt": then, "finishedAt": then,
    }});
    let back_off = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}});
    let initializing =
        json!([container("c", &json!({"waiting": {"reason": "PodInitializing"}}), &json!({}))]);
    vec![
        (
            unscheduled("0/3 nodes are available: 3 Insufficient cpu."),
            vec!["0/3 nodes are available: 3 Insufficient cpu"],
        ),
        (
            unscheduled("0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."),
            vec!["pod has unbound immediate PersistentVolumeClaims"],
        ),
        (
            waiting("ErrImagePull", "failed to resolve reference: not found"),
            vec!["ErrImagePull", "failed to resolve reference: not found"],
        ),
        (
            waiting("ImagePullBackOff", "Back-off pulling image \"x\""),
            vec!["ImagePullBackOff", "Back-off pulling image \"x\""],
        ),
        (
            waiting("InvalidImageName", "couldn't parse image name"),
            vec!["InvalidImageName", "couldn't parse image name"],
        ),
        (
            waiting("CreateContainerConfigError", "secret \"gone\" not found"),
            vec!["CreateContainerConfigError", "secret \"gone\" not found"],
        ),
        (
            waiting("CreateContainerError", "context deadline exceeded"),
            vec!["CreateContainerError", "context deadline exceeded"],
        ),
        (
            status(scheduled.clone(), json!([container("c", &back_off, &killed)]), Value::Null),
            vec!["CrashLoopBackOff", "back-off 10s", "137", "OOMKilled"],
        ),
        (
            status(scheduled.clone(), initializing, json!([container("first", &back_off, &killed)])),
            vec!["init container first", "back-off 10s", "137"],
        ),
    ]
}

/// A warning that the kubelet writes about a pod whose volume it cannot mount.
async fn warn(fixture: &Fixture, pod: &Pod) {
    let event: Event = serde_json::from_value(json!({
        "metadata": {"name": format!("mount-{}", pod.name_any()), "namespace": fixture.namespace},
        "regarding": {
            "apiVersion": "v1", "kind": "Pod", "name": pod.name_any(), "namespace": fixture.namespace, "uid": pod.uid(),
        },
        "type": "Warning", "reason": "FailedMount", "note": "MountVolume.SetUp failed for volume \"keys\"",
        "action": "Mounting", "reportingController": "kubelet", "reportingInstance": "node-1",
        "eventTime": chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
    }))
    .expect("an Event");
    fixture.api::<Event>().create(&PostParams::default(), &event).await.expect("it is created");
}

async fn run(name: &str, workload: Workload) {
    let fixture = Fixture::new(name).await;
    let _operator = fixture.start_operator().await;
    fixture.apply_secret("database", &[("url", "postgres://auth:x@db.example.com/auth")]).await;
    fixture.apply_secret("cache", &[("url", "redis://:x@redis.example.com")]).await;
    let [policy, binding] = policy(&fixture, workload.component);
    apply(&fixture.client, &policy).await;
    apply(&fixture.client, &binding).await;
    wait_until_refused(&fixture, workload.component, REFUSED).await;
    fixture.apply(workload.spec.clone()).await;
    if workload.component == "server" {
        let migration = pod_of(&fixture, "migration").await;
        let succeeded = json!({"phase": "Succeeded"});
        set_status(&fixture.api(), &migration.name_any(), &succeeded).await.expect("it is written");
    }
    expect(&fixture, &workload, &[REFUSED]).await;

    apply_quota(&fixture).await;
    delete_policy(&fixture).await;
    // A policy is in force for a moment after its deletion.
    wait_until_refused(&fixture, workload.component, "exceeded quota").await;
    nudge(&fixture, &workload).await;
    // The operator reads events again while the reason can have changed.
    expect(&fixture, &workload, &["exceeded quota: full"]).await;
    fixture.api::<ResourceQuota>().delete("full", &DeleteParams::default()).await.expect("it is deleted");
    wait::until("a pod", async || {
        nudge(&fixture, &workload).await;
        let selector = format!("app.kubernetes.io/component={}", workload.component);
        let pods = fixture.api::<Pod>().list(&ListParams::default().labels(&selector)).await.expect("pods");
        wait::check(!pods.items.is_empty(), ())
    })
    .await;

    let pods = fixture.api::<Pod>();
    let pod = pod_of(&fixture, workload.component).await;
    for (status, words) in states() {
        set_status(&pods, &pod.name_any(), &status).await.expect("the pod's status is written");
        expect(&fixture, &workload, &words).await;
    }
    warn(&fixture, &pod).await;
    let mut status = states()[2].0.clone();
    status["containerStatuses"][0]["state"] = json!({"waiting": {"reason": "ContainerCreating"}});
    set_status(&pods, &pod.name_any(), &status).await.expect("the pod's status is written");
    expect(&fixture, &workload, &["FailedMount", "MountVolume.SetUp failed for volume \"keys\""]).await;

    let finalizers = |finalizers: Value| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    let held = finalizers(json!(["example.com/held"]));
    pods.patch(&pod.name_any(), &PatchParams::default(), &held).await.expect("it is patched");
    pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await.expect("it is deleted");
    expect(&fixture, &workload, &[&pod.name_any(), "does not terminate"]).await;
    let released = finalizers(Value::Null);
    pods.patch(&pod.name_any(), &PatchParams::default(), &released).await.expect("it is patched");
    let _kubelet = fixture.start_kubelet();
    fixture.wait_for_condition("Ready", "True").await;
    wait_for(fixture.api::<AuthService>(), NAME, |object| {
        let found = object.and_then(|object| condition(object, workload.condition)).ok_or("no condition")?;
        let over = !found.message.contains("does not terminate") && found.reason != "StoreNotStarting";
        over.then_some(()).ok_or_else(|| format!("{found:?}"))
    })
    .await;
}

#[tokio::test]
async fn a_deployment_without_running_pods_says_why() {
    let spec = json!({"database": external("database"), "redis": external("cache")});
    let workload = Workload { kind: "Deployment", component: "server", condition: "Ready", spec };
    Box::pin(run("obstacle-server", workload)).await;
}

#[tokio::test]
async fn a_migration_without_a_running_pod_says_why() {
    let spec = json!({"database": external("database"), "redis": external("cache")});
    let workload = Workload { kind: "Job", component: "migration", condition: "Ready", spec };
    Box::pin(run("obstacle-job", workload)).await;
}

#[tokio::test]
async fn an_embedded_database_without_a_running_pod_says_why() {
    let spec = json!({"database": {"embedded": {"storage": "1Gi"}}, "redis": external("cache")});
    let workload = Workload { kind: "StatefulSet", component: "postgres", condition: "Ready", spec };
    Box::pin(run("obstacle-postgres", workload)).await;
}

#[tokio::test]
async fn an_embedded_redis_without_a_running_pod_says_why() {
    let spec = json!({"database": external("database")});
    let workload = Workload { kind: "StatefulSet", component: "redis", condition: "EmbeddedStores", spec };
    Box::pin(run("obstacle-redis", workload)).await;
}

/// A quota for volumes is exceeded before the pod is created.
#[tokio::test]
async fn a_volume_that_cannot_be_claimed_is_reported() {
    let fixture = Fixture::new("obstacle-claim").await;
    let metadata = json!({"name": "volumes", "namespace": fixture.namespace});
    let hard = json!({"persistentvolumeclaims": "0"});
    let quota =
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": hard}});
    apply(&fixture.client, &quota).await;
    let status = json!({"status": {"hard": hard, "used": {"persistentvolumeclaims": "0"}}});
    let quotas = fixture.api::<ResourceQuota>();
    quotas
        .patch_status("volumes", &PatchParams::default(), &Patch::Merge(status))
        .await
        .expect("it is written");
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"database": {"embedded": {"storage": "1Gi"}}})).await;
    let spec = Value::Null;
    let workload = Workload { kind: "StatefulSet", component: "postgres", condition: "Ready", spec };
    expect(&fixture, &workload, &["persistentvolumeclaims", "exceeded quota: volumes"]).await;
    // A user has to act: tools stop waiting.
    fixture.wait_for_condition("Stalled", "True").await;
    fixture.wait_for_warning("DatabaseNotStarting", "exceeded quota").await;
}
