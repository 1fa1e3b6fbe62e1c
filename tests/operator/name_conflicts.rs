//! Objects of other owners with the names of owned objects: one of each kind that an AuthService can own.

use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use latchkey_crds::AuthService;
use latchkey_tests::control_plane::apply;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME, condition};
use crate::owned::{EDGE, EDGE_KINDS, ROUTED, apply_both, counts};
use crate::waiting::wait_for;

/// An object of this kind and name that another client creates.
fn conflicting(object: &DynamicObject) -> Value {
    let types = object.types.as_ref().expect("an object of a single kind");
    let selector = json!({"matchLabels": {"app": "theirs"}});
    let pod = json!({
        "metadata": {"labels": {"app": "theirs"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "theirs", "image": "theirs"}]},
    });
    let mut server = pod.clone();
    server["spec"]["restartPolicy"] = json!("Always");
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs"});
    let issuer = json!({"name": "theirs"});
    let (member, content) = match types.kind.as_str() {
        "ConfigMap" | "Secret" => ("data", json!({"keys.json": "eA==", "password": "eA==", "A": "eA=="})),
        "ServiceAccount" => ("automountServiceAccountToken", json!(true)),
        "Service" => ("spec", json!({"ports": [{"port": 1}]})),
        "Job" => ("spec", json!({"suspend": true, "template": pod})),
        "Deployment" => ("spec", json!({"replicas": 0, "selector": selector, "template": server})),
        "StatefulSet" => (
            "spec",
            json!({"replicas": 0, "serviceName": "theirs", "selector": selector, "template": server}),
        ),
        "PodDisruptionBudget" => ("spec", json!({"selector": selector})),
        "HorizontalPodAutoscaler" => ("spec", json!({"scaleTargetRef": target, "maxReplicas": 2})),
        "NetworkPolicy" => ("spec", json!({"podSelector": selector})),
        "Ingress" => ("spec", json!({"rules": [{"host": "theirs.example.com"}]})),
        "Certificate" => {
            ("spec", json!({"secretName": "theirs", "dnsNames": ["a.com"], "issuerRef": issuer}))
        }
        "HTTPRoute" => ("spec", json!({"hostnames": ["theirs.example.com"]})),
        "Route" => {
            ("spec", json!({"host": "theirs.example.com", "to": {"kind": "Service", "name": "theirs"}}))
        }
        "BackendTLSPolicy" => {
            let target = json!({"group": "", "kind": "Service", "name": "theirs"});
            let validation = json!({"hostname": "theirs.example.com", "wellKnownCACertificates": "System"});
            ("spec", json!({"targetRefs": [target], "validation": validation}))
        }
        "ServiceMonitor" => ("spec", json!({"selector": selector, "endpoints": []})),
        other => panic!("no object of the kind {other}"),
    };
    let mut object = json!({
        "apiVersion": types.api_version, "kind": types.kind,
        "metadata": {"name": object.name_any(), "namespace": object.namespace()},
    });
    object[member] = content;
    object
}

#[tokio::test]
async fn a_conflicting_object_of_each_kind_is_reported_and_not_changed() {
    let fixture = Fixture::new("name-conflicts").await;
    let kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    apply_both(&fixture).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_value("HTTPRoute", EDGE, "/spec/hostnames/0", &json!("edge.example.com")).await;
    fixture.wait_for_value("Route", ROUTED, "/spec/host", &json!("routed.example.com")).await;
    let name = json!(format!("edge.{}.svc", fixture.namespace));
    fixture.wait_for_value("BackendTLSPolicy", EDGE, "/spec/validation/hostname", &name).await;
    let originals = fixture.owned().await;
    // The names are the same the second time, including the hash of the Job.
    for name in [NAME, EDGE, ROUTED] {
        fixture.api::<AuthService>().delete(name, &DeleteParams::default()).await.expect("it is deleted");
    }
    drop((operator, kubelet));
    for (name, object) in &originals {
        let (kind, _) = name.split_once('/').expect("a kind and a name");
        fixture.wait_until_gone(kind, &object.name_any()).await;
    }

    let owner = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner", "namespace": fixture.namespace},
    });
    let controller = apply(&fixture.client, &owner).await.uid().expect("a uid");
    let mut theirs = Vec::new();
    for (number, (name, object)) in originals.iter().enumerate() {
        let (kind, _) = name.split_once('/').expect("a kind and a name");
        if !counts(kind, object) {
            continue;
        }
        let mut conflicting = conflicting(object);
        // Some have another controller, some have no owner.
        if number % 2 == 0 {
            conflicting["metadata"]["ownerReferences"] = json!([{
                "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": controller, "controller": true,
            }]);
        }
        let made = apply(&fixture.client, &conflicting).await;
        theirs.push((kind.to_owned(), made.name_any(), made.uid(), made.metadata.generation));
    }
    assert_eq!(theirs.len(), 27, "{theirs:?}");

    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    apply_both(&fixture).await;
    let mut kinds = Vec::new();
    while !theirs.is_empty() {
        // Each conflict is reported in turn, by the affected AuthService.
        let of_kind = |wanted: &str| theirs.iter().any(|(kind, ..)| kind == wanted);
        let of_others =
            theirs.iter().all(|(kind, ..)| EDGE_KINDS.contains(&kind.as_str()) || kind == "Route");
        let service = match () {
            () if !of_others => NAME,
            () if EDGE_KINDS.into_iter().any(of_kind) => EDGE,
            () => ROUTED,
        };
        let (type_, reason, words) = if of_others {
            ("Exposed", "NameConflict", "exists and has another owner")
        } else {
            ("Ready", "NameConflict", "exists and has another owner")
        };
        let index = wait_for(fixture.api::<AuthService>(), service, |object| {
            let found = object.and_then(|object| condition(object, type_)).ok_or("no condition")?;
            let names = |(kind, name, ..): &(String, String, Option<String>, Option<i64>)| {
                found.message.contains(&format!("the {kind} {name} {words}"))
            };
            let index =
                theirs.iter().position(names).filter(|_| found.status == "False" && found.reason == reason);
            index.ok_or_else(|| format!("{found:?} names none of {theirs:?}"))
        })
        .await;
        for (kind, name, uid, generation) in &theirs {
            let now = fixture.any(kind).get(name).await.expect("the conflicting object");
            assert_eq!((&now.uid(), &now.metadata.generation), (uid, generation), "{kind}/{name}");
            let ours = now.managed_fields().iter().any(|f| f.manager.as_deref() == Some("latchkey-operator"));
            assert!(!ours, "the operator has written to {kind}/{name}");
        }
        // The conflicting object is deleted. The operator does not watch it, and only checks again twice a minute.
        let (kind, name, uid, ..) = theirs.remove(index);
        fixture.any(&kind).delete(&name, &DeleteParams::background()).await.expect("it is deleted");
        wait_for(fixture.any(&kind), &name, |object| {
            let gone = object.is_none_or(|object| object.uid() != uid);
            gone.then_some(()).ok_or_else(|| format!("{kind}/{name} is still there"))
        })
        .await;
        let touch = json!({"metadata": {"annotations": {"touched": uid}}});
        let api = fixture.api::<AuthService>();
        api.patch(service, &PatchParams::default(), &Patch::Merge(&touch)).await.expect("it is touched");
        kinds.push(kind);
    }
    fixture.wait_for_condition("Ready", "True").await;
    let events = fixture.events().await;
    assert!(
        events.iter().any(|(kind, reason, _)| kind == "Warning" && reason == "NameConflict"),
        "{events:?}"
    );
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds.len(), 16, "{kinds:?}");
}
