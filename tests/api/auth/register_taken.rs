//! `POST /api/v1/auth/register` with a user name or an address that exists: only the e-mail says so.

use futures::future::join_all;
use latchkey_tests::answer::{Answer, Answered, admitted};
use latchkey_tests::app::path;
use serde_json::json;

use super::register::{body, open, password, register, verify};

const USERS: &str = "SELECT count(*) FROM users WHERE lower(username) LIKE $1";

/// Everything in a response that a client can compare.
fn visible(answer: &Answer) -> (u16, String, Vec<String>) {
    let mut headers: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
    headers.sort();
    (answer.status, answer.body.clone(), headers)
}

#[tokio::test]
async fn a_taken_address_gets_the_same_response_and_its_owner_a_notice() {
    let app = open().start().await;
    let (owner, session) = app.new_session("owner").await;
    let free = register(&app, &body("free", "free@example.test")).await;

    let taken = register(&app, &body("intruder", &owner.email.to_uppercase())).await;

    assert_eq!(visible(&taken), visible(&free));
    // Sent to the stored address, not to the given one, which may only look like it.
    let mail = app.mail().wait_for(&owner.email, 1).await.remove(0);
    assert!(!mail.text().contains("token="), "the notice contains a link: {}", mail.text());
    assert_eq!(app.database.count(USERS, "intruder").await, 0);
    app.post_login(&owner.email, &password()).await.problem(401);
    app.post_login(&owner.email, &owner.password).await.ok(200);
    app.me(&session.access).await.ok(200);
}

#[tokio::test]
async fn a_taken_name_gets_the_same_response_and_the_address_a_notice() {
    let app = open().start().await;
    let owner = app.create_user("owner").await;
    let free = register(&app, &body("free", "free@example.test")).await;

    let taken = register(&app, &body(&owner.username.to_uppercase(), "late@example.test")).await;

    assert_eq!(visible(&taken), visible(&free));
    let mail = app.mail().wait_for("late@example.test", 1).await.remove(0);
    assert!(!mail.text().contains("token="), "{}", mail.text());
    assert!(app.mail().mail_to(&owner.email).await.is_empty(), "the owner of the user name gets no e-mail");
    app.post_login("late@example.test", &password()).await.problem(401);
}

#[tokio::test]
async fn one_of_several_concurrent_requests_gets_the_name_or_the_address() {
    // More e-mails to one address than the limit per hour.
    let app = open().set("RATE_LIMITS_ENABLED", "false").start().await;
    let names: Vec<_> = (0..5).map(|n| body("Wanted", &format!("w{n}@example.test"))).collect();
    let addresses: Vec<_> = (0..5).map(|n| body(&format!("shared-{n}"), "Shared@example.test")).collect();

    let answers =
        join_all(names.iter().chain(&addresses).map(|body| admitted(|| register(&app, body)))).await;

    for answer in &answers {
        answer.ok(202);
    }
    assert_eq!(app.database.count(USERS, "wanted").await, 1);
    assert_eq!(app.database.count(USERS, "shared-%").await, 1);
    app.mail().wait_for("Shared@example.test", 5).await;
    for n in 0..5 {
        app.mail().wait_for(&format!("w{n}@example.test"), 1).await;
    }
}

#[tokio::test]
async fn the_owner_of_an_address_can_take_over_an_account_registered_by_another() {
    let app = open().start().await;
    register(&app, &body("squatter", "victim@example.test")).await.ok(202);
    let first = app.mail().wait_for("victim@example.test", 1).await.remove(0);

    // The owner of the address registers later, learns of the account, and takes it over by resetting its password.
    register(&app, &body("victim", "victim@example.test")).await.ok(202);
    app.mail().wait_for("victim@example.test", 2).await;
    app.post(&format!("{}/victim@example.test", path::RECOVERY)).answer().await.ok(200);
    let link = app.mail().wait_for("victim@example.test", 3).await.remove(2);
    let fresh = format!("{} by the owner", password());
    let body = json!({ "token": link.token(), "new_password": fresh });
    app.post(path::RESET).json(&body).answer().await.ok(200);

    app.post_login("squatter", &password()).await.problem(401);
    app.post_login("victim@example.test", &fresh).await.ok(200);
    verify(&app, &first.token()).await.problem(422);
}
