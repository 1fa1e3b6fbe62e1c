//! Key rotation under load without errors; revoked keys are refused within seconds.

use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode_header};
use latchkey_crds::AuthService;
use latchkey_crds::auth_service::KeyPhase;
use latchkey_tests::app::{Session, path};
use latchkey_tests::cluster::note;
use latchkey_tests::logs::leak;
use serde_json::{Value, json};

use crate::client::{Client, Request, url_of};
use crate::namespace::{NAME, Namespace, uids};
use crate::poller::{Poller, Tries};
use crate::waiting::wait_for;
use crate::{release, stores};

const ROTATIONS: usize = 3;

/// An application that verifies tokens itself, and caches the key set for its `max-age`.
struct Verifier {
    keys: JwkSet,
    until: Instant,
}

impl Verifier {
    fn new(client: &Client<'_>) -> Self {
        // The age of the copy counts from the request, not from the response.
        let asked = Instant::now();
        let answer = client.send(&Request::get(client.url(path::JWKS)));
        let caching = answer.header("cache-control").and_then(|text| text.split("max-age=").nth(1));
        let max_age: u64 = caching.and_then(|text| text.parse().ok()).expect("a max-age");
        let keys = serde_json::from_value(answer.ok(200)).expect("a JWK Set");
        Self { keys, until: asked + Duration::from_secs(max_age) }
    }

    /// Verifies a token of a response at `received`.
    fn verify(&mut self, client: &Client<'_>, token: &str, received: Instant) {
        if received >= self.until {
            *self = Self::new(client);
        }
        let kid = kid(token);
        let key = self.keys.find(&kid).unwrap_or_else(|| panic!("the copy of the key set lacks {kid}"));
        let mut validation = Validation::new(Algorithm::ES256);
        let issuer = client.url("");
        validation.set_audience(&[&issuer]);
        validation.set_issuer(&[&issuer]);
        let key = DecodingKey::from_jwk(key).expect("a key");
        jsonwebtoken::decode::<Value>(token, &key, &validation).expect("the token verifies");
    }
}

fn kid(token: &str) -> String {
    decode_header(token).expect("a token").kid.expect("a kid")
}

/// Sets an annotation of the AuthService.
pub async fn annotate(namespace: &Namespace, name: &str, value: &str) {
    let annotations = json!({format!("latchkey.dev/{name}"): value});
    namespace.merge(json!({"metadata": {"annotations": annotations}})).await;
}

/// The key that signs.
pub async fn active(namespace: &Namespace) -> String {
    let found = namespace.api::<AuthService>().get(NAME).await.expect("the AuthService");
    let keys = found.status.expect("a status").signing_keys;
    keys.into_iter().find(|key| key.phase == KeyPhase::Active).expect("an active key").kid
}

#[tokio::test]
async fn keys_rotate_under_load_without_errors_and_revoked_keys_are_refused_in_seconds() {
    let namespace = Namespace::new("keys").await;
    let stores = stores::start(&namespace).await;
    let client = Client::start(&namespace).await;
    let mut spec = stores::spec(2);
    spec["tokens"] = json!({"keyRotation": {"jwksCacheTime": "3s"}});
    namespace.bring_up("external stores, 2 replicas", spec).await;
    client.wait_until_routed().await;
    let john = client.create_user(&stores.admin_password, "john");
    let pods = uids(&namespace.wait_for_server_pods(2, &[]).await);
    let poller = Poller::start(&namespace, &client, Tries::One).await;

    let first = client.log_in(&john.username, &john.password);
    let mut session = Session { access: first.access.clone(), refresh: first.refresh.clone() };
    let mut verifier = Verifier::new(&client);
    for rotation in 1..=ROTATIONS {
        let (begun, before) = (Instant::now(), kid(&session.access));
        annotate(&namespace, "rotate-keys", &rotation.to_string()).await;
        while kid(&session.access) == before {
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "waited a minute for another key than {before}; last seen: {}",
                namespace.kubectl(&["describe", "authsvc"])
            );
            session = Session::from_answer(&client.refresh(&session));
            verifier.verify(&client, &session.access, Instant::now());
            client.me(&session.access).ok(200);
            // Its key does not sign any more.
            client.me(&first.access).ok(200);
        }
        note(&format!("a rotation with jwksCacheTime 3s: {:.1} s", begun.elapsed().as_secs_f64()));
    }
    poller.stop().await;

    let (begun, stolen) = (Instant::now(), kid(&session.access));
    annotate(&namespace, "revoke-keys", "stolen").await;
    wait_for("every replica to refuse the stolen key", async || {
        let mut refused = Vec::new();
        for pod in namespace.server_pods().await {
            let address = pod.status.and_then(|status| status.pod_ip).expect("an address");
            let at = |path: &str| format!("{}{path}", url_of(&address, 8080));
            let me = client.send(&Request::get(at(path::ME)).bearer(&session.access)).status;
            let keys = client.send(&Request::get(at(path::JWKS))).body;
            refused.push(me == 401 && !keys.contains(&stolen));
        }
        if refused == [true, true] { Ok(()) } else { Err(format!("{refused:?}")) }
    })
    .await;
    let took = begun.elapsed();
    note(&format!("a revocation on both replicas: {:.1} s", took.as_secs_f64()));
    assert!(took < Duration::from_secs(15), "{took:?}");
    client.refresh(&session).problem(401);
    client.me(&first.access).problem(401);
    let fresh = client.log_in(&john.username, &john.password);
    client.me(&fresh.access).ok(200);
    client.refresh(&fresh).ok(200);
    assert_ne!(kid(&fresh.access), stolen);
    namespace.wait_for_condition("KeysReady", "True").await;
    assert_eq!(active(&namespace).await, kid(&fresh.access));
    assert_eq!(uids(&namespace.server_pods().await), pods, "the pods were restarted");
    for line in namespace.server_log().lines().chain(release::operator_log().lines()) {
        assert_eq!(leak(line), None, "the log contains a secret: {line}");
    }
}
