//! Accounts with a password hash of another system.

use futures::future::join_all;
use latchkey_tests::answer::{Answered, admitted};
use latchkey_tests::app::App;

use super::named;

const PASSWORD: &str = "correct horse";
/// On each line the program, a name and a hash of [`PASSWORD`]; see `fixtures/README.md`.
const FIXTURES: &str = include_str!("fixtures/foreign_hashes.tsv");
/// A hash of [`PASSWORD`] by Devise with [`PEPPER`].
const PEPPERED: &str = "$2a$04$IIrFVYisP.bxEcikiaArhejgZxP8s0b2ErJ9MqNNgLDR/HUFjWhAy";
const PEPPER: &str = "a-pepper-of-the-old-application";

fn hashes() -> Vec<&'static str> {
    FIXTURES.lines().map(|line| line.splitn(3, '\t').nth(2).unwrap()).collect()
}

const STORED: &str = "SELECT password_hash FROM users WHERE username = $1";

async fn create_with_hash(app: &App, name: &str, hash: &str) {
    let mut body = named(name);
    body["password_hash"] = hash.into();
    let made = app.post_user(&body).await;
    made.ok(201);
    assert!(!made.body.contains(hash), "the response contains the hash");
}

#[tokio::test]
async fn a_foreign_hash_is_verified_at_login_and_then_replaced() {
    let app = App::setup().set("RATE_LIMITS_ENABLED", "false").start().await;
    let hashes = hashes();
    assert!(hashes.len() > 100);
    for (number, hash) in hashes.into_iter().enumerate() {
        let name = format!("moved-{number}");
        create_with_hash(&app, &name, hash).await;
        let before = app.database.text(STORED, &name).await;
        app.post_login(&name, "correct horsf").await.problem(401);
        assert_eq!(app.database.text(STORED, &name).await, before, "a failed login changes nothing");

        app.log_in_as(&name, PASSWORD).await;

        let ours = app.database.text(STORED, &name).await;
        assert!(ours.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}: {ours}");
        app.log_in_as(&name, PASSWORD).await;
        app.post_login(&name, "correct horsf").await.problem(401);
        assert_eq!(app.database.text(STORED, &name).await, ours);
    }
}

#[tokio::test]
async fn a_fast_digest_is_stored_only_below_argon2id() {
    let app = App::start().await;
    for (number, hash) in [
        "{SSHA}8lN+8WXHTh3yNA6OWouQv0FBn7So1XrP",
        "md5$$3cb4e732631f47e6eb961f34554b7cde",
        "$P$BnYoe.7qrxBNuEdhq.qYYNMVSkMumR1",
        "$1$aEYPJouP$6cR7Fwb7T54bx3mruFYft0",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("weak-{number}");
        create_with_hash(&app, &name, hash).await;
        let stored = app.database.text(STORED, &name).await;
        assert!(stored.contains("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(!stored.contains(&hash[hash.len() - 16..]), "{stored}");
        app.log_in_as(&name, PASSWORD).await;
    }
}

#[tokio::test]
async fn an_invalid_hash_is_refused_and_not_repeated() {
    let app = App::start().await;
    for (hash, reason) in [
        ("{noop}NeverLogged", "clear text"),
        ("5f4dcc3b5aa765d61d8327deb882cf99", "supported"),
        ("{SSHA}NeverLogged", "malformed"),
        ("scrypt:1073741824:8:1$salt$0123456789abcdef0123456789abcdef", "expensive"),
        ("$6$rounds=999999999$NeverLogged$x", "expensive"),
    ] {
        let mut body = named("refused");
        body["password_hash"] = hash.into();
        let refused = app.post_user(&body).await;
        let errors = refused.problem(422)["errors"].to_string();
        assert!(errors.contains(reason), "{hash}: {errors}");
        assert!(!refused.body.contains("NeverLogged"), "{}", refused.body);
    }
}

#[tokio::test]
async fn a_pepper_is_a_setting() {
    let mut app = App::start().await;
    create_with_hash(&app, "peppered", PEPPERED).await;
    create_with_hash(&app, "plain", hashes()[0]).await;
    app.post_login("peppered", PASSWORD).await.problem(401);
    app.variables.insert("IMPORTED_PASSWORD_PEPPER".to_owned(), PEPPER.to_owned());
    app.restart(0).await;
    app.post_login("peppered", "correct horsf").await.problem(401);
    app.log_in_as("peppered", PASSWORD).await;
    app.log_in_as("plain", PASSWORD).await;
    // The new hash does not depend on the pepper.
    app.variables.remove("IMPORTED_PASSWORD_PEPPER");
    app.restart(0).await;
    app.log_in_as("peppered", PASSWORD).await;
}

#[tokio::test]
async fn concurrent_first_logins_all_succeed() {
    let app = App::setup().replicas(2).start().await;
    create_with_hash(&app, "popular", hashes()[0]).await;
    let logins = (0..8).map(|number| {
        let server = &app.servers[number % 2];
        admitted(move || {
            let form = [("username", "popular"), ("password", PASSWORD)];
            server.post(latchkey_tests::app::path::LOGIN).form(&form).answer()
        })
    });
    for answer in join_all(logins).await {
        answer.ok(200);
    }
}
