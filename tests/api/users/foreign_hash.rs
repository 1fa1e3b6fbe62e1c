//! Accounts that come with the password hash of another system.

use futures::future::join_all;
use latchkey_tests::app::App;

use super::named;

const PASSWORD: &str = "correct horse";
/// What made it, a name and the hash of [`PASSWORD`] on each line; see the README beside it.
const FIXTURES: &str = include_str!("fixtures/foreign_hashes.tsv");
/// Made by Devise with [`PEPPER`].
const PEPPERED: &str = "$2a$04$IIrFVYisP.bxEcikiaArhejgZxP8s0b2ErJ9MqNNgLDR/HUFjWhAy";
const PEPPER: &str = "a-pepper-of-the-old-application";

fn hashes() -> Vec<&'static str> {
    FIXTURES.lines().map(|line| line.splitn(3, '\t').nth(2).unwrap()).collect()
}

const STORED: &str = "SELECT password_hash FROM users WHERE username = $1";

async fn bring(app: &App, name: &str, hash: &str) {
    let mut body = named(name);
    body["password_hash"] = hash.into();
    let made = app.post_user(&body).await;
    made.ok(201);
    assert!(!made.body.contains(hash), "a hash is never shown");
}

#[tokio::test]
async fn verify_at_login_and_are_then_replaced_by_ours() {
    let app = App::setup().set("RATE_LIMITS_ENABLED", "false").start().await;
    let hashes = hashes();
    assert!(hashes.len() > 100);
    for (number, hash) in hashes.into_iter().enumerate() {
        let name = format!("moved-{number}");
        bring(&app, &name, hash).await;
        let brought = app.database.text(STORED, &name).await;
        app.post_login(&name, "correct horsf").await.problem(401);
        assert_eq!(app.database.text(STORED, &name).await, brought, "a failed login changes nothing");

        app.log_in_as(&name, PASSWORD).await;

        let ours = app.database.text(STORED, &name).await;
        assert!(ours.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}: {ours}");
        app.log_in_as(&name, PASSWORD).await;
        app.post_login(&name, "correct horsf").await.problem(401);
        assert_eq!(app.database.text(STORED, &name).await, ours);
    }
}

#[tokio::test]
async fn a_digest_that_is_computed_fast_is_never_stored_as_it_was_brought() {
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
        bring(&app, &name, hash).await;
        let stored = app.database.text(STORED, &name).await;
        assert!(stored.contains("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(!stored.contains(&hash[hash.len() - 16..]), "{stored}");
        app.log_in_as(&name, PASSWORD).await;
    }
}

#[tokio::test]
async fn what_is_no_hash_is_refused_with_a_sentence_and_without_the_hash() {
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
async fn a_pepper_of_the_old_system_is_a_setting() {
    let mut app = App::start().await;
    bring(&app, "peppered", PEPPERED).await;
    bring(&app, "plain", hashes()[0]).await;
    app.post_login("peppered", PASSWORD).await.problem(401);
    app.variables.insert("IMPORTED_PASSWORD_PEPPER".to_owned(), PEPPER.to_owned());
    app.restart(0).await;
    app.post_login("peppered", "correct horsf").await.problem(401);
    app.log_in_as("peppered", PASSWORD).await;
    app.log_in_as("plain", PASSWORD).await;
    // Once the hash is replaced, nothing depends on the pepper any more.
    app.variables.remove("IMPORTED_PASSWORD_PEPPER");
    app.restart(0).await;
    app.log_in_as("peppered", PASSWORD).await;
}

#[tokio::test]
async fn concurrent_first_logins_all_succeed() {
    let app = App::setup().replicas(2).start().await;
    bring(&app, "popular", hashes()[0]).await;
    let logins = (0..8).map(|number| {
        let form = [("username", "popular"), ("password", PASSWORD)];
        app.servers[number % 2].post(latchkey_tests::app::path::LOGIN).form(&form).send()
    });
    for answer in join_all(logins).await {
        assert_eq!(answer.unwrap().status(), 200);
    }
}
