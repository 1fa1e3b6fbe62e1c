//! Requests for known and for unknown accounts take the same time (OWASP ASVS 5.0 §6.3.8): a difference of a tenth of
//! a password hash is detected. Each endpoint has a test; `comparison.rs` explains the comparison.
//!
//! `overload.rs` occupies every core and measures the responses meanwhile. It is here because these tests run alone.

mod comparison;
mod overload;

use comparison::Comparison;
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, Setup, User, path};
use latchkey_tests::smtp::Smtp;
use serde_json::json;

/// Rate limits that count attempts but are never reached.
fn setup() -> Setup {
    App::setup().set("RATE_LIMIT_PER_ACCOUNT", "1000000").set("RATE_LIMIT_PER_NETWORK", "1000000")
}

async fn log_in(app: &App, endpoint: &str, name: &str, password: &str) {
    let form = [("username", name), ("password", password)];
    // A wrong password is a refused grant at the token endpoint (RFC 6749 §5.2).
    let refused = if endpoint == path::TOKEN { 400 } else { 401 };
    let answer = app.post(endpoint).form(&form).answer().await;
    assert_eq!(answer.status, refused, "{answer:?}");
}

/// Sends one wrong password, which takes a hash and little else.
async fn one_hash(app: &App, user: &User) {
    log_in(app, path::LOGIN, &user.username, "not the password").await;
}

/// Compares two requests that each verify one password before the response.
async fn assert_same_login(app: &App, what: &str, known: impl AsyncFn(u64), unknown: impl AsyncFn(u64)) {
    let user = app.create_user("yardstick").await;
    Comparison { what, server: app.server(), completes_before_response: true }
        .assert_same(async || one_hash(app, &user).await, known, unknown)
        .await;
}

#[tokio::test]
async fn an_unknown_name_takes_as_long_as_a_wrong_password() {
    let app = setup().start().await;
    let user = app.create_user("timed").await;
    for endpoint in [path::LOGIN, path::TOKEN] {
        assert_same_login(
            &app,
            endpoint,
            async |_| log_in(&app, endpoint, &user.username, "not the password").await,
            async |number| log_in(&app, endpoint, &format!("nobody-{number}"), "not the password").await,
        )
        .await;
    }
}

#[tokio::test]
async fn an_unknown_address_takes_as_long_as_a_wrong_password() {
    let app = setup().start().await;
    let user = app.create_user("timed").await;
    let unknown = |number| format!("nobody-{number}@example.test");
    assert_same_login(
        &app,
        "login by address",
        async |_| log_in(&app, path::LOGIN, &user.email, "not the password").await,
        async |number| log_in(&app, path::LOGIN, &unknown(number), "not the password").await,
    )
    .await;
}

#[tokio::test]
async fn a_password_that_is_too_long_takes_as_long_for_an_unknown_name() {
    let app = setup().start().await;
    let user = app.create_user("timed").await;
    let long = "x".repeat(20_000);
    assert_same_login(
        &app,
        "login with a long password",
        async |_| log_in(&app, path::LOGIN, &user.username, &long).await,
        async |number| log_in(&app, path::LOGIN, &format!("nobody-{number}"), &long).await,
    )
    .await;
}

#[tokio::test]
async fn recovery_takes_as_long_for_an_unknown_address() {
    // The test requests more e-mails to one address than the limit.
    let app = App::setup().mail(Smtp::Plain).set("RATE_LIMITS_ENABLED", "false").start().await;
    let user = app.create_user("timed").await;
    let recover = async |address: String| {
        app.post(&format!("{}/{address}", path::RECOVERY)).answer().await.ok(200);
    };
    // The e-mail is written after the response.
    Comparison { what: path::RECOVERY, server: app.server(), completes_before_response: false }
        .assert_same(
            async || one_hash(&app, &user).await,
            async |_| recover(user.email.clone()).await,
            async |number| recover(format!("nobody-{number}@example.test")).await,
        )
        .await;
}

#[tokio::test]
async fn registration_takes_as_long_for_a_taken_address() {
    let app = App::setup()
        .mail(Smtp::Plain)
        .set("REGISTRATION_ENABLED", "true")
        .set("RATE_LIMITS_ENABLED", "false")
        .start()
        .await;
    let owner = app.create_user("owner").await;
    let register = async |username: String, email: &str| {
        let body = json!({
            "username": username, "email": email, "name": "Timed", "password": "NeverLogged and never common",
        });
        app.post(path::REGISTER).json(&body).answer().await.ok(202);
    };
    Comparison { what: path::REGISTER, server: app.server(), completes_before_response: false }
        .assert_same(
            async || one_hash(&app, &owner).await,
            async |number| register(format!("taken-{number}"), &owner.email).await,
            async |number| register(format!("free-{number}"), &format!("free-{number}@example.test")).await,
        )
        .await;
}
