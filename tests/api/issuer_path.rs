//! An issuer with a path, behind a proxy that removes the path and behind one that does not.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, SUPERUSER, path, superuser_password};
use latchkey_tests::smtp::Smtp;
use serde_json::json;

const ISSUER: &str = "https://example.test/tenants/one";
const PREFIX: &str = "/tenants/one";
/// What a proxy sends that removes the path, and what one sends that does not.
const FORMS: [&str; 2] = ["", PREFIX];

async fn below() -> App {
    App::setup().set("ISSUER_URL", ISSUER).start().await
}

#[tokio::test]
async fn cookies_have_the_path_that_the_browser_requests() {
    let app = below().await;
    let user = app.create_user("cookies").await;
    for prefix in FORMS {
        let form = [("username", &user.username), ("password", &user.password)];
        let login = app.post(&format!("{prefix}{}", path::LOGIN)).form(&form).answer().await;
        let body = login.ok(200);
        let access = body["access_token"]["token"].as_str().unwrap();
        let refresh = json!({ "token": body["refresh_token"]["token"] });
        let refreshed = app.post(&format!("{prefix}{}", path::REFRESH)).bearer_auth(access).json(&refresh);
        let refreshed = refreshed.answer().await;
        refreshed.ok(200);
        let logout = app.post(&format!("{prefix}{}", path::LOGOUT)).bearer_auth(access).answer().await;
        logout.ok(200);
        for cookie in [
            login.cookie(),
            login.cookie_named("latchkey_device").unwrap(),
            refreshed.cookie(),
            logout.cookie(),
        ] {
            assert_eq!(cookie[1..2], ["HttpOnly"], "{cookie:?}");
            assert!(cookie.contains(&format!("Path={PREFIX}/api/v1/auth")), "{cookie:?}");
        }
    }
}

#[tokio::test]
async fn at_the_root_cookies_have_the_path_of_the_api() {
    for issuer in
        ["https://auth.example.test", "https://auth.example.test/", "https://auth.example.test:8443"]
    {
        let app = App::setup().set("ISSUER_URL", issuer).start().await;
        let cookie = app.post_login(SUPERUSER, &superuser_password()).await.cookie();
        assert!(cookie.contains(&"Path=/api/v1/auth".to_owned()), "{cookie:?}");
    }
}

#[tokio::test]
async fn every_published_address_is_served_in_both_forms() {
    let app = below().await;
    let metadata = app.get(path::METADATA).answer().await.ok(200);
    for prefix in FORMS {
        for name in ["jwks_uri", "service_documentation"] {
            let path = metadata[name].as_str().unwrap().strip_prefix(ISSUER).unwrap();
            let answer = app.get(&format!("{prefix}{path}")).answer().await;
            assert_eq!(answer.status, 200, "{prefix}{path}");
        }
        for name in ["token_endpoint", "introspection_endpoint", "revocation_endpoint"] {
            let path = metadata[name].as_str().unwrap().strip_prefix(ISSUER).unwrap();
            let answer = app.post(&format!("{prefix}{path}")).form(&[("a", "b")]).answer().await;
            assert!([401, 422].contains(&answer.status), "{prefix}{path}: {answer:?}");
            assert!(answer.json()["error"].is_string(), "{answer:?}");
        }
        let own = app.get(&format!("{prefix}{}", path::METADATA)).answer().await;
        assert_eq!(own.ok(200), metadata);
    }
    let created = app.create_user("located").await;
    let body = json!({ "username": "second", "email": "second@example.test", "name": "S", "password": created.password });
    let location = app.post_user(&body).await.header("location").unwrap().to_owned();
    assert!(location.starts_with(&format!("{PREFIX}/api/v1/users/")), "{location}");
    let account = app.get(&location).bearer_auth(&app.superuser().await.access).answer().await;
    assert_eq!(account.ok(200)["username"], "second");
}

#[tokio::test]
async fn swagger_ui_finds_its_document_and_the_document_its_endpoints() {
    let app = below().await;
    for prefix in FORMS {
        let initializer = app.get(&format!("{prefix}/docs/swagger-initializer.js")).answer().await;
        assert_eq!(initializer.status, 200, "{initializer:?}");
        assert!(initializer.body.contains("\"../openapi.json\""), "{}", initializer.body);
        assert!(!initializer.body.contains("\"/openapi.json\""), "{}", initializer.body);
        let document = app.get(&format!("{prefix}/openapi.json")).answer().await.json();
        assert_eq!(document["servers"], json!([{ "url": PREFIX }]));
        let flow = &document["components"]["securitySchemes"]["password"]["flows"]["password"];
        assert_eq!(flow["tokenUrl"], format!("{PREFIX}{}", path::TOKEN));
        // The browser follows it from the address that it knows.
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let answer = client.get(format!("{}{prefix}/docs", app.server().api)).answer().await;
        assert_eq!(answer.header("location"), Some("/tenants/one/docs/"), "{answer:?}");
    }
}

#[tokio::test]
async fn links_and_pages_work_in_both_forms() {
    let app = App::setup().set("ISSUER_URL", ISSUER).mail(Smtp::Plain).start().await;
    let user = app.create_user("linked").await;
    let path = format!("{}/{}", path::RECOVERY, user.email);
    app.post(&path).answer().await.ok(200);
    let mail = app.mail.as_ref().unwrap().wait_for(&user.email, 1).await;
    let text = &mail.last().unwrap().text();
    let link = text.split_whitespace().find(|word| word.starts_with(ISSUER)).unwrap();
    let path = link.strip_prefix(ISSUER).unwrap();
    for prefix in FORMS {
        let page = app.get(&format!("{prefix}{path}")).answer().await;
        assert_eq!(page.status, 200, "{page:?}");
        assert!(page.body.contains("action=\"reset-password\""), "relative to the page: {}", page.body);
    }
}

#[tokio::test]
async fn links_below_another_public_address_work_too() {
    let app = App::setup().set("PUBLIC_URL", "https://www.example.test/account/").start().await;
    for prefix in ["", "/account"] {
        let page = app.get(&format!("{prefix}/verify-email?token=x")).answer().await;
        assert_eq!(page.status, 410, "{page:?}");
    }
    app.get("/other/verify-email?token=x").answer().await.problem(404);
}

#[tokio::test]
async fn forward_authentication_asks_about_any_path_below_it() {
    let app = App::setup().set("ISSUER_URL", "https://example.test/api").start().await;
    let access = &app.superuser().await.access;
    for path in
        ["/api/api/v1/auth/verify", "/api/v1/auth/verify/api/api/v1/users", "/api/v1/auth/verify/api/docs"]
    {
        let answer = app.get(path).bearer_auth(access).answer().await;
        assert_eq!(answer.header("x-auth-username"), Some(SUPERUSER), "{path}: {answer:?}");
        app.get(path).answer().await.problem(401);
    }
    // The issuer's path is the beginning of our own paths.
    for path in ["/api/v1/auth/me", "/api/api/v1/auth/me"] {
        app.get(path).bearer_auth(access).answer().await.ok(200);
    }
}

#[tokio::test]
async fn nothing_else_is_found_below_the_path() {
    let app = below().await;
    for path in ["", "/", "/nowhere", "/tenants/one/docs", "//docs", "/api", "/api/v2/auth/me"] {
        app.get(&format!("{PREFIX}{path}")).answer().await.problem(404);
    }
    for prefix in ["/tenants", "/tenants/one/", "/tenants/two", "/TENANTS/one"] {
        app.get(&format!("{prefix}{}", path::JWKS)).answer().await.problem(404);
    }
    // Limits and headers are the same in both forms.
    let answer = app.get(&format!("{PREFIX}{}", path::ME)).answer().await;
    answer.problem(401);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let large = [("token", "x".repeat(100_000))];
    let answer = app.post(&format!("{PREFIX}{}", path::TOKEN)).form(&large).answer().await;
    assert_eq!(answer.problem(413)["error"], "invalid_request");
}
