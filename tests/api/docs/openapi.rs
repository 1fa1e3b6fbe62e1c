//! The OpenAPI document that the server serves.

use std::collections::BTreeSet;

use latchkey_tests::answer::Answered;
use latchkey_tests::app::App;
use latchkey_tests::server::{Variables, run_command};
use serde_json::Value;

async fn document(app: &App) -> Value {
    let answer = app.get("/openapi.json").answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn the_served_document_is_the_printed_one() {
    let app = App::start().await;
    let printed = run_command(&["openapi"], &Variables::new());
    assert_eq!(document(&app).await, serde_json::from_slice::<Value>(&printed.stdout).unwrap());
}

#[tokio::test]
async fn every_endpoint_is_documented_and_exists() {
    let app = App::start().await;
    let document = document(&app).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let operations: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone()))
        })
        .collect();
    for (method, path) in [
        ("post", "/api/v1/auth/login"),
        ("post", "/api/v1/auth/token"),
        ("post", "/api/v1/auth/refresh"),
        ("get", "/api/v1/auth/me"),
        ("post", "/api/v1/auth/password-recovery/{email}"),
        ("post", "/api/v1/auth/reset-password"),
        ("post", "/api/v1/auth/logout"),
        ("get", "/api/v1/auth/verify"),
        ("post", "/api/v1/auth/introspect"),
        ("post", "/api/v1/auth/revoke"),
        ("post", "/api/v1/auth/register"),
        ("post", "/api/v1/auth/verify-email"),
        ("post", "/api/v1/auth/verify-email/resend"),
        ("patch", "/api/v1/auth/me"),
        ("delete", "/api/v1/auth/me"),
        ("get", "/api/v1/auth/me/preferences"),
        ("post", "/api/v1/auth/me/password"),
        ("post", "/api/v1/auth/me/email"),
        ("post", "/api/v1/auth/confirm-email"),
        ("get", "/api/v1/auth/sessions"),
        ("delete", "/api/v1/auth/sessions/{id}"),
        ("post", "/api/v1/auth/logout-all"),
        ("post", "/api/v1/users"),
        ("get", "/.well-known/oauth-authorization-server"),
        ("get", "/api/v1/users"),
        ("get", "/api/v1/users/{id}"),
        ("patch", "/api/v1/users/{id}"),
        ("delete", "/api/v1/users/{id}"),
        ("delete", "/api/v1/users/{id}/sessions"),
        ("post", "/api/v1/users/{id}/password-reset"),
        ("get", "/api/v1/users/{id}/groups"),
        ("get", "/api/v1/groups"),
        ("post", "/api/v1/groups"),
        ("get", "/api/v1/groups/{name}"),
        ("patch", "/api/v1/groups/{name}"),
        ("delete", "/api/v1/groups/{name}"),
        ("get", "/api/v1/groups/{name}/members"),
        ("put", "/api/v1/groups/{name}/members/{id}"),
        ("delete", "/api/v1/groups/{name}/members/{id}"),
        ("get", "/api/v1/audit"),
        ("get", "/.well-known/jwks.json"),
    ] {
        assert!(
            operations.contains(&(method.to_owned(), path.to_owned())),
            "{method} {path}: {operations:?}"
        );
    }
    for (method, path) in &operations {
        let answer = app
            .server()
            .request(
                &method.to_uppercase(),
                &path.replace("{email}", "a@b.test").replace("{id}", "1").replace("{name}", "a"),
            )
            .answer();
        let status = answer.await.status;
        assert!(
            ![404, 405].contains(&status),
            "{method} {path} is in the document, but the response is {status}"
        );
    }
}

#[tokio::test]
async fn the_authorize_button_uses_the_token_endpoint() {
    let app = App::start().await;
    let document = document(&app).await;
    let schemes = document["components"]["securitySchemes"].as_object().expect("security schemes");
    let password_flow =
        schemes.values().find(|scheme| scheme["type"] == "oauth2").expect("an OAuth 2 scheme");
    assert_eq!(password_flow["flows"]["password"]["tokenUrl"], "/api/v1/auth/token");
    assert!(document["paths"]["/api/v1/auth/me"]["get"]["security"].is_array(), "me requires a token");
}

#[tokio::test]
async fn every_operation_has_a_summary_and_its_problems() {
    let app = App::start().await;
    let document = document(&app).await;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            let responses = operation["responses"].as_object().expect("responses");
            for (status, response) in responses {
                if status.starts_with(['4', '5']) {
                    let kinds: Vec<_> = response["content"].as_object().expect("a content").keys().collect();
                    let is_oauth = ["/token", "/introspect", "/revoke"].iter().any(|end| path.ends_with(end));
                    let expected = if is_oauth { "application/json" } else { "application/problem+json" };
                    assert_eq!(kinds, [expected], "{method} {path} {status}");
                }
            }
        }
    }
    assert!(document["paths"]["/api/v1/users"]["post"]["responses"]["409"].is_object());
    assert!(document["paths"]["/api/v1/auth/me"]["get"]["responses"]["401"].is_object());
}
