//! A setting that forbids something applies to every endpoint with which it could be done.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Setup, path, superuser_password};
use latchkey_tests::logs::SECRET_MARK;
use latchkey_tests::smtp::Smtp;
use serde_json::{Value, json};

const BCRYPT: &str = "$2b$05$Qju3B.C7G10c5ShdNUCusOQGD0rWNmh9XrLOOXaVLWzMBOaCtzl0m";
const ARGON2: &str =
    "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$nrUJ4yhNdIQTNeSXdzLz6G3WzO4kXdtOFpgFMB3c2Lc";

fn named(name: &str, more: &Value) -> Value {
    let mut body = json!({ "username": name, "email": format!("{name}@example.test"), "name": "John Doe" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn send(app: &App, method: &str, target: &str, body: &Value) -> Answer {
    let superuser = &app.superuser().await.access;
    app.server().request(method, target).bearer_auth(superuser).json(body).answer().await
}

#[tokio::test]
async fn a_setting_forbids_administrators_passwords_and_hashes() {
    let app = App::setup().mail(Smtp::Plain).set("ADMIN_PASSWORDS_ENABLED", "false").start().await;
    let password = format!("{SECRET_MARK} of a guest");
    for (given, fields) in [
        (json!({ "password": password }), &["password"][..]),
        (json!({ "password_hash": BCRYPT }), &["password_hash"]),
        (json!({ "password_hash": ARGON2 }), &["password_hash"]),
        (json!({ "password_hash": BCRYPT, "is_superuser": true }), &["password_hash"]),
        // An invalid value is refused for this reason too.
        (json!({ "password_hash": "5f4dcc3b5aa765d61d8327deb882cf99" }), &["password_hash"]),
        (json!({ "password": "short" }), &["password"]),
        (json!({ "password": password, "password_hash": BCRYPT }), &["password", "password_hash"]),
    ] {
        let answer = app.post_user(&named("guest", &given)).await;
        assert_eq!(answer.invalid_fields(), fields, "{given}");
        for error in answer.json()["errors"].as_array().unwrap() {
            assert!(error["message"].as_str().unwrap().contains("owner"), "{given}: {error}");
        }
    }
    assert_eq!(app.database.count("SELECT count(*) FROM users WHERE username = $1", "guest").await, 0);

    let made = app.post_user(&named("guest", &json!({}))).await.ok(201);
    let account = format!("{}/{}", path::USERS, made["id"]);
    for field in ["password", "password_hash", "new_password", "current_password", "passwordHash"] {
        let answer = send(&app, "PATCH", &account, &json!({ field: BCRYPT })).await;
        assert_eq!(answer.invalid_fields(), ["body"], "{field}");
    }
    for below in ["password", "password-hash"] {
        for method in ["PUT", "POST", "PATCH"] {
            let target = format!("{account}/{below}");
            send(&app, method, &target, &json!({ "password": password })).await.problem(404);
        }
    }
    let hash = "SELECT count(*) FROM users WHERE username = $1 AND password_hash IS NOT NULL";
    assert_eq!(app.database.count(hash, "guest").await, 0);

    // The link is mailed to the owner, and no response to an administrator contains it.
    let reset = send(&app, "POST", &format!("{account}/password-reset"), &json!({})).await;
    let mails = app.mail().wait_for("guest@example.test", 2).await;
    for mail in &mails {
        assert!(!reset.body.contains(&*mail.token()), "{}", reset.body);
    }
}

#[tokio::test]
async fn by_default_an_administrator_may_set_a_hash() {
    let app = App::start().await;
    app.post_user(&named("hashed", &json!({ "password_hash": BCRYPT }))).await.ok(201);
    let both = json!({ "password": "correct horse battery", "password_hash": BCRYPT });
    assert_eq!(app.post_user(&named("both", &both)).await.invalid_fields(), ["password_hash"]);
}

fn registration(domains: &str) -> Setup {
    App::setup()
        .mail(Smtp::Plain)
        .set("REGISTRATION_ENABLED", "true")
        .set("REGISTRATION_EMAIL_DOMAINS", domains)
        .set("RATE_LIMITS_ENABLED", "false")
}

#[tokio::test]
async fn addresses_cannot_change_to_a_domain_that_may_not_register() {
    let app = registration("example.test").start().await;
    let (user, session) = app.new_session("inside").await;
    for outside in [
        "a@elsewhere.test",
        "a@sub.example.test",
        "a@notexample.test",
        "a@example.test.elsewhere.test",
        "example.test@elsewhere.test",
        "\"a@example.test\"@elsewhere.test",
        "a@example.test.",
    ] {
        let body = json!({
            "username": "outsider", "email": outside, "name": "O", "password": user.password,
        });
        let answer = app.post(path::REGISTER).json(&body).answer().await;
        assert_eq!(answer.invalid_fields(), ["email"], "{outside}");
        let change = json!({ "email": outside, "password": user.password });
        let answer = app.post(path::MY_EMAIL).bearer_auth(&session.access).json(&change).answer().await;
        assert_eq!(answer.invalid_fields(), ["email"], "{outside}");
    }
    let change = json!({ "email": "b@EXAMPLE.test", "password": user.password });
    let answer = app.post(path::MY_EMAIL).bearer_auth(&session.access).json(&change).answer().await;
    assert!(answer.status < 300, "{answer:?}");
}

#[tokio::test]
async fn disabled_features_refuse_every_request() {
    let app = App::start().await;
    let (user, session) = app.new_session("plain").await;
    let me = session.access.as_str();
    let delete = |body: Value| app.server().request("DELETE", path::ME).bearer_auth(me).json(&body).answer();
    let register =
        json!({ "username": "x", "email": "x@example.test", "name": "X", "password": user.password });
    for (what, answer, status) in [
        ("registration", app.post(path::REGISTER).json(&register).answer().await, 403),
        (
            "registration with a bearer",
            app.post(path::REGISTER).bearer_auth(me).json(&register).answer().await,
            403,
        ),
        ("registration of nonsense", app.post(path::REGISTER).body("nonsense").answer().await, 403),
        ("deletion", delete(json!({ "password": user.password })).await, 403),
        ("deletion of nonsense", delete(json!("nonsense")).await, 403),
        ("recovery", app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await, 503),
        (
            "verification again",
            app.post(path::RESEND_VERIFICATION).json(&json!({ "email": user.email })).answer().await,
            503,
        ),
        (
            "another address",
            app.post(path::MY_EMAIL)
                .bearer_auth(me)
                .json(&json!({ "email": "n@example.test", "password": user.password }))
                .answer()
                .await,
            503,
        ),
        ("an invitation", app.post_user(&named("guest", &json!({}))).await, 503),
        (
            "a reset",
            send(&app, "POST", &format!("{}/{}/password-reset", path::USERS, user.id), &json!({})).await,
            503,
        ),
    ] {
        assert_eq!(answer.status, status, "{what}: {answer:?}");
    }
    app.me(me).await.ok(200);
}

#[tokio::test]
async fn an_account_with_an_unverified_address_cannot_log_in() {
    let app = registration("").start().await;
    let password = superuser_password();
    let body = json!({ "username": "new", "email": "new@example.test", "name": "N", "password": password });
    app.post(path::REGISTER).json(&body).answer().await.ok(202);
    for name in ["new", "NEW", "new@example.test", "New@Example.Test"] {
        app.post_login(name, &password).await.problem(403);
        let form = [("username", name), ("password", &password)];
        app.post(path::TOKEN).form(&form).answer().await.problem(400);
        let form = [("grant_type", "password"), ("username", name), ("password", &password)];
        app.post(path::TOKEN).form(&form).answer().await.problem(400);
    }
    let sessions = "SELECT count(*) FROM sessions JOIN users ON users.id = user_id WHERE username = $1";
    assert_eq!(app.database.count(sessions, "new").await, 0);
}
