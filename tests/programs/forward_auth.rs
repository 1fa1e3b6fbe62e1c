//! Runs real proxies with the settings of docs/how-to/forward-authentication.md, word for word.

use std::fs;

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Session, User, path};
use latchkey_tests::chart;
use latchkey_tests::clients_file::TestClient;
use latchkey_tests::programs::workspace;
use latchkey_tests::proxies::{EchoApplication, Proxy};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::gateways;
use crate::verifiers::prepared;

const PAGE: &str = "docs/how-to/forward-authentication.md";

/// An application behind a proxy that authenticates requests at Latchkey.
struct Case {
    app: App,
    proxy: Proxy,
    _application: EchoApplication,
    user: User,
    session: Session,
    client: TestClient,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nginx,
    Caddy,
    HaProxy,
    Envoy,
    Traefik,
}

/// The first fenced block of this language in the documentation.
pub fn documented(language: &str) -> String {
    let text = fs::read_to_string(workspace().join(PAGE)).unwrap();
    let fenced = text.split_once(&format!("```{language}\n")).expect("a fenced block").1;
    fenced.split_once("```").expect("the end of the block").0.to_owned()
}

/// Documented settings with the addresses of the server and of the application.
fn with_addresses(settings: &str, app: &App, application: &EchoApplication) -> String {
    let (server, application) = (app.server().authority(), application.authority());
    let text =
        settings.replace("latchkey.auth.svc:8080", server).replace("app.example.svc:3000", &application);
    assert_ne!(text, settings, "the documented settings have other addresses");
    text
}

impl Case {
    async fn start(kind: Kind) -> Self {
        let client = TestClient::new("orders", &["orders:read", "orders:write"]);
        let app = App::setup().own_postgres().clients(std::slice::from_ref(&client)).start().await;
        let application = EchoApplication::start().await;
        let settings = |language: &str| with_addresses(&documented(language), &app, &application);
        let proxy = match kind {
            Kind::Nginx => Proxy::nginx(&settings("nginx")).await,
            Kind::Caddy => Proxy::caddy(&settings("caddyfile")).await,
            Kind::HaProxy => Proxy::haproxy(&settings("haproxy"), &settings("lua")).await,
            Kind::Envoy => {
                let settings = gateways::documented(PAGE, "## Envoy");
                let settings = gateways::with_addresses(&settings, &app, &application);
                Proxy::envoy(&gateways::envoy(), &settings).await
            }
            Kind::Traefik => {
                let settings = with_addresses(&gateways::documented(PAGE, "## Traefik"), &app, &application);
                let middlewares = chart::parse(&settings);
                let program = prepared("python").join("bin/traefik");
                Proxy::traefik(&program, &middlewares, &application.authority()).await
            }
        };
        let (user, session) = app.new_session("anna").await;
        Self { app, proxy, _application: application, user, session, client }
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        Client::new().request(method.parse().unwrap(), format!("{}{path}", self.proxy.url))
    }

    fn get(&self) -> RequestBuilder {
        self.request("GET", "/")
    }
}

/// Asserts that the application received the request with these headers, as Latchkey reported them. An empty header says
/// nothing; nginx and Caddy do not forward it.
#[track_caller]
fn assert_headers(answer: &Answer, expected: &Value) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = answer.json();
    let identity: Value = seen["headers"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, value)| name.replace('_', "-").starts_with("x-auth-") && **value != json!([""]))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    assert_eq!(identity, *expected);
    assert_eq!(seen["headers"].get("authorization"), None, "the application received the token");
    seen
}

#[track_caller]
fn assert_admitted(answer: &Answer, user: &User) -> Value {
    assert_headers(
        answer,
        &json!({
            "x-auth-user-id": [user.id.to_string()],
            "x-auth-username": [user.username],
            "x-auth-email": [user.email],
            "x-auth-superuser": ["false"],
            "x-auth-client-id": ["latchkey"],
        }),
    )
}

#[track_caller]
fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, 401, "{answer:?}");
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("Bearer"), "{challenge}");
    assert!(!answer.body.contains("headers"), "the application responded: {answer:?}");
}

async fn a_logged_in_user_is_admitted(kind: Kind) {
    let case = Case::start(kind).await;
    let bearer = case.get().bearer_auth(&case.session.access).answer().await;
    assert_admitted(&bearer, &case.user);
    let cookie = case.get().header("cookie", format!("a=b; access_token={}", case.session.access));
    assert_admitted(&cookie.answer().await, &case.user);
    for (method, path) in [("POST", "/orders?page=2"), ("DELETE", "/a/b"), ("PUT", "/")] {
        let request = case.request(method, path).bearer_auth(&case.session.access);
        let seen = assert_admitted(&request.body("a body").answer().await, &case.user);
        assert_eq!(seen["line"].as_str().unwrap().split(' ').take(2).collect::<Vec<_>>(), [method, path]);
    }

    assert_refused(&case.get().answer().await);
    assert_refused(&case.request("POST", "/orders").body("a body").answer().await);
    assert_refused(&case.get().bearer_auth("nonsense").answer().await);
    assert_refused(&case.get().bearer_auth(&case.session.refresh).answer().await);
    let refresh = case.get().header("cookie", format!("refresh_token={}", case.session.refresh));
    assert_refused(&refresh.answer().await);

    case.app.log_out(&case.session).await.ok(200);
    assert_refused(&case.get().bearer_auth(&case.session.access).answer().await);
}

async fn a_forged_user_header_does_not_reach_the_application(kind: Kind) {
    let case = Case::start(kind).await;
    let forge = |mut request: RequestBuilder| {
        for name in [
            "X-Auth-User-Id",
            "x-auth-username",
            "X-AUTH-EMAIL",
            "X-Auth-Superuser",
            "X-Auth-User-Id",
            "X-Auth-Client-Id",
            "X-Auth-Scopes",
            "X-Auth-Groups",
        ] {
            request = request.header(name, "1").header(name.replace('-', "_"), "1");
        }
        // nginx, Envoy and Traefik only remove the headers that they set, the others all with this prefix; other ones
        // have no meaning.
        let all = matches!(kind, Kind::Caddy | Kind::HaProxy);
        if all { request.header("X-Auth-Other", "1") } else { request }
    };
    assert_admitted(&forge(case.get().bearer_auth(&case.session.access)).answer().await, &case.user);
    // Most headers of a client's token are empty.
    let token = case.client.token(&case.app).await;
    assert_headers(&forge(case.get().bearer_auth(token)).answer().await, &of_the_client());
    assert_refused(&forge(case.get()).answer().await);
}

fn of_the_client() -> Value {
    json!({
        "x-auth-superuser": ["false"],
        "x-auth-client-id": ["orders"],
        "x-auth-scopes": ["orders:read orders:write"],
    })
}

async fn a_client_is_admitted_with_its_scopes(kind: Kind) {
    let case = Case::start(kind).await;
    let token = case.client.token(&case.app).await;
    assert_headers(&case.get().bearer_auth(&token).answer().await, &of_the_client());
    case.app.register(&[]).await;
    assert_refused(&case.get().bearer_auth(&token).answer().await);
}

async fn the_groups_of_a_person_reach_the_application(kind: Kind) {
    let case = Case::start(kind).await;
    let shop = TestClient::new("shop", &["groups"]).with("grant_types", json!(["password"]));
    case.app.register(std::slice::from_ref(&shop)).await;
    let superuser = &case.app.superuser().await.access;
    for (name, in_path) in [("/shop/admins", "%2Fshop%2Fadmins"), ("staff", "staff")] {
        let body = json!({ "name": name });
        case.app.post(path::GROUPS).bearer_auth(superuser).json(&body).answer().await.ok(201);
        let member = format!("{}/{in_path}/members/{}", path::GROUPS, case.user.id);
        let answer = case.app.server().request("PUT", &member).bearer_auth(superuser).answer().await;
        assert!([201, 204].contains(&answer.status), "{answer:?}");
    }
    let form = [("username", case.user.username.as_str()), ("password", case.user.password.as_str())];
    let request = case.app.post(path::TOKEN).basic_auth("shop", Some(&shop.secret)).form(&form);
    let token = request.answer().await.ok(200)["access_token"].as_str().unwrap().to_owned();
    assert_headers(
        &case.get().bearer_auth(token).answer().await,
        &json!({
            "x-auth-user-id": [case.user.id.to_string()],
            "x-auth-username": [case.user.username],
            "x-auth-email": [case.user.email],
            "x-auth-superuser": ["false"],
            "x-auth-client-id": ["shop"],
            "x-auth-scopes": ["groups"],
            "x-auth-groups": ["/shop/admins,staff"],
        }),
    );
}

async fn every_request_is_refused_while_latchkey_is_unavailable(kind: Kind) {
    let mut case = Case::start(kind).await;
    case.app.postgres.as_mut().unwrap().stop();
    // Without its database, and then without Latchkey.
    let expected = match kind {
        Kind::Nginx => [500, 500],
        Kind::Caddy => [503, 502],
        Kind::HaProxy | Kind::Envoy => [503, 503],
        Kind::Traefik => [503, 500],
    };
    let answer = case.get().bearer_auth(&case.session.access).answer().await;
    assert_eq!(answer.status, expected[0], "{answer:?}");
    case.app.servers[0].kill();
    let answer = case.get().bearer_auth(&case.session.access).answer().await;
    assert_eq!(answer.status, expected[1], "{answer:?}");
}

macro_rules! for_each_proxy {
    ($($property:ident),+ $(,)?) => {
        mod nginx {
            $(#[tokio::test]
            async fn $property() {
                super::$property(super::Kind::Nginx).await;
            })+
        }
        mod caddy {
            $(#[tokio::test]
            async fn $property() {
                super::$property(super::Kind::Caddy).await;
            })+
        }
        mod haproxy {
            $(#[tokio::test]
            async fn $property() {
                super::$property(super::Kind::HaProxy).await;
            })+
        }
        mod envoy {
            $(#[tokio::test]
            async fn $property() {
                super::$property(super::Kind::Envoy).await;
            })+
        }
        mod traefik {
            $(#[tokio::test]
            async fn $property() {
                super::$property(super::Kind::Traefik).await;
            })+
        }
    };
}

for_each_proxy!(
    a_logged_in_user_is_admitted,
    a_client_is_admitted_with_its_scopes,
    the_groups_of_a_person_reach_the_application,
    a_forged_user_header_does_not_reach_the_application,
    every_request_is_refused_while_latchkey_is_unavailable,
);

/// HAProxy continues after an error of a program in Lua.
#[tokio::test]
async fn haproxy_refuses_a_request_when_its_program_fails() {
    let application = EchoApplication::start().await;
    // Its response to the verification has no header with the user.
    let lua = documented("lua").replace("latchkey.auth.svc:8080", &application.authority());
    let settings = documented("haproxy").replace("app.example.svc:3000", &application.authority());
    let proxy = Proxy::haproxy(&settings, &lua).await;
    let answer = Client::new().get(&proxy.url).bearer_auth("any").answer().await;
    assert_eq!(answer.status, 503, "{answer:?}");
}
