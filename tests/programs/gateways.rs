//! Gateways verify access tokens themselves, with the settings of docs/how-to/verify-at-a-gateway.md and
//! docs/how-to/verify-tokens-offline.md, word for word: Envoy for real, and those of Istio against their schemas, like the
//! objects of other pages.

use std::fs;
use std::path::PathBuf;

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, path};
use latchkey_tests::clients_file::TestClient;
use latchkey_tests::control_plane::{
    Contents, ControlPlane, auth_client_crd, istio_crds, service_monitor_crd,
};
use latchkey_tests::forged_tokens::{Forged, claim};
use latchkey_tests::process::{run_with_input, temporary_folder};
use latchkey_tests::proxies::{EchoApplication, Proxy};
use latchkey_tests::{chart, documentation, key_set, wait};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::verifiers::prepared;

/// The fenced YAML below a heading of a page.
pub fn documented(page: &str, heading: &str) -> String {
    let page = documentation::read(page);
    let section = documentation::section(&page, heading);
    section.split_once("```yaml\n").unwrap().1.split_once("```").unwrap().0.to_owned()
}

/// Envoy, from a package of PyPI.
pub fn envoy() -> PathBuf {
    let library = prepared("python").join("lib");
    let python = fs::read_dir(&library).unwrap().flatten().next().unwrap().path();
    python.join("site-packages/envoy/_bin/envoy")
}

/// Settings of Envoy with the addresses of the server and of the application.
pub fn with_addresses(settings: &str, app: &App, application: &EchoApplication) -> String {
    let mut text = settings.to_owned();
    for (placeholder, authority) in [
        ("latchkey.auth.svc, port_value: 8080", app.server().authority()),
        ("app.example.svc, port_value: 3000", &application.authority()),
    ] {
        assert!(text.contains(placeholder), "{placeholder} is not in the documented settings");
        let port = authority.strip_prefix("127.0.0.1:").unwrap();
        text = text.replace(placeholder, &format!("127.0.0.1, port_value: {port}"));
    }
    text
}

#[track_caller]
fn assert_refused(why: &str, answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{why}: {answer:?}");
    assert!(!answer.body.contains("headers"), "{why}: the application responded: {answer:?}");
}

#[tokio::test]
async fn envoy_verifies_access_tokens() {
    let client = TestClient::new("shop.orders", &["orders:read", "orders:write"])
        .with("audiences", json!(["https://api.example.com", "https://other.example.com"]));
    let setup =
        App::setup().set("ISSUER_URL", "https://auth.example.com").clients(std::slice::from_ref(&client));
    let app = setup.start().await;
    let application = EchoApplication::start().await;
    let settings = documented("docs/how-to/verify-at-a-gateway.md", "## Envoy");
    let envoy = Proxy::envoy(&envoy(), &with_addresses(&settings, &app, &application)).await;
    let get = || Client::new().get(format!("{}/orders", envoy.url));
    let issue = async |form: &[(&str, &str)]| {
        let answer = client.token_response(&app, form).await.ok(200);
        answer["access_token"].as_str().unwrap().to_owned()
    };
    let token = issue(&[]).await;
    let forge = |request: RequestBuilder| {
        let request =
            request.header("X-Client-Id", "admin").header("x-scopes", "admin").header("X_Client_Id", "admin");
        request.bearer_auth(&token)
    };

    // Envoy listens before it has the keys.
    wait::until("Envoy to accept the token", async || {
        let answer = forge(get()).answer().await;
        wait::check(answer.status == 200, answer)
    })
    .await;
    let seen = forge(get()).answer().await.json();
    assert_eq!(seen["headers"]["x-client-id"], json!(["shop.orders"]), "{seen}");
    assert_eq!(seen["headers"]["x-scopes"], json!(["orders:read orders:write"]), "{seen}");
    for absent in ["authorization", "x_client_id"] {
        assert_eq!(seen["headers"].get(absent), None, "{seen}");
    }

    assert_refused("no token", &get().answer().await, 401);
    let bearer = async |token: &str| get().bearer_auth(token).answer().await;
    assert_refused("nonsense", &bearer("nonsense").await, 401);
    let other = issue(&[("resource", "https://other.example.com")]).await;
    assert_refused("another audience", &bearer(&other).await, 403);
    let forged = Forged::from_token(&token);
    let foreign = forged.clone().sign(&key_set::generate("ES256"));
    assert_refused("another's key", &bearer(&foreign).await, 401);
    let own = key_set::of_this_process();
    let issued = claim(&token, "iat").as_i64().unwrap();
    let expired = forged.clone().claim("exp", issued - 600).sign(own);
    assert_refused("expired", &bearer(&expired).await, 401);
    assert_refused("another scope", &bearer(&issue(&[("scope", "orders:write")]).await).await, 403);
    let longer = forged.clone().claim("scope", "xorders:read orders:reader").sign(own);
    assert_refused("a scope that contains the name", &bearer(&longer).await, 403);
    let refresh = forged.header("typ", "rt+jwt").sign(own);
    assert_refused("a refresh token", &bearer(&refresh).await, 403);
}

/// The configuration of the other page with these filters before the router.
fn with_filters(settings: &str, mut filters: Value) -> String {
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let router = json!({"name": "envoy.filters.http.router", "typed_config": {"@type": router}});
    filters.as_array_mut().expect("a list of filters").push(router);
    let (before, rest) = settings.split_once("http_filters:\n").unwrap();
    let (_, after) = rest.split_once("  clusters:\n").unwrap();
    // JSON is valid in YAML.
    format!("{before}http_filters: {filters}\n  clusters:\n{after}")
}

#[tokio::test]
async fn envoy_verifies_access_tokens_with_the_keys_in_a_file() {
    let client = TestClient::new("shop", &["orders:read"])
        .with("audiences", json!(["https://orders.example.com", "https://other.example.com"]));
    let setup = App::setup().set("ISSUER_URL", "https://auth.example.com");
    let app = setup.clients(std::slice::from_ref(&client)).start().await;
    let folder = temporary_folder("jwks-");
    let keys = folder.path().join("jwks.json");
    fs::write(&keys, app.get(path::JWKS).answer().await.body).unwrap();
    let filters = documented("docs/how-to/verify-tokens-offline.md", "### Envoy");
    let mounted = "/etc/latchkey-jwks/jwks.json";
    assert!(filters.contains(mounted), "{filters}");
    let filters = chart::parse(&filters.replace(mounted, keys.to_str().unwrap())).swap_remove(0);
    let application = EchoApplication::start().await;
    let settings = documented("docs/how-to/verify-at-a-gateway.md", "## Envoy");
    let settings = with_addresses(&settings, &app, &application);
    let settings = with_filters(&settings, filters["http_filters"].clone());
    let envoy = Proxy::envoy(&envoy(), &settings).await;
    let get = || Client::new().get(format!("{}/orders", envoy.url));
    let bearer = async |token: &str| get().bearer_auth(token).answer().await;
    let issue = async |form: &[(&str, &str)]| {
        let answer = client.token_response(&app, form).await.ok(200);
        answer["access_token"].as_str().unwrap().to_owned()
    };

    let token = issue(&[]).await;
    let seen = bearer(&token).await.ok(200);
    assert!(seen["line"].as_str().unwrap().starts_with("GET /orders "), "{seen}");
    assert_refused("no token", &get().answer().await, 401);
    let other = issue(&[("resource", "https://other.example.com")]).await;
    assert_refused("another audience", &bearer(&other).await, 403);
    let forged = Forged::from_token(&token);
    let own = key_set::of_this_process();
    let foreign = forged.clone().sign(&key_set::generate("ES256"));
    assert_refused("another's key", &bearer(&foreign).await, 401);
    let elsewhere = forged.clone().claim("iss", "https://other.example.com").sign(own);
    assert_refused("another issuer", &bearer(&elsewhere).await, 401);
    let issued = claim(&token, "iat").as_i64().unwrap();
    let expired = forged.clone().claim("exp", issued - 600).sign(own);
    assert_refused("expired", &bearer(&expired).await, 401);
    let refresh = forged.header("typ", "rt+jwt").sign(own);
    assert_refused("a refresh token", &bearer(&refresh).await, 403);
}

/// The schemas are those of the API server, which refuses unknown fields.
#[tokio::test]
async fn the_objects_of_other_projects_follow_their_schemas() {
    let folder = temporary_folder("crds-");
    let mut crds = vec![service_monitor_crd(), auth_client_crd()];
    let text = fs::read_to_string(istio_crds()).unwrap();
    for crd in chart::parse(&text) {
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap();
        if ["AuthorizationPolicy", "RequestAuthentication"].contains(&kind) {
            let file = folder.path().join(format!("{kind}.yaml"));
            fs::write(&file, crd.to_string()).unwrap();
            crds.push(file);
        }
    }
    assert_eq!(crds.len(), 4);
    let control_plane = ControlPlane::start(Contents { crds: &crds, controllers: &[] }).await;
    let apply = |objects: &str| {
        let mut kubectl = control_plane.program("kubectl");
        kubectl.args(["apply", "--server-side", "--validate=strict", "-f", "-"]);
        run_with_input(&mut kubectl, objects)
    };
    for (page, heading) in [
        ("docs/how-to/verify-at-a-gateway.md", "## Istio"),
        ("docs/how-to/verify-tokens-offline.md", "### Istio"),
        ("docs/how-to/authenticate-applications.md", "### With the Prometheus Operator"),
        ("docs/how-to/authenticate-to-kubernetes.md", "## Register the clients"),
    ] {
        let objects = documented(page, heading);
        let output = apply(&objects);
        assert!(output.status.success(), "{heading}: {}", String::from_utf8_lossy(&output.stderr));
        let mut misspelt: Value = chart::parse(&objects).swap_remove(0);
        misspelt["spec"]["unknown"] = json!([]);
        assert!(!apply(&misspelt.to_string()).status.success(), "{heading}: an unknown field was accepted");
    }
}

/// The keys and the issuer in the samples are those of the metadata.
#[tokio::test]
async fn the_documented_addresses_are_those_of_the_metadata() {
    let app = App::setup().set("ISSUER_URL", "https://auth.example.com").start().await;
    let metadata = app.get(path::METADATA).answer().await.ok(200);
    let objects = chart::parse(&documented("docs/how-to/verify-at-a-gateway.md", "## Istio"));
    let rule = &objects[0]["spec"]["jwtRules"][0];
    assert_eq!((&rule["issuer"], &rule["jwksUri"]), (&metadata["issuer"], &metadata["jwks_uri"]));
}
