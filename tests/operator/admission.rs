//! Admission that changes what the operator writes: image rewriting, added environment variables, sidecars, defaults.
//! The operator accepts the changes, reports them once, and writes nothing more, also after a restart.

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use latchkey_tests::audit::Write;
use latchkey_tests::control_plane::apply;
use latchkey_tests::operator::Operator;
use latchkey_tests::wait;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};
use crate::owned::{EDGE, ROUTED, apply_both};

/// The mirror into which images are rewritten.
const MIRROR: &str = "mirror.example.com/all";

/// An `ApplyConfiguration` or JSON patch for some resources.
struct Mutation {
    name: &'static str,
    group: &'static str,
    resources: &'static [&'static str],
    patch_type: &'static str,
    expression: String,
}

impl Mutation {
    fn new(
        name: &'static str,
        group: &'static str,
        resources: &'static [&'static str],
        expression: &str,
    ) -> Self {
        let patch_type =
            if expression.trim_start().starts_with('[') { "JSONPatch" } else { "ApplyConfiguration" };
        Self { name, group, resources, patch_type, expression: expression.to_owned() }
    }
}

/// A change of each kind that the operator creates.
fn mutations() -> Vec<Mutation> {
    let workloads = &["deployments", "statefulsets"];
    // Our container: injected ones may come first.
    let ours = "object.spec.template.spec.containers.filter(c, c.name != 'sidecar')[0]";
    let container = |fields: &str| {
        format!(
            "Object{{spec: Object.spec{{template: Object.spec.template{{spec: Object.spec.template.spec{{containers: [\
                Object.spec.template.spec.containers{{\
                    name: {ours}.name, {fields}}}]}}}}}}}}"
        )
    };
    let image =
        container(&format!("image: '{MIRROR}/' + {ours}.image.substring({ours}.image.lastIndexOf('/') + 1)"));
    let variable =
        container("env: [Object.spec.template.spec.containers.env{name: 'PROXY', value: 'http://proxy'}]");
    let labels =
        "[JSONPatch{op: 'replace', path: '/metadata/labels/app.kubernetes.io~1component', value: 'theirs'}]";
    vec![
        Mutation::new("image", "apps", workloads, &image),
        Mutation::new("job-image", "batch", &["jobs"], &image),
        Mutation::new("variable", "apps", workloads, &variable),
        Mutation::new("job-variable", "batch", &["jobs"], &variable),
        Mutation::new(
            "sidecar",
            "apps",
            workloads,
            "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{containers: [\
                Object.spec.template.spec.containers{name: 'sidecar', image: 'mesh.example.com/proxy:1'}]}}}}",
        ),
        Mutation::new("labels", "", &["services", "configmaps", "serviceaccounts", "secrets"], labels),
        Mutation::new("more-labels", "networking.k8s.io", &["networkpolicies", "ingresses"], labels),
        Mutation::new(
            "budget",
            "policy",
            &["poddisruptionbudgets"],
            "[JSONPatch{op: 'replace', path: '/spec/maxUnavailable', value: 2}]",
        ),
        Mutation::new(
            "autoscaler",
            "autoscaling",
            &["horizontalpodautoscalers"],
            "[JSONPatch{op: 'replace', path: '/spec/maxReplicas', value: 2}]",
        ),
        Mutation::new("route", "gateway.networking.k8s.io", &["httproutes"], labels),
        Mutation::new("openshift", "route.openshift.io", &["routes"], labels),
        Mutation::new("certificate", "cert-manager.io", &["certificates"], labels),
        Mutation::new("monitor", "monitoring.coreos.com", &["servicemonitors"], labels),
        Mutation::new(
            "class",
            "networking.k8s.io",
            &["ingresses"],
            "[JSONPatch{op: 'add', path: '/spec/ingressClassName', value: 'theirs'}]",
        ),
        // The last one: the test waits until it is in force.
        Mutation::new("settings", "", &["configmaps"], "Object{data: {'LOG_LEVEL': 'warn'}}"),
    ]
}

/// Installs these changes for the namespace and waits until they are in force.
async fn install(fixture: &Fixture, mutations: &[Mutation], operations: &[&str]) {
    for mutation in mutations {
        let name = format!("{}-{}", fixture.namespace, mutation.name);
        let body = if mutation.patch_type == "JSONPatch" { "jsonPatch" } else { "applyConfiguration" };
        let policy = json!({
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": fixture.namespace}},
                "resourceRules": [{
                    "apiGroups": [mutation.group], "apiVersions": ["*"], "operations": operations,
                    "resources": mutation.resources,
                }],
            },
            "matchConditions": [{
                "name": "of-the-operator",
                "expression": "has(object.metadata.labels) && 'app.kubernetes.io/managed-by' in object.metadata.labels",
            }],
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": mutation.patch_type, body: {"expression": mutation.expression}}],
        });
        let object = |suffix: &str, spec: Value| {
            json!({
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": format!("MutatingAdmissionPolicy{suffix}"), "metadata": {"name": name}, "spec": spec,
            })
        };
        apply(&fixture.client, &object("", policy)).await;
        apply(&fixture.client, &object("Binding", json!({"policyName": name}))).await;
    }
    // The API server loads all policies that exist: with the last one, all of them are in force.
    let labels = json!({"app.kubernetes.io/managed-by": "probe", "app.kubernetes.io/component": "ours"});
    let probe = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "probe", "labels": labels}, "data": {},
    });
    let config_maps = fixture.any("ConfigMap");
    let dry_run = kube::api::PostParams { dry_run: true, ..Default::default() };
    let changed = |made: &DynamicObject| made.data["data"]["LOG_LEVEL"] == "warn";
    wait::until("the policies to be in force", async || {
        let probe: DynamicObject = serde_json::from_value(probe.clone()).expect("a ConfigMap");
        let made = config_maps.create(&dry_run, &probe).await.expect("an answer");
        wait::check(changed(&made), made.data)
    })
    .await;
}

/// The permission that the chart grants to an operator for all namespaces.
async fn may_list_plugins(fixture: &Fixture) {
    let name = format!("{}-plugins", fixture.namespace);
    let group = "rbac.authorization.k8s.io";
    let role = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": {"name": name},
        "rules": [{
            "apiGroups": ["admissionregistration.k8s.io"], "verbs": ["list"],
            "resources": ["mutatingwebhookconfigurations", "mutatingadmissionpolicies"],
        }],
    });
    let binding = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": fixture.installation.user}],
    });
    apply(&fixture.client, &role).await;
    apply(&fixture.client, &binding).await;
}

async fn reconcile_twice(fixture: &Fixture, operator: &Operator) {
    for _ in 0..2 {
        let before = operator.metric("latchkey_operator_reconcile_total", &[]).await;
        fixture.touch().await;
        operator.wait_for_reconciles(before).await;
    }
}

/// The operator's writes so far, except those of the status, which also describes the autoscaler.
fn writes_of_objects(fixture: &Fixture) -> Vec<Write> {
    let mut writes = fixture.writes();
    writes.retain(|write| write.resource != "authservices/status");
    writes
}

/// The generations, which change with every change of a spec. The autoscaler changes that of the Deployment, too.
async fn generations(fixture: &Fixture) -> BTreeMap<String, Option<i64>> {
    let owned = fixture.owned().await.into_iter();
    let owned = owned.filter(|(name, _)| !name.starts_with("Deployment/"));
    owned.map(|(name, object)| (name, object.metadata.generation)).collect()
}

fn pointer<'a>(object: &'a DynamicObject, pointer: &str) -> &'a Value {
    object.data.pointer(pointer).unwrap_or(&Value::Null)
}

/// What the test requires in both cases: no writes, no rollouts, `Ready`, and one report for each object.
async fn is_accepted(name: &str, operations: &[&str]) {
    let fixture = Fixture::new(name).await;
    let _kubelet = fixture.start_kubelet();
    install(&fixture, &mutations(), operations).await;
    may_list_plugins(&fixture).await;
    let mut operator = fixture.start_operator().await;
    apply_both(&fixture).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_reason("Progressing", "False", "Settled").await;
    for (kind, name) in [("HTTPRoute", EDGE), ("Route", ROUTED)] {
        wait::until(&format!("the {kind} with its record"), async || {
            let found = fixture.any(kind).get_opt(name).await.expect("an answer");
            let annotations = found.and_then(|found| found.metadata.annotations).unwrap_or_default();
            wait::check(annotations.contains_key("latchkey.dev/admitted"), annotations)
        })
        .await;
    }
    reconcile_twice(&fixture, &operator).await;
    let deployment = fixture.any("Deployment").get(NAME).await.expect("the Deployment");
    assert_is_as_admitted(&deployment);
    let containers = pointer(&deployment, "/spec/template/spec/containers");
    assert!(
        containers.as_array().is_some_and(|containers| containers.iter().any(|c| c["name"] == "sidecar"))
    );

    let (before, writes) = (generations(&fixture).await, writes_of_objects(&fixture));
    let refused: Vec<_> = writes.iter().filter(|write| write.code == 422).collect();
    assert!(refused.is_empty(), "{refused:?}");
    let revision =
        deployment.metadata.annotations.clone().unwrap_or_default()["deployment.kubernetes.io/revision"]
            .clone();
    assert_eq!(revision, "1", "one rollout");
    operator.terminate();
    let mut restarted = fixture.start_operator().await;
    restarted.wait_for_reconciles(0.0).await;
    reconcile_twice(&fixture, &restarted).await;
    assert_eq!(writes_of_objects(&fixture)[writes.len()..], []);
    assert_eq!(generations(&fixture).await, before);
    let deployment = fixture.any("Deployment").get(NAME).await.expect("the Deployment");
    assert_eq!(deployment.metadata.annotations.unwrap_or_default()["deployment.kubernetes.io/revision"], "1");
    fixture.wait_for_condition("Ready", "True").await;

    // A change of the spec rolls out once; what admission had changed is not reverted.
    fixture.merge(json!({"spec": {"pod": {"annotations": {"ours": "yes"}}}})).await;
    fixture
        .wait_for_value("Deployment", NAME, "/spec/template/metadata/annotations/ours", &json!("yes"))
        .await;
    fixture.wait_for_condition("Ready", "True").await;
    let deployment = fixture.any("Deployment").get(NAME).await.expect("the Deployment");
    assert_is_as_admitted(&deployment);
    let revision =
        deployment.metadata.annotations.clone().unwrap_or_default()["deployment.kubernetes.io/revision"]
            .clone();
    assert_eq!(revision, "2", "one more rollout");

    // Drift is still repaired: what admission set is no licence for other values.
    restarted.terminate();
    let change =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "server", "args": ["evil"]}]}}}});
    fixture
        .any("Deployment")
        .patch(NAME, &kube::api::PatchParams::default(), &kube::api::Patch::Strategic(change))
        .await
        .expect("the edit");
    let _again = fixture.start_operator().await;
    wait::until("the repair", async || {
        let now = fixture.any("Deployment").get(NAME).await.expect("the Deployment");
        let containers = pointer(&now, "/spec/template/spec/containers").clone();
        let ours = containers.as_array().into_iter().flatten().find(|c| c["name"] == "server").cloned();
        wait::check(ours.as_ref().is_some_and(|ours| ours["args"] == json!(["serve"])), ours)
    })
    .await;

    // Each object is reported once, with what changed and by whom, and without any value of a Secret.
    let events = fixture.events().await;
    let reports: Vec<_> = events.iter().filter(|event| event.1 == "ChangedByAdmission").collect();
    for object in
        ["Deployment auth ", "ConfigMap auth-settings", "StatefulSet auth-postgres", "Job auth-migrate-"]
    {
        let of: Vec<_> = reports.iter().filter(|(_, _, note)| note.contains(object)).collect();
        assert_eq!(of.len(), 1, "{object}: {reports:?}");
    }
    let of_deployment =
        reports.iter().find(|(_, _, note)| note.contains("Deployment auth ")).expect("a report");
    for words in [
        MIRROR,
        "/spec/template/spec/containers/server/image",
        "env/PROXY was added",
        "MutatingAdmissionPolicy",
    ] {
        assert!(of_deployment.2.contains(words), "{words}: {}", of_deployment.2);
    }
}

#[tokio::test]
async fn changes_at_creation_are_accepted() {
    is_accepted("admission-create", &["CREATE"]).await;
}

#[tokio::test]
async fn changes_at_every_write_are_accepted() {
    is_accepted("admission-always", &["CREATE", "UPDATE"]).await;
}

/// A webhook that sets a field to another value at every write.
#[tokio::test]
async fn a_field_that_changes_at_every_write_causes_no_endless_writes() {
    let fixture = Fixture::new("admission-restless").await;
    let _kubelet = fixture.start_kubelet();
    let version = "has(object.metadata.resourceVersion) ? object.metadata.resourceVersion : '0'";
    let label = format!(
        "[JSONPatch{{op: 'replace', path: '/metadata/labels/app.kubernetes.io~1component', value: 'v' + ({version})}}]"
    );
    let mutations = [
        Mutation::new("restless", "", &["services"], &label),
        Mutation::new("settings", "", &["configmaps"], "Object{data: {'LOG_LEVEL': 'warn'}}"),
    ];
    install(&fixture, &mutations, &["CREATE", "UPDATE"]).await;
    let operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_reason("Progressing", "False", "Settled").await;
    reconcile_twice(&fixture, &operator).await;
    let writes = writes_of_objects(&fixture);
    reconcile_twice(&fixture, &operator).await;
    // Another writer makes admission change it again.
    let note = json!({"metadata": {"annotations": {"example.com/note": "theirs"}}});
    let parameters = kube::api::PatchParams::default();
    fixture.any("Service").patch(NAME, &parameters, &kube::api::Patch::Merge(note)).await.expect("the edit");
    reconcile_twice(&fixture, &operator).await;
    assert_eq!(writes_of_objects(&fixture)[writes.len()..], []);
    let of_services: Vec<_> = writes.iter().filter(|write| write.resource == "services").collect();
    assert!(of_services.len() <= 4 * 6, "{of_services:?}");
}

/// Asserts that the container of the server has the image and the variable that admission gave it.
fn assert_is_as_admitted(deployment: &DynamicObject) {
    let containers = pointer(deployment, "/spec/template/spec/containers");
    let ours =
        containers.as_array().expect("containers").iter().find(|c| c["name"] == "server").expect("ours");
    let image = ours["image"].as_str().unwrap_or_default();
    assert!(image.starts_with(&format!("{MIRROR}/latchkey-server:")), "{image}");
    assert!(ours["env"].as_array().is_some_and(|env| env.iter().any(|v| v["name"] == "PROXY")), "{ours}");
}
