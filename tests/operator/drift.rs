//! Owned objects that another client edits, disowns or deletes. One table contains every owned object.

use std::collections::BTreeMap;

use futures::future::join_all;
use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};
use crate::owned::{apply_both, counts, made_by_the_operator, plural, without_hash};
use crate::waiting::wait_for;

/// The Secrets that are not generated again after a deletion.
const KEPT: [&str; 2] = ["auth-jwt-keys", "auth-postgres"];

/// A change of one object by another client.
struct Row {
    kind: &'static str,
    /// The name of a Job is without its hash.
    name: &'static str,
    /// An edit of an owned field, and the JSON pointer at which it must be restored.
    edit: Value,
    ours: &'static str,
    /// A field that another field manager may set, and the JSON pointer at which it must be kept.
    foreign_edit: Value,
    theirs: &'static str,
}

fn row(kind: &'static str, name: &'static str, edit: Value, ours: &'static str) -> Row {
    let note = "/metadata/annotations/example.com~1note";
    Row { kind, name, edit, ours, foreign_edit: json!({}), theirs: note }
}

impl Row {
    fn with_foreign_field(self, theirs: &'static str, foreign_edit: Value) -> Self {
        Self { foreign_edit, theirs, ..self }
    }
}

/// All objects that an AuthService can own.
fn table() -> Vec<Row> {
    let other = || json!({"spec": {"selector": {"app.kubernetes.io/instance": "other"}}});
    let policy = |name| row("NetworkPolicy", name, json!({"spec": {"ingress": [{}]}}), "/spec/ingress");
    let container =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "server", "image": "evil/x"}]}}}});
    let url = || json!({"data": {"url": "ZXZpbA=="}});
    let rules = json!([{"host": "evil.example.com", "http": {"paths": [
        {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "evil", "port": {"number": 1}}}},
    ]}}]);
    let service = |name| {
        row("Service", name, other(), "/spec/selector")
            .with_foreign_field("/spec/sessionAffinity", json!({"spec": {"sessionAffinity": "ClientIP"}}))
    };
    let store = |name| {
        row("StatefulSet", name, json!({"spec": {"replicas": 0}}), "/spec/replicas")
            .with_foreign_field("/spec/revisionHistoryLimit", json!({"spec": {"revisionHistoryLimit": 7}}))
    };
    let secret = |name, edit, ours| {
        row("Secret", name, edit, ours)
            .with_foreign_field("/data/theirs", json!({"data": {"theirs": "eA=="}}))
    };
    vec![
        row("ConfigMap", "auth-settings", json!({"data": {"ISSUER_URL": "http://evil"}}), "/data/ISSUER_URL"),
        row("ConfigMap", "auth-jwks", json!({"data": {"jwks.json": "{}"}}), "/data/jwks.json"),
        row(
            "ServiceAccount",
            NAME,
            json!({"automountServiceAccountToken": true}),
            "/automountServiceAccountToken",
        )
        .with_foreign_field("/imagePullSecrets", json!({"imagePullSecrets": [{"name": "theirs"}]})),
        secret(
            "auth-jwt-keys",
            json!({"metadata": {"labels": {"app.kubernetes.io/component": "x"}}}),
            "/data",
        ),
        secret("auth-postgres", url(), "/data/url"),
        secret("auth-redis", url(), "/data/url"),
        secret("auth-smtp", json!({"data": {"password": "ZXZpbA=="}}), "/data/password"),
        service(NAME),
        service("auth-management"),
        service("auth-postgres"),
        service("auth-redis"),
        row(
            "Job",
            "auth-migrate-HASH",
            json!({"metadata": {"annotations": {"latchkey.dev/database": "other"}}}),
            "/metadata/annotations/latchkey.dev~1database",
        ),
        row("Deployment", NAME, container, "/spec/template/spec/containers/0/image").with_foreign_field(
            "/spec/template/metadata/annotations/example.com~1injected",
            json!({"spec": {"template": {"metadata": {"annotations": {"example.com/injected": "yes"}}}}}),
        ),
        store("auth-postgres"),
        store("auth-redis"),
        row("PodDisruptionBudget", NAME, json!({"spec": {"maxUnavailable": 2}}), "/spec/maxUnavailable"),
        row("HorizontalPodAutoscaler", NAME, json!({"spec": {"maxReplicas": 9}}), "/spec/maxReplicas")
            .with_foreign_field(
                "/spec/behavior/scaleUp/stabilizationWindowSeconds",
                json!({"spec": {"behavior": {"scaleUp": {"stabilizationWindowSeconds": 7}}}}),
            ),
        row("Ingress", NAME, json!({"spec": {"rules": rules}}), "/spec/rules").with_foreign_field(
            "/spec/defaultBackend",
            json!({"spec": {"defaultBackend": {"service": {"name": "theirs", "port": {"number": 1}}}}}),
        ),
        row("Certificate", NAME, json!({"spec": {"dnsNames": ["evil.example.com"]}}), "/spec/dnsNames")
            .with_foreign_field("/spec/duration", json!({"spec": {"duration": "2160h"}})),
        row("HTTPRoute", "edge", json!({"spec": {"hostnames": ["evil.example.com"]}}), "/spec/hostnames"),
        row("Route", "routed", json!({"spec": {"host": "evil.example.com"}}), "/spec/host"),
        row(
            "BackendTLSPolicy",
            "edge",
            json!({"spec": {"validation": {"hostname": "evil.example.com"}}}),
            "/spec/validation/hostname",
        ),
        policy(NAME),
        policy("auth-migrations"),
        policy("auth-postgres"),
        policy("auth-redis"),
        row("ServiceMonitor", NAME, json!({"spec": {"endpoints": [{"port": "http"}]}}), "/spec/endpoints")
            .with_foreign_field("/spec/jobLabel", json!({"spec": {"jobLabel": "theirs"}})),
    ]
}

fn at(object: &DynamicObject, pointer: &str) -> Value {
    json!(object).pointer(pointer).cloned().unwrap_or(Value::Null)
}

/// Like `kubectl edit`; custom resources only support JSON merge patches.
fn edit_of(kind: &str, patch: Value) -> Patch<Value> {
    let foreign = ["BackendTLSPolicy", "Certificate", "HTTPRoute", "Route", "ServiceMonitor"].contains(&kind);
    if foreign { Patch::Merge(patch) } else { Patch::Strategic(patch) }
}

/// All owned objects in the table, by kind and name without hash.
async fn owned(fixture: &Fixture) -> BTreeMap<(String, String), DynamicObject> {
    let all = fixture.owned().await.into_iter();
    all.filter_map(|(name, object)| {
        let (kind, name) = name.split_once('/').expect("a kind and a name");
        counts(kind, &object).then(|| ((kind.to_owned(), without_hash(name)), object))
    })
    .collect()
}

/// Waits until each object meets `check`, which receives its previous version.
async fn wait_for_each(
    fixture: &Fixture,
    before: &BTreeMap<(String, String), DynamicObject>,
    check: impl Fn(&Row, &DynamicObject, &DynamicObject) -> Result<(), String>,
) {
    let rows = table();
    let waits = rows.iter().map(|row| {
        let before = &before[&(row.kind.to_owned(), row.name.to_owned())];
        let check = &check;
        async move {
            wait_for(fixture.any(row.kind), &before.name_any(), |now| {
                let now = now.ok_or("it is gone")?;
                check(row, before, now).map_err(|why| format!("{}/{}: {why}", row.kind, row.name))
            })
            .await;
        }
    });
    join_all(waits).await;
}

/// The same object, owned and restored, with the fields of other managers.
fn is_as_it_was(row: &Row, before: &DynamicObject, now: &DynamicObject) -> Result<(), String> {
    let same = |what: &str, before: Value, now: Value| {
        (before == now).then_some(()).ok_or_else(|| format!("{what} is {now}, not {before}"))
    };
    same("its uid", json!(before.uid()), json!(now.uid()))?;
    for label in ["managed-by", "instance", "name", "component"] {
        let pointer = format!("/metadata/labels/app.kubernetes.io~1{label}");
        same(&pointer, at(before, &pointer), at(now, &pointer))?;
    }
    for pointer in ["/metadata/ownerReferences", row.ours, row.theirs, "/metadata/labels/example.com~1label"]
    {
        same(pointer, at(before, pointer), at(now, pointer))?;
    }
    Ok(())
}

async fn change_each(fixture: &Fixture, patch_of: impl Fn(&Row) -> Value) {
    let names: BTreeMap<(String, String), DynamicObject> = owned(fixture).await;
    for row in table() {
        let name = names[&(row.kind.to_owned(), row.name.to_owned())].name_any();
        let patch = patch_of(&row);
        let edited =
            fixture.any(row.kind).patch(&name, &PatchParams::default(), &edit_of(row.kind, patch)).await;
        edited.unwrap_or_else(|e| panic!("{}/{name}: {e}", row.kind));
    }
}

#[tokio::test]
async fn changes_of_owned_fields_are_reverted_and_foreign_fields_are_kept() {
    let fixture = Fixture::new("drift").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    apply_both(&fixture).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_value("HTTPRoute", "edge", "/spec/hostnames/0", &json!("edge.example.com")).await;
    let name = json!(format!("edge.{}.svc", fixture.namespace));
    fixture.wait_for_value("BackendTLSPolicy", "edge", "/spec/validation/hostname", &name).await;

    // The table contains all objects and all kinds that the operator may create.
    let rows: Vec<_> = table().iter().map(|row| (row.kind.to_owned(), row.name.to_owned())).collect();
    let known: Vec<_> = owned(&fixture).await.into_keys().collect();
    let missing: Vec<_> = known.iter().filter(|object| !rows.contains(object)).collect();
    assert!(missing.is_empty() && known.len() == rows.len(), "without a row: {missing:?}; owned: {known:?}");
    for made in made_by_the_operator() {
        assert!(rows.iter().any(|(kind, _)| plural(kind) == made), "{made} has no row");
    }

    // Other managers set fields without force: none of them is owned by the operator.
    for row in table() {
        let name = owned(&fixture).await[&(row.kind.to_owned(), row.name.to_owned())].clone();
        let types = name.types.clone().expect("an object of a single kind");
        let mut theirs = row.foreign_edit.clone();
        theirs["apiVersion"] = json!(types.api_version);
        theirs["kind"] = json!(types.kind);
        theirs["metadata"] = json!({
            "name": name.name_any(),
            "annotations": {"example.com/note": "theirs"}, "labels": {"example.com/label": "theirs"},
        });
        let applied = fixture
            .any(row.kind)
            .patch(&name.name_any(), &PatchParams::apply("other-manager"), &Patch::Apply(&theirs))
            .await
            .unwrap_or_else(|e| panic!("{}/{}: {e}", row.kind, row.name));
        assert_ne!(at(&applied, row.theirs), Value::Null, "{}/{} has no such field", row.kind, row.name);
    }
    fixture.wait_for_condition("Ready", "True").await;
    let before = owned(&fixture).await;

    // Owned fields are edited; labels and the owner reference are removed.
    change_each(&fixture, |row| row.edit.clone()).await;
    wait_for_each(&fixture, &before, is_as_it_was).await;
    let unlabelled = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}});
    change_each(&fixture, |_| unlabelled.clone()).await;
    wait_for_each(&fixture, &before, is_as_it_was).await;
    change_each(&fixture, |row| {
        let uid = before[&(row.kind.to_owned(), row.name.to_owned())].owner_references()[0].uid.clone();
        let foreign =
            ["BackendTLSPolicy", "Certificate", "HTTPRoute", "Route", "ServiceMonitor"].contains(&row.kind);
        let none = if foreign { json!([]) } else { json!([{"$patch": "delete", "uid": uid}]) };
        json!({"metadata": {"ownerReferences": none}})
    })
    .await;
    wait_for_each(&fixture, &before, is_as_it_was).await;
    fixture.wait_for_condition("Ready", "True").await;

    // All objects are deleted, except the keys, which are never generated again (keys.rs), the credentials of a database
    // with a volume (stores.rs), and the completed migration Job, which is not needed any more (migration.rs).
    for ((kind, name), object) in &before {
        let stays = kind == "Job" || (kind == "Secret" && KEPT.contains(&name.as_str()));
        if !stays {
            let deleted = fixture.any(kind).delete(&object.name_any(), &DeleteParams::background()).await;
            deleted.unwrap_or_else(|e| panic!("{kind}/{name}: {e}"));
        }
    }
    wait_for_each(&fixture, &before, |row, before, now| {
        let stays = row.kind == "Job" || (row.kind == "Secret" && KEPT.contains(&row.name));
        let made = (now.uid() == before.uid()) == stays && now.metadata.deletion_timestamp.is_none();
        let same = row.name == "auth-redis" || at(now, row.ours) == at(before, row.ours);
        (made && same).then_some(()).ok_or_else(|| "it is not as it was created".to_owned())
    })
    .await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_condition("KeysReady", "True").await;
}

/// The autoscaler owns the number of replicas if the spec configures it (autoscaling.rs); otherwise the operator
/// does.
#[tokio::test]
async fn additions_to_security_settings_are_reverted() {
    let fixture = Fixture::new("more").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"replicas": 2, "networkPolicy": {"enabled": true}})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let server = |change: Value| {
        let mut container = json!({"name": "server"});
        container.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        json!({"spec": {"template": {"spec": {"containers": [container]}}}})
    };
    let container = "/spec/template/spec/containers/0";
    let store = fixture.any("StatefulSet").get("auth-postgres").await.expect("the StatefulSet");
    let first = at(&store, &format!("{container}/env/0/name"));
    let twice = json!({"name": first, "value": "theirs"});
    let more = json!({"example.com/none": "x"});
    let rows = [
        ("Deployment", NAME, json!({"spec": {"replicas": 7}}), "/spec/replicas".to_owned()),
        // The settings are the complete environment of the server.
        (
            "ConfigMap",
            "auth-settings",
            json!({"data": {"TRUSTED_PROXIES": "0.0.0.0/0"}}),
            "/data/TRUSTED_PROXIES".to_owned(),
        ),
        (
            "Deployment",
            NAME,
            server(json!({"env": [{"name": "ISSUER_URL", "value": "http://evil"}]})),
            format!("{container}/env"),
        ),
        ("Deployment", NAME, server(json!({"command": ["sh"]})), format!("{container}/command")),
        (
            "Deployment",
            NAME,
            server(json!({"envFrom": [{"configMapRef": {"name": "evil"}}]})),
            format!("{container}/envFrom"),
        ),
        // Of two variables with the same name, the last one is effective.
        (
            "StatefulSet",
            "auth-postgres",
            json!([{"op": "add", "path": format!("{container}/env/-"), "value": twice}]),
            format!("{container}/env"),
        ),
        // With an additional label the policy selects no pod, and the Service has no endpoints.
        (
            "NetworkPolicy",
            NAME,
            json!({"spec": {"podSelector": {"matchLabels": more}}}),
            "/spec/podSelector".to_owned(),
        ),
        ("Service", NAME, json!({"spec": {"selector": more}}), "/spec/selector".to_owned()),
        // Without a selector of the namespace, only the own namespace is allowed; with an empty one, every namespace is.
        (
            "NetworkPolicy",
            NAME,
            json!([{"op": "add", "path": "/spec/ingress/0/from/0/namespaceSelector", "value": {}}]),
            "/spec/ingress".to_owned(),
        ),
        (
            "NetworkPolicy",
            NAME,
            json!([{"op": "remove", "path": "/spec/egress/0/ports"}]),
            "/spec/egress".to_owned(),
        ),
        ("NetworkPolicy", "auth-migrations", json!({"spec": {"ingress": [{}]}}), "/spec/ingress".to_owned()),
    ];
    for (kind, name, edit, pointer) in rows {
        let before = at(&fixture.any(kind).get(name).await.expect("the object"), &pointer);
        let parameters = PatchParams::default();
        // A list of operations, or an object.
        let patch = match serde_json::from_value(edit.clone()) {
            Ok(operations) => Patch::Json::<Value>(operations),
            Err(_) => Patch::Strategic(edit.clone()),
        };
        let edited = fixture.any(kind).patch(name, &parameters, &patch).await;
        assert_ne!(at(&edited.expect("the edit"), &pointer), before, "{pointer}: the edit changes nothing");
        fixture.wait_for_value(kind, name, &pointer, &before).await;
    }
    // Removing the label together with the owner reference disowns the object.
    let change = json!({"metadata": {
        "ownerReferences": null, "labels": {"app.kubernetes.io/managed-by": null},
    }});
    let config_maps = fixture.any("ConfigMap");
    config_maps
        .patch("auth-settings", &PatchParams::default(), &Patch::Merge(&change))
        .await
        .expect("the API server accepts it");
    let condition = fixture.wait_for_reason("Ready", "False", "NameConflict").await;
    assert!(condition.message.contains("ConfigMap auth-settings exists"), "{}", condition.message);
    config_maps.delete("auth-settings", &DeleteParams::default()).await.expect("it is deleted");
    fixture.touch().await;
    fixture.wait_for_condition("Ready", "True").await;
}
