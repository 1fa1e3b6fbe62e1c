//! AuthClients that are refused: by the API server, and by their AuthService.

use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use latchkey_tests::control_plane::{apply, auth_client_crd};
use latchkey_tests::operator::Operator;
use serde_json::{Value, json};

use crate::client_fixture::{
    apply_client, client_condition, clients, clients_in, load, registry, try_apply_client, wait_for_client,
    wait_for_client_event, wait_for_entry, wait_for_registry, wait_until_ready,
};
use crate::fixture::{Fixture, NAME};
use crate::plugin::{plugin, printed};

fn claim(name: &str, group: &str, value: &str) -> Value {
    json!({"name": name, "values": [{"group": group, "value": value}]})
}

/// Specs that a rule of the definition refuses, each with its message.
fn refused() -> Vec<(Value, &'static str)> {
    let duration = "99999h";
    vec![
        (json!({"clientId": "1234"}), "spec.clientId must have printable ASCII"),
        (json!({"clientId": "a b"}), "spec.clientId must have printable ASCII"),
        (json!({"clientId": "latchkey"}), "spec.clientId must have printable ASCII"),
        (json!({"grantTypes": ["password", "password"]}), "spec.grantTypes names a grant twice"),
        (json!({"scopes": ["a b"]}), "spec.scopes must contain scope tokens"),
        (json!({"scopes": ["a\"b"]}), "spec.scopes must contain scope tokens"),
        (json!({"scopes": ["a\\b"]}), "spec.scopes must contain scope tokens"),
        (json!({"scopes": ["a", "a"]}), "spec.scopes names a scope twice"),
        (json!({"audiences": ["https://a.example#b"]}), "spec.audiences must contain names"),
        (json!({"audiences": ["a", "a"]}), "spec.audiences names an audience twice"),
        (json!({"allowedGroups": ["a b"]}), "spec.allowedGroups must contain names of groups"),
        (json!({"allowedGroups": ["a/../b"]}), "spec.allowedGroups must contain names of groups"),
        (json!({"allowedGroups": ["System:masters"]}), "spec.allowedGroups must contain names of groups"),
        (
            json!({"claims": [claim("roles", "a", "b"), claim("roles", "c", "d")]}),
            "spec.claims names a claim twice",
        ),
        (json!({"claims": [claim("a b", "a", "b")]}), "spec.claims[].name must have printable"),
        (json!({"claims": [claim("roles", "a b", "b")]}), "spec.claims[].values[].group must be"),
        (json!({"claims": [claim("roles", "system:x", "b")]}), "spec.claims[].values[].group must be"),
        (json!({"claims": [claim("roles", "a", "a b")]}), "spec.claims[].values[].value must have printable"),
        (json!({"tokens": {"accessTokenTTL": "61m"}}), "spec.tokens.accessTokenTTL must be between"),
        (json!({"tokens": {"refreshTokenTTL": "59s"}}), "spec.tokens.refreshTokenTTL must be between"),
        (json!({"secret": {"name": "A"}}), "spec.secret.name must be the name of a Secret"),
        (json!({"secret": {"keys": {"clientId": ["a b"]}}}), "spec.secret.keys.clientId must contain"),
        (json!({"secret": {"keys": {"clientSecret": ["/"]}}}), "spec.secret.keys.clientSecret must contain"),
        (json!({"secret": {"keys": {"issuer": ["/"]}}}), "spec.secret.keys.issuer must contain"),
        (json!({"secret": {"keys": {"tokenUrl": ["/"]}}}), "spec.secret.keys.tokenUrl must contain"),
        (json!({"secret": {"labels": {"app.kubernetes.io/name": "x"}}}), "spec.secret.labels: the labels"),
        (
            json!({"secret": {"annotations": {"latchkey.dev/x": "x"}}}),
            "spec.secret.annotations: the annotations",
        ),
        (json!({"secret": {"rotationInterval": "5m"}}), "spec.secret.rotationInterval must be between"),
        (json!({"secret": {"overlap": duration}}), "spec.secret.overlap must be between"),
        (
            json!({"existingSecretRef": {"name": "a", "overlap": duration}}),
            "spec.existingSecretRef.overlap must be between",
        ),
        (
            json!({"secret": {}, "existingSecretRef": {"name": "a"}}),
            "set spec.secret or spec.existingSecretRef",
        ),
        (
            json!({"type": "public", "grantTypes": ["password"], "secret": {}}),
            "a public client has no secret",
        ),
        (json!({"type": "public"}), "a public client cannot use the grant client_credentials"),
        (
            json!({"type": "public", "grantTypes": ["urn:ietf:params:oauth:grant-type:token-exchange"]}),
            "a public client cannot exchange tokens",
        ),
        (json!({"tokenExchange": {"from": ["a b"]}}), "spec.tokenExchange.from must contain client ids"),
        (json!({"tokenExchange": {"from": ["12"]}}), "spec.tokenExchange.from must contain client ids"),
        (json!({"tokenExchange": {"from": ["a", "a"]}}), "spec.tokenExchange.from names a client twice"),
    ]
}

/// The same for keys and service accounts.
fn refused_keys() -> Vec<(Value, &'static str)> {
    let x = "A".repeat(43);
    let okp = |kid: &str| json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid});
    let changed = |member: &str, value: &str| {
        let mut key = okp("1");
        key[member] = value.into();
        json!({"jwks": {"keys": [key]}})
    };
    let keys = |keys: Value| json!({"jwks": {"keys": keys}});
    let workload = |names: Value| json!({"type": "workload", "serviceAccounts": names});
    vec![
        (keys(json!([okp("1"), okp("1")])), "spec.jwks.keys must have different kid"),
        (changed("d", &x), "spec.jwks.keys must contain public keys only"),
        (keys(json!([{"kty": "EC", "crv": "P-384", "x": x, "y": x}])), "a key of kty EC must have crv P-256"),
        (keys(json!([{"kty": "EC", "crv": "P-256", "x": x}])), "a key of kty EC must have crv P-256"),
        (changed("crv", "X25519"), "a key of kty OKP must have crv Ed25519"),
        (keys(json!([{"kty": "RSA", "e": "AQAB"}])), "a key of kty RSA must have n and e"),
        (keys(json!([{"kty": "RSA", "n": "A".repeat(342), "e": "Aw"}])), "spec.jwks.keys: e must be AQAB"),
        (changed("alg", "HS256"), "spec.jwks.keys: alg must be ES256 for EC"),
        (changed("use", "enc"), "spec.jwks.keys: use must be sig"),
        (changed("kid", "a b"), "spec.jwks.keys: kid must have printable ASCII"),
        (
            json!({"type": "public", "grantTypes": ["password"], "jwks": {"keys": [okp("1")]}}),
            "only a confidential client has keys",
        ),
        (json!({"type": "workload"}), "a client of the type workload needs spec.serviceAccounts"),
        (
            json!({"serviceAccounts": [{"name": "a"}]}),
            "a client of the type workload needs spec.serviceAccounts",
        ),
        (workload(json!([{"name": "default"}])), "has the account default"),
        (
            workload(json!([{"name": "a"}, {"name": "a"}])),
            "spec.serviceAccounts names a ServiceAccount twice",
        ),
        (
            json!({"type": "workload", "serviceAccounts": [{"name": "a"}], "secret": {}}),
            "a workload has no secret",
        ),
    ]
}

#[tokio::test]
async fn each_rule_refuses_invalid_clients() {
    let fixture = Fixture::new("client-rules").await;
    let api = clients(&fixture);
    for (spec, sentence) in refused().into_iter().chain(refused_keys()) {
        let error = try_apply_client(&api, "orders", spec.clone()).await.expect_err(&spec.to_string());
        assert!(error.to_string().contains(sentence), "{spec}: {sentence}: {error}");
    }
    for (spec, words) in [
        (json!({"type": "machine"}), "supported values"),
        (json!({"jwks": {"keys": [{"kty": "oct"}]}}), "supported values"),
        (json!({"jwks": {"keys": []}}), "should have at least 1 items"),
        (
            json!({"jwks": {"keys": [{"kty": "RSA", "n": "A".repeat(171), "e": "AQAB"}]}}),
            "at least 342 chars long",
        ),
        (json!({"allowedGroup": ["a"]}), "field not declared in schema"),
        (json!({"claims": [{"name": "roles", "values": []}]}), "should have at least 1 items"),
        (
            json!({"claims": [{"name": "roles", "format": "array", "values": [{"group": "a", "value": "b"}]}]}),
            "supported values",
        ),
        (json!({"grantTypes": []}), "should have at least 1 items"),
        (json!({"secret": {"keys": {"clientSecret": []}}}), "should have at least 1 items"),
    ] {
        let error = try_apply_client(&api, "orders", spec.clone()).await.expect_err(&spec.to_string());
        assert!(error.to_string().to_lowercase().contains(words), "{spec}: {words}: {error}");
    }
    let error = try_apply_client(&api, &"a".repeat(101), json!({})).await.expect_err("a long name");
    assert!(error.to_string().contains("metadata.name must have at most 100 characters"), "{error}");

    apply_client(&fixture, "orders", json!({"clientId": "orders"})).await;
    for (spec, sentence) in [
        (json!({"clientId": "others"}), "spec.clientId cannot be changed"),
        (json!({}), "spec.clientId cannot be changed"),
        (
            json!({"clientId": "orders", "authServiceRef": {"name": "b"}}),
            "spec.authServiceRef cannot be changed",
        ),
    ] {
        let error = try_apply_client(&api, "orders", spec.clone()).await.expect_err(&spec.to_string());
        assert!(error.to_string().contains(sentence), "{sentence}: {error}");
    }
}

#[test]
fn every_rule_of_the_definition_is_tested() {
    let text = std::fs::read_to_string(auth_client_crd()).expect("the CRD");
    let crd: DynamicObject = serde_yaml_ng::from_str(&text).expect("YAML");
    let mut rules = Vec::new();
    crate::validation::each_rule(
        &crd.data["spec"]["versions"][0]["schema"]["openAPIV3Schema"],
        &mut |rule| {
            rules.push(rule.to_owned());
        },
    );
    assert!(rules.len() > 20, "{rules:?}");
    let changes =
        ["spec.clientId cannot be changed", "spec.authServiceRef cannot be changed", "metadata.name"];
    let refused = [refused(), refused_keys()].concat();
    let known: Vec<_> = refused.iter().map(|(_, sentence)| *sentence).chain(changes).collect();
    rules.retain(|rule| !known.iter().any(|sentence| rule.contains(sentence)));
    assert!(rules.is_empty(), "{rules:#?}");
}

/// A second namespace that the operator watches, with these labels.
async fn other_namespace(fixture: &Fixture, labels: Value) -> (String, Api<DynamicObject>) {
    let name = format!("{}-shop", fixture.namespace);
    let metadata = json!({"name": name, "labels": labels});
    apply(&fixture.client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})).await;
    let api = clients_in(fixture, &name);
    (name, api)
}

#[tokio::test]
async fn only_admitted_namespaces_register_clients() {
    let shop = "test-client-admission-shop";
    let values = format!("watchNamespaces={{{shop}}}");
    let client = latchkey_tests::control_plane::ControlPlane::shared().await.client().await;
    apply(&client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": shop}})).await;
    let fixture = Fixture::with_values("client-admission", &[&values]).await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let (_, api) = other_namespace(&fixture, json!({"team": "shop"})).await;
    let elsewhere = json!({"name": NAME, "namespace": fixture.namespace});
    try_apply_client(&api, "orders", json!({"authServiceRef": elsewhere})).await.expect("it is created");
    let refused = ("Accepted", "False", "NotAllowed");
    // The AuthService does not exist; then it does not admit the namespace. The words are the same.
    let missing = wait_for_client(&api, "orders", refused).await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    apply_client(&fixture, "own", json!({})).await;
    wait_for_entry(&fixture, &format!("{}.own", fixture.namespace)).await;
    let denied = wait_for_client(&api, "orders", refused).await;
    assert_eq!(denied.message, missing.message);
    wait_for_client(&api, "orders", ("Ready", "False", "NotAllowed")).await;
    wait_for_client(&api, "orders", ("Registered", "False", "NotAccepted")).await;
    let object = api.get("orders").await.expect("the AuthClient");
    assert_eq!(object.metadata.finalizers, None, "nothing holds a refused AuthClient back");

    let admit = async |allowed: Value| {
        fixture.apply(json!({"clients": {"allowedNamespaces": allowed}})).await;
    };
    let id = format!("{shop}.orders");
    let accepted = ("Accepted", "True", "Accepted");
    admit(json!({"from": "All"})).await;
    wait_for_client(&api, "orders", accepted).await;
    wait_for_entry(&fixture, &id).await;
    // Withdrawing the admission ends the registration, also of the AuthService's own namespace.
    admit(json!({"from": "Selector", "selector": {"matchLabels": {"team": "sales"}}})).await;
    wait_for_client(&api, "orders", refused).await;
    wait_for_registry(&fixture, |registry| registry.clients().is_empty().then_some(())).await;
    admit(json!({"from": "Selector", "selector": {"matchLabels": {"team": "shop"}}})).await;
    wait_for_client(&api, "orders", accepted).await;
    wait_for_entry(&fixture, &id).await;
    wait_for_client_event_in(&fixture, shop).await;
}

async fn wait_for_client_event_in(fixture: &Fixture, namespace: &str) {
    let events: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(fixture.client.clone(), namespace);
    latchkey_tests::wait::until("an event NotAllowed", async || {
        let found = events.list(&kube::api::ListParams::default()).await.expect("events");
        let is_there = found.iter().any(|event| event.reason.as_deref() == Some("NotAllowed"));
        latchkey_tests::wait::check(is_there, found.items.len())
    })
    .await;
}

#[tokio::test]
async fn the_older_client_has_an_id_and_the_maximum_is_kept() {
    let fixture = Fixture::new("client-ids").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"clients": {"maximum": {"scopes": ["a"]}}})).await;
    let api = clients(&fixture);
    apply_client(&fixture, "first", json!({"clientId": "orders", "scopes": ["a"]})).await;
    let before = wait_for_entry(&fixture, "orders").await;
    apply_client(&fixture, "second", json!({"clientId": "orders"})).await;
    let taken = wait_for_client(&api, "second", ("Accepted", "False", "ClientIdTaken")).await;
    assert!(!taken.message.contains("first"), "{}", taken.message);
    wait_for_client_event(&fixture, "second", "Warning", "ClientIdTaken").await;
    apply_client(&fixture, "greedy", json!({"scopes": ["a", "b"]})).await;
    let greedy = wait_for_client(&api, "greedy", ("Accepted", "False", "NotAllowed")).await;
    assert!(greedy.message.contains("scope b"), "{}", greedy.message);
    apply_client(&fixture, "impostor", json!({"claims": [claim("Sub", "staff", "1")]})).await;
    let impostor = wait_for_client(&api, "impostor", ("Accepted", "False", "Invalid")).await;
    assert!(impostor.message.contains("is reserved"), "{}", impostor.message);
    assert_eq!(wait_for_entry(&fixture, "orders").await, before);
    load(&fixture).await;
    wait_until_ready(&fixture, "first").await;

    // When the first one is deleted, the second one gets the id, with other credentials.
    api.delete("first", &DeleteParams::default()).await.expect("it is deleted");
    wait_for_registry(&fixture, |registry| registry.clients().is_empty().then_some(())).await;
    load(&fixture).await;
    wait_for_client(&api, "second", ("Accepted", "True", "Accepted")).await;
    let after = wait_for_entry(&fixture, "orders").await;
    assert_ne!(after.credentials[0].id, before.credentials[0].id);

    // A narrower maximum refuses a client that was accepted.
    fixture.apply(json!({"clients": {"maximum": {"grantTypes": ["password"]}}})).await;
    wait_for_client(&api, "second", ("Accepted", "False", "NotAllowed")).await;
    wait_for_registry(&fixture, |registry| registry.clients().is_empty().then_some(())).await;
}

/// Administration and token exchange are power over others: the owner of the AuthService allows them by name.
#[tokio::test]
async fn power_over_others_has_to_be_allowed_by_name() {
    const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
    let fixture = Fixture::new("client-power").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    let api = clients(&fixture);
    apply_client(&fixture, "ops", json!({"clientId": "ops", "scopes": ["users.read", "a"]})).await;
    let grants = json!(["client_credentials", EXCHANGE]);
    apply_client(&fixture, "web", json!({"clientId": "web", "audiences": ["orders"], "grantTypes": grants}))
        .await;
    apply_client(&fixture, "orders", json!({"clientId": "orders", "tokenExchange": {"from": ["web"]}})).await;
    let orders = wait_for_entry(&fixture, "orders").await;
    assert_eq!(orders.token_exchange_from, ["web"]);
    for (name, word) in [("ops", "scope users.read"), ("web", EXCHANGE)] {
        let refused = wait_for_client(&api, name, ("Accepted", "False", "NotAllowed")).await;
        assert!(refused.message.contains(word), "{}", refused.message);
    }

    let maximum = json!({"scopes": ["users.read", "a"], "grantTypes": ["client_credentials", EXCHANGE]});
    fixture.apply(json!({"clients": {"maximum": maximum}})).await;
    let ops = wait_for_entry(&fixture, "ops").await;
    assert_eq!((&ops.permissions[..], ops.scopes.len()), (&["users.read".to_owned()][..], 2));
    let web = wait_for_entry(&fixture, "web").await;
    assert!(web.grant_types.contains(&latchkey_clients::GrantType::TokenExchange));

    // Without the permission of the owner the client leaves the registry.
    fixture.apply(json!({"clients": {"maximum": {"grantTypes": ["client_credentials"]}}})).await;
    wait_for_client(&api, "ops", ("Accepted", "False", "NotAllowed")).await;
    wait_for_registry(&fixture, |registry| (registry.clients().len() == 1).then_some(())).await;
}

#[tokio::test]
async fn a_paused_service_registers_no_client() {
    let fixture = Fixture::new("client-paused").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.apply(json!({"paused": true})).await;
    fixture.wait_for_reason("Paused", "True", "Paused").await;
    apply_client(&fixture, "orders", json!({})).await;
    let api = clients(&fixture);
    wait_for_client(&api, "orders", ("SecretReady", "True", "Generated")).await;
    wait_for_client(&api, "orders", ("Registered", "False", "AuthServicePaused")).await;
    assert!(registry(&fixture).await.is_none());
    fixture.apply(json!({"paused": false})).await;
    wait_for_entry(&fixture, &format!("{}.orders", fixture.namespace)).await;
    load(&fixture).await;
    wait_until_ready(&fixture, "orders").await;
}

async fn wait_for_unreadable(operator: &Operator, expected: f64) {
    latchkey_tests::wait::until("the metric", async || {
        let count = operator.metric("latchkey_operator_unreadable_objects", &["kind=\"AuthClient\""]).await;
        latchkey_tests::wait::check((count - expected).abs() < 0.5, count)
    })
    .await;
}

/// The status cannot be forged for long, and an AuthClient that this release cannot read hides no other.
#[tokio::test]
async fn an_unreadable_client_hides_no_other() {
    let fixture = Fixture::new("client-unreadable").await;
    let _kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    apply_client(&fixture, "odd", json!({})).await;
    let id = format!("{}.odd", fixture.namespace);
    let before = wait_for_entry(&fixture, &id).await;
    let api = clients(&fixture);
    wait_for_client(&api, "odd", ("Accepted", "True", "Accepted")).await;
    let forged = json!({"status": {"secretRotatedAt": "9999-12-31T23:59:59Z"}});
    let patched = api.patch_status("odd", &PatchParams::default(), &Patch::Merge(forged)).await;
    patched.expect("the API server accepts a time that the operator cannot read");
    apply_client(&fixture, "good", json!({})).await;
    wait_for_entry(&fixture, &format!("{}.good", fixture.namespace)).await;
    assert_eq!(wait_for_entry(&fixture, &id).await, before, "its entry stays");
    wait_for_unreadable(&operator, 1.0).await;
    let listed = plugin(&fixture, &["clients", "list"]);
    assert!(printed(&listed).contains("good"), "{listed:?}");
    let notes = String::from_utf8_lossy(&listed.stderr);
    assert!(notes.contains(&format!("AuthClient {}/odd cannot be read", fixture.namespace)), "{notes}");
    assert!(notes.contains("status.secretRotatedAt") && !notes.contains("9999"), "{notes}");
    let mended = json!({"status": {"secretRotatedAt": null}});
    let patched = api.patch_status("odd", &PatchParams::default(), &Patch::Merge(mended)).await;
    patched.expect("the status is patched");
    wait_for_unreadable(&operator, 0.0).await;
    let object = api.get("odd").await.expect("the AuthClient");
    assert!(client_condition(&object, "Accepted").is_some());
}
