//! Several operators in one cluster: by class, by label selector, by namespace, and two that are both responsible.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, ResourceExt};
use latchkey_crds::AuthService;
use latchkey_tests::audit::Write;
use latchkey_tests::control_plane::{FIELD_MANAGER, apply};
use latchkey_tests::operator::{Installation, Operator};
use latchkey_tests::wait;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};

/// A release in a namespace of its own that watches the namespace of the fixture, too.
async fn other_release(fixture: &Fixture, name: &str, values: &[&str]) -> Installation {
    let namespace = format!("{}-{name}", fixture.namespace);
    let watch = format!("watchNamespace={}", fixture.namespace);
    let full_name = format!("fullnameOverride=latchkey-{name}");
    Installation::new(fixture.control_plane, &namespace, &[&[watch.as_str(), &full_name], values].concat())
        .await
}

async fn start(installation: &Installation) -> Operator {
    let mut operator = installation.start("operator-0");
    operator.wait_until_ready().await;
    operator
}

/// The writes of a release, except those of its Lease.
fn writes_of(fixture: &Fixture, installation: &Installation) -> Vec<Write> {
    let mut writes = fixture.control_plane.audit.writes_by(&installation.user);
    writes.retain(|write| write.resource != "leases");
    writes
}

async fn wait_for_log(operator: &Operator, words: &str) {
    wait::until(&format!("the log line {words:?}"), async || {
        let log = operator.log();
        wait::check(log.contains(words), log)
    })
    .await;
}

async fn foreign(operator: &Operator, reason: &str) -> f64 {
    let label = format!("reason=\"{reason}\"");
    operator.metric("latchkey_operator_foreign_auth_services", &[label.as_str()]).await
}

#[tokio::test]
async fn an_operator_reconciles_only_its_class_and_a_change_of_class_hands_over() {
    let fixture = Fixture::new("classes").await;
    let _kubelet = fixture.start_kubelet();
    let blue = other_release(&fixture, "blue", &["operatorClass=blue"]).await;
    let plain = fixture.start_operator().await;
    let blue_operator = start(&blue).await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    wait_for_log(&blue_operator, "another operator is responsible").await;
    assert_eq!(writes_of(&fixture, &blue), []);
    assert!((foreign(&blue_operator, "class").await - 1.0).abs() < 0.5);
    let own = blue_operator.metric("latchkey_operator_auth_service_condition", &[]).await;
    assert!(own < 0.5, "the metrics of an AuthService of another operator");

    // Neither waits for the Lease of the other.
    let leases = Api::<Lease>::namespaced(fixture.client.clone(), &blue.namespace);
    assert!(leases.get_opt("latchkey-operator-blue").await.expect("an answer").is_some());

    // The other operator takes over what exists: nothing is deleted and no pod is replaced.
    let identities = |objects: &std::collections::BTreeMap<String, DynamicObject>| -> Vec<(String, Option<String>, Option<i64>)> {
        objects.iter().map(|(name, object)| (name.clone(), object.uid(), object.metadata.generation)).collect()
    };
    let before = identities(&fixture.owned().await);
    let deletions = |writes: &[Write]| writes.iter().filter(|write| write.verb == "delete").count();
    fixture.merge(json!({"spec": {"operatorClass": "blue"}})).await;
    wait_for_log(&plain, "another operator is responsible").await;
    let operator = format!("{}/latchkey-operator-blue", blue.namespace);
    wait::until("the other operator to reconcile", async || {
        let status = fixture.auth_service().await.status.unwrap_or_default();
        wait::check(status.operator.as_deref() == Some(&operator), status.operator)
    })
    .await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_reason("Progressing", "False", "Settled").await;
    assert_eq!(identities(&fixture.owned().await), before);
    fixture.wait_for_audit_log().await;
    let settled = fixture.writes();
    assert_eq!(deletions(&settled) + deletions(&writes_of(&fixture, &blue)), 0);
    fixture.merge(json!({"spec": {"replicas": 2}})).await;
    fixture.wait_for_value("Deployment", NAME, "/spec/replicas", &json!(2)).await;
    fixture.wait_for_condition("Ready", "True").await;
    assert_eq!(fixture.writes(), settled, "the operator of another class writes");
}

/// Two releases of the same class that see the same AuthService.
#[tokio::test]
async fn of_two_operators_without_a_class_only_one_writes_until_it_is_gone() {
    let fixture = Fixture::new("rivals").await;
    let _kubelet = fixture.start_kubelet();
    let rival = other_release(&fixture, "rival", &["serverImage.tag=other"]).await;
    let mut first = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let rival_operator = start(&rival).await;
    wait_for_log(&rival_operator, "another operator is responsible").await;
    // The rival asks once, and the first answers by removing the question.
    wait::until("the answer", async || {
        let status = fixture.auth_service().await.status.unwrap_or_default();
        let asked = writes_of(&fixture, &rival);
        wait::check(status.operator_request.is_none() && asked.len() == 1, (status.operator_request, asked))
    })
    .await;
    // Both see each of these changes.
    for replicas in [2, 3] {
        fixture.merge(json!({"spec": {"replicas": replicas}})).await;
        fixture.wait_for_value("Deployment", NAME, "/spec/replicas", &json!(replicas)).await;
    }
    fixture.wait_for_condition("Ready", "True").await;
    let writes = writes_of(&fixture, &rival);
    assert!(writes.len() == 1 && writes[0].resource == "authservices/status", "{writes:?}");
    let image = "/spec/template/spec/containers/0/image";
    let deployment = fixture.any("Deployment").get(NAME).await.expect("the Deployment");
    let image_of = |object: &DynamicObject| json!(object).pointer(image).cloned().unwrap_or_default();
    assert!(!image_of(&deployment).to_string().contains(":other"), "{}", image_of(&deployment));
    assert!((foreign(&rival_operator, "claimed").await - 1.0).abs() < 0.5);

    // The first is uninstalled: a restarted rival asks again, gets no answer, and takes over.
    first.terminate();
    let mut rival_operator = rival_operator;
    rival_operator.terminate();
    let _rival_operator = start(&rival).await;
    let operator = format!("{}/latchkey-operator", rival.namespace);
    wait::until_within(
        3 * wait::PATIENCE,
        std::time::Duration::from_millis(100),
        "the rival to take over",
        async || {
            let status = fixture.auth_service().await.status.unwrap_or_default();
            wait::check(status.operator.as_deref() == Some(&operator), status.operator)
        },
    )
    .await;
    wait::until("the image of the rival", async || {
        let deployment = fixture.any("Deployment").get(NAME).await.expect("the Deployment");
        wait::check(image_of(&deployment).to_string().contains(":other"), image_of(&deployment))
    })
    .await;
}

async fn apply_in(fixture: &Fixture, namespace: &str, labels: &Value) {
    let object = json!({
        "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService",
        "metadata": {"name": NAME, "labels": labels},
        "spec": {"database": {"urlSecretRef": {"name": "missing"}}, "redis": {"urlSecretRef": {"name": "missing"}}},
    });
    let api: Api<AuthService> = Api::namespaced(fixture.client.clone(), namespace);
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(NAME, &parameters, &Patch::Apply(object)).await.expect("the API server accepts it");
}

async fn is_reconciled(fixture: &Fixture, namespace: &str) -> bool {
    let api: Api<AuthService> = Api::namespaced(fixture.client.clone(), namespace);
    let found = api.get(NAME).await.expect("the AuthService");
    found.status.is_some_and(|status| !status.conditions.is_empty())
}

#[tokio::test]
async fn several_namespaces_and_a_selector_limit_what_is_reconciled() {
    let fixture = Fixture::new("places").await;
    let names = ["a", "b", "c"].map(|name| format!("{}-{name}", fixture.namespace));
    for name in &names {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        apply(&fixture.client, &namespace).await;
    }
    let watched = format!("watchNamespaces={{{},{}}}", names[0], names[1]);
    let release = format!("{}-release", fixture.namespace);
    let values = [watched.as_str(), "selector=team in (red\\,green)", "fullnameOverride=latchkey-places"];
    let installation = Installation::new(fixture.control_plane, &release, &values).await;
    let green = json!({"team": "green"});
    apply_in(&fixture, &names[0], &green).await;
    let operator = start(&installation).await;
    apply_in(&fixture, &names[1], &json!({"team": "red"})).await;
    apply_in(&fixture, &names[2], &green).await;
    for name in &names[..2] {
        wait::until("a status", async || wait::check(is_reconciled(&fixture, name).await, name)).await;
    }
    assert!(!is_reconciled(&fixture, &names[2]).await, "it is in another namespace");

    // The label decides, also later.
    apply_in(&fixture, &names[0], &json!({"team": "blue"})).await;
    wait_for_log(&operator, "\"reason\":\"selector\"").await;
    assert!((foreign(&operator, "selector").await - 1.0).abs() < 0.5);
    let api: Api<AuthService> = Api::namespaced(fixture.client.clone(), &names[0]);
    wait::until("the release of the AuthService", async || {
        let status = api.get(NAME).await.expect("the AuthService").status.unwrap_or_default();
        wait::check(status.operator.is_none(), status.operator)
    })
    .await;
}
