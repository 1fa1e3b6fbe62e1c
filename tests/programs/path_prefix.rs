//! An issuer with a path behind the proxies of docs/how-to/expose-the-service.md, word for word, which remove the path or
//! pass it on.

use std::fs;

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use latchkey_tests::programs::workspace;
use latchkey_tests::proxies::Proxy;
use reqwest::{Client, RequestBuilder, redirect};
use serde_json::{Value, json};

/// The fenced blocks of this language in the documentation.
fn documented(language: &str) -> Vec<String> {
    let text = fs::read_to_string(workspace().join("docs/how-to/expose-the-service.md")).unwrap();
    let fence = format!("```{language}\n");
    let fenced = text.split(&fence).skip(1);
    fenced.map(|rest| rest.split_once("```").expect("its end").0.to_owned()).collect()
}

struct Case {
    app: App,
    proxy: Proxy,
}

impl Case {
    async fn start(language: &str, which: usize) -> Self {
        let app = App::setup().set("ISSUER_URL", "https://app.example.com/auth").start().await;
        let settings = documented(language).swap_remove(which);
        assert!(settings.contains("latchkey.auth.svc:8080"), "{settings}");
        let settings = settings.replace("latchkey.auth.svc:8080", app.server().authority());
        let proxy = match language {
            "nginx" => Proxy::nginx(&settings).await,
            _ => Proxy::caddy(&settings).await,
        };
        Self { app, proxy }
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let client = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
        client.request(method.parse().unwrap(), format!("{}{path}", self.proxy.url))
    }
}

/// RFC 6265 §5.1.4
fn is_sent_to(cookie: &[String], request_path: &str) -> bool {
    let path = cookie.iter().find_map(|attribute| attribute.strip_prefix("Path=")).unwrap();
    request_path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

async fn serves_below_the_path(language: &str, which: usize) {
    let case = Case::start(language, which).await;
    let user = case.app.create_user("prefixed").await;
    let below = |path: &str| format!("/auth{path}");

    let form = [("username", &user.username), ("password", &user.password)];
    let login = case.request("POST", &below(path::LOGIN)).form(&form).answer().await;
    let body = login.ok(200);
    let token = |body: &Value, kind: &str| body[kind]["token"].as_str().unwrap().to_owned();
    for name in ["refresh_token", "latchkey_device"] {
        let cookie = login.cookie_named(name).unwrap();
        for path in [path::LOGIN, path::REFRESH, path::LOGOUT] {
            assert!(is_sent_to(&cookie, &below(path)), "{cookie:?}");
        }
    }
    let refresh = case.request("POST", &below(path::REFRESH)).bearer_auth(token(&body, "access_token"));
    let refreshed = refresh.json(&json!({ "token": token(&body, "refresh_token") })).answer().await;
    let access = token(&refreshed.ok(200), "access_token");
    assert_eq!(refreshed.cookie()[1..], login.cookie()[1..]);
    case.request("GET", &below(path::ME)).bearer_auth(&access).answer().await.ok(200);
    let verify = below(&format!("{}/orders", path::VERIFY));
    assert_eq!(case.request("PUT", &verify).bearer_auth(&access).answer().await.status, 200);

    let metadata = case.request("GET", &below(path::METADATA)).answer().await.ok(200);
    let address = |name: &str| {
        metadata[name].as_str().unwrap().strip_prefix("https://app.example.com").unwrap().to_owned()
    };
    assert!(case.request("GET", &address("jwks_uri")).answer().await.ok(200)["keys"].is_array());
    let grant = case.request("POST", &address("token_endpoint")).form(&form).answer().await;
    assert_eq!(grant.ok(200)["token_type"], "bearer");
    // RFC 8414 §3.1: behind the well-known path of the host.
    let by_host = case.request("GET", &format!("{}/auth", path::METADATA)).answer().await;
    assert_eq!(by_host.ok(200), metadata);

    let docs = case.request("GET", "/auth/docs").answer().await;
    assert_eq!(docs.header("location"), Some("/auth/docs/"), "{docs:?}");
    assert_eq!(case.request("GET", "/auth/docs/").answer().await.status, 200);
    assert_eq!(case.request("GET", "/auth/docs/../openapi.json").answer().await.status, 200);
    let page = case.request("GET", "/auth/reset-password?token=x").answer().await;
    assert_eq!(page.status, 410, "{page:?}");

    let logout = case.request("POST", &below(path::LOGOUT)).bearer_auth(&access).answer().await;
    logout.ok(200);
    assert!(is_sent_to(&logout.cookie(), &below(path::LOGIN)));
    case.request("GET", &below(path::ME)).bearer_auth(&access).answer().await.problem(401);
}

#[tokio::test]
async fn nginx_that_passes_the_path_on() {
    serves_below_the_path("nginx", 0).await;
}

#[tokio::test]
async fn nginx_that_removes_the_path() {
    serves_below_the_path("nginx", 1).await;
}

#[tokio::test]
async fn caddy_that_passes_the_path_on() {
    serves_below_the_path("caddyfile", 0).await;
}

#[tokio::test]
async fn caddy_that_removes_the_path() {
    serves_below_the_path("caddyfile", 1).await;
}
