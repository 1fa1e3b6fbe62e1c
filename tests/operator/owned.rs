//! All objects that an AuthService can own, in one namespace. Two AuthServices are needed, because no single one owns
//! all kinds.

use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, ResourceExt};
use latchkey_crds::AuthService;
use latchkey_tests::chart;
use latchkey_tests::control_plane::FIELD_MANAGER;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};

/// The AuthService that is exposed with a Gateway; it has no database and runs no pods.
pub const EDGE: &str = "edge";

/// The AuthService that is exposed with a Route of OpenShift; it has no database either.
pub const ROUTED: &str = "routed";

/// A spec for which an AuthService owns everything except an HTTPRoute, a BackendTLSPolicy and a Route.
pub fn spec() -> Value {
    json!({
        "issuer": "https://auth.example.com",
        "autoscaling": {"maxReplicas": 3},
        "database": {"embedded": {"storage": "1Gi"}},
        "email": {
            "enabled": true,
            "from": {"address": "no-reply@example.com"},
            "smtp": {"host": "smtp.example.com", "credentialsSecretRef": {"name": "smtp"}},
        },
        "networkPolicy": {"enabled": true, "allowFrom": [{"namespaceSelector": {}}]},
        "exposure": {"ingress": {
            "host": "auth.example.com", "tls": {"certificate": {"issuerRef": {"name": "ca"}}},
        }},
    })
}

/// A spec for which it owns an HTTPRoute and a BackendTLSPolicy.
pub fn edge_spec() -> Value {
    json!({
        "issuer": "https://edge.example.com",
        "database": {"urlSecretRef": {"name": "nowhere"}},
        "redis": {"urlSecretRef": {"name": "nowhere"}},
        "tls": {"secretRef": {"name": "nowhere"}},
        "exposure": {"gateway": {"parentRefs": [{"name": "public"}], "hostnames": ["edge.example.com"]}},
    })
}

/// A spec for which it owns a Route.
pub fn routed_spec() -> Value {
    let mut spec = edge_spec();
    spec["exposure"] = json!({"route": {"host": "routed.example.com", "tls": {}}});
    spec
}

/// Applies all, with the referenced objects.
pub async fn apply_both(fixture: &Fixture) {
    fixture.apply_secret("smtp", &[("username", "mailer"), ("password", "hunter22")]).await;
    fixture.apply(spec()).await;
    for (name, spec) in [(EDGE, edge_spec()), (ROUTED, routed_spec())] {
        let object = json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": {"name": name}, "spec": spec,
        });
        let api: Api<AuthService> = fixture.api();
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(name, &parameters, &Patch::Apply(object))
            .await
            .expect("the API server accepts the AuthService");
    }
}

/// The kinds that only the AuthService with a Gateway owns.
pub const EDGE_KINDS: [&str; 2] = ["HTTPRoute", "BackendTLSPolicy"];

/// Whether an owned object is in the tables, which only contain these kinds, and the Route, of the other AuthServices.
pub fn counts(kind: &str, object: &DynamicObject) -> bool {
    let instance = object.labels().get("app.kubernetes.io/instance").map(String::as_str);
    instance == Some(NAME) || EDGE_KINDS.contains(&kind) || kind == "Route"
}

/// The name of a Job without its hash.
pub fn without_hash(name: &str) -> String {
    match name.split_once("-migrate-") {
        Some((service, _)) => format!("{service}-migrate-HASH"),
        None => name.to_owned(),
    }
}

/// The resources that the chart permits the operator to create, except those that are no part of an AuthService.
pub fn made_by_the_operator() -> Vec<String> {
    let objects = chart::render("latchkey", "latchkey-system", &[]);
    let roles = chart::of_kind(&objects, "ClusterRole");
    let granted = roles.iter().flat_map(|role| role["rules"].as_array().into_iter().flatten());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut plurals: Vec<String> = granted
        .filter(|rule| rule["verbs"].as_array().is_some_and(|verbs| verbs.contains(&json!("create"))))
        .flat_map(|rule| rule["resources"].as_array().cloned().unwrap_or_default())
        .map(|plural| text(&plural))
        .filter(|plural| {
            !["authservices", "authclients", "events", "leases"].contains(&plural.as_str())
                && !plural.contains('/')
        })
        .collect();
    plurals.sort();
    plurals.dedup();
    plurals
}

/// A kind's plural.
pub fn plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    match lower.as_str() {
        "backendtlspolicy" => "backendtlspolicies".to_owned(),
        "ingress" => "ingresses".to_owned(),
        "networkpolicy" => "networkpolicies".to_owned(),
        _ => format!("{lower}s"),
    }
}
