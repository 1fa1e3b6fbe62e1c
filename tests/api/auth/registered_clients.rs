//! `POST /api/v1/auth/token` for a person, with the id of a registered client.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Session, User, path};
use latchkey_tests::clients_file::TestClient;
use latchkey_tests::forged_tokens::claim;
use serde_json::json;

const WRONG: &str = "NeverLogged, and wrong";

fn confidential() -> TestClient {
    TestClient::new("shop", &["orders:read"]).with("grant_types", json!(["password", "refresh_token"]))
}

fn public() -> TestClient {
    TestClient::new("mobile", &[])
        .with("type", "public")
        .with("grant_types", json!(["password", "refresh_token"]))
        .with("credentials", json!([]))
}

async fn post(app: &App, form: &[(&str, &str)]) -> Answer {
    app.post(path::TOKEN).form(form).answer().await
}

fn password<'a>(user: &'a User, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("grant_type", "password"), ("username", &*user.username), ("password", &*user.password)][..], more]
        .concat()
}

fn refresh<'a>(token: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("grant_type", "refresh_token"), ("refresh_token", token)][..], more].concat()
}

#[track_caller]
fn assert_error(answer: &Answer, status: u16, error: &str) {
    assert_eq!(answer.problem(status)["error"], error);
}

#[tokio::test]
async fn a_confidential_client_must_authenticate() {
    let client = confidential();
    let app =
        App::setup().clients(std::slice::from_ref(&client)).set("RATE_LIMITS_ENABLED", "false").start().await;
    let user = app.create_user("anna").await;
    let secret = client.secret.as_str();
    let form = password(&user, &[]);

    let in_header = app.post(path::TOKEN).basic_auth("shop", Some(secret)).form(&form).answer().await;
    let in_form = post(&app, &password(&user, &[("client_id", "shop"), ("client_secret", secret)])).await;
    for answer in [in_header, in_form] {
        let token = answer.ok(200)["access_token"].as_str().unwrap().to_owned();
        assert_eq!(claim(&token, "client_id"), "shop");
        // It is the person's, not the client's.
        assert_eq!((claim(&token, "sub"), claim(&token, "cred")), (json!(user.id.to_string()), json!(null)));
        assert_eq!(app.me(&token).await.ok(200)["username"], user.username);
        let verified = app.get(path::VERIFY).bearer_auth(&token).answer().await;
        assert_eq!(verified.header("x-auth-client-id"), Some("shop"));
        // All scopes of the client, because none was requested.
        assert_eq!(verified.header("x-auth-scopes"), Some("orders:read"));
    }

    for more in [
        vec![("client_id", "shop")],
        vec![("client_id", "shop"), ("client_secret", "")],
        vec![("client_id", "shop"), ("client_secret", WRONG)],
    ] {
        assert_error(&post(&app, &password(&user, &more)).await, 401, "invalid_client");
        assert_error(&post(&app, &refresh("nonsense", &more)).await, 401, "invalid_client");
    }
    for (id, secret) in [("shop", ""), ("shop", WRONG), ("sho%70", WRONG)] {
        let answer = app.post(path::TOKEN).basic_auth(id, Some(secret)).form(&form).answer().await;
        assert_error(&answer, 401, "invalid_client");
    }
    let twice = password(&user, &[("client_secret", secret)]);
    let answer = app.post(path::TOKEN).basic_auth("shop", Some(secret)).form(&twice).answer().await;
    assert_error(&answer, 422, "invalid_request");
}

#[tokio::test]
async fn a_client_may_only_use_its_grants() {
    let reader = confidential().with("grant_types", json!(["client_credentials"]));
    let refreshing = public().with("grant_types", json!(["refresh_token"]));
    let app = App::setup().clients(&[reader.clone(), refreshing]).start().await;
    let (user, session) = app.new_session("anna").await;
    let shop = [("client_id", "shop"), ("client_secret", reader.secret.as_str())];
    assert_error(&post(&app, &password(&user, &shop)).await, 400, "unauthorized_client");
    assert_error(&post(&app, &refresh(&session.refresh, &shop)).await, 400, "unauthorized_client");
    let mobile = [("client_id", "mobile")];
    assert_error(&post(&app, &password(&user, &mobile)).await, 400, "unauthorized_client");
    post(&app, &refresh(&session.refresh, &mobile)).await.ok(200);
}

#[tokio::test]
async fn a_refresh_token_of_a_confidential_client_is_of_no_use_without_it() {
    let (shop, mobile) = (confidential(), public());
    let app = App::setup().clients(&[shop.clone(), mobile]).start().await;
    let as_shop = [("client_id", "shop"), ("client_secret", shop.secret.as_str())];
    let tokens = |answer: Answer| {
        let body = answer.ok(200);
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        Session { access: text("access_token"), refresh: text("refresh_token") }
    };
    let (_, session) = app.new_session("anna").await;
    let bound = tokens(post(&app, &refresh(&session.refresh, &as_shop)).await);

    // RFC 6749 §6
    assert_error(&post(&app, &refresh(&bound.refresh, &[])).await, 400, "invalid_grant");
    assert_error(
        &post(&app, &refresh(&bound.refresh, &[("client_id", "mobile")])).await,
        400,
        "invalid_grant",
    );
    assert_error(
        &post(&app, &refresh(&bound.refresh, &[("client_id", "other")])).await,
        400,
        "invalid_grant",
    );
    app.refresh(&bound).await.problem(401);
    let again = tokens(post(&app, &refresh(&bound.refresh, &as_shop)).await);
    assert_eq!(claim(&again.access, "client_id"), "shop");

    // A public client has nothing to authenticate with.
    let (_, session) = app.new_session("berta").await;
    let bound = tokens(post(&app, &refresh(&session.refresh, &[("client_id", "mobile")])).await);
    let next = tokens(post(&app, &refresh(&bound.refresh, &[])).await);
    assert_eq!(claim(&next.access, "client_id"), "mobile");
    app.refresh(&next).await.ok(200);
}

#[tokio::test]
async fn other_names_are_not_authenticated_as_before() {
    let shop = confidential();
    let app = App::setup().clients(std::slice::from_ref(&shop)).start().await;
    let user = app.create_user("anna").await;
    for name in ["web", "Shop", "shop ", "my app"] {
        let form = password(&user, &[("client_id", name), ("client_secret", "ignored")]);
        let token = post(&app, &form).await.ok(200)["access_token"].as_str().unwrap().to_owned();
        assert_eq!(claim(&token, "client_id"), name);
        // Spaces would be removed from the header, and make a registered client of it.
        let verified = app.get(path::VERIFY).bearer_auth(&token).answer().await;
        let expected = if name.contains(' ') { "" } else { name };
        assert_eq!(verified.header("x-auth-client-id"), Some(expected));
    }
    // What Swagger UI sends without a client, and what a proxy may add.
    for (id, secret) in [("", ""), ("proxy", "its password")] {
        let request = app.post(path::TOKEN).basic_auth(id, Some(secret)).form(&password(&user, &[]));
        request.answer().await.ok(200);
    }
}
