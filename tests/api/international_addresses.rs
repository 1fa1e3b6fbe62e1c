//! International domains in addresses (RFC 5891): one account whatever the spelling, and Unicode where people read.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use latchkey_tests::smtp::Smtp;
use serde_json::json;

use crate::auth::register::{body, open, password, register, verify};

const UNICODE: &str = "John@bücher.example";
const CANONICAL: &str = "John@xn--bcher-kva.example";

#[tokio::test]
async fn an_account_is_the_same_in_every_spelling_of_its_domain() {
    let app = open().start().await;
    register(&app, &body("john", UNICODE)).await.ok(202);
    let mail = app.mail().wait_for(CANONICAL, 1).await.remove(0);
    verify(&app, &mail.token()).await.ok(200);

    for spelling in
        [UNICODE, "john@BÜCHER.example", "john@bu\u{308}cher.EXAMPLE", "john@XN--bcher-kva.example"]
    {
        let session = app.log_in_as(spelling, &password()).await;
        assert_eq!(app.me(&session.access).await.ok(200)["email"], CANONICAL, "{spelling}");
    }
    // The second spelling belongs to the same account: its owner is told, and no account is made.
    register(&app, &body("jane", CANONICAL)).await.ok(202);
    app.mail().wait_for(CANONICAL, 2).await;
    assert_eq!(app.database.count("SELECT count(*) FROM users WHERE email ILIKE $1", "%bcher%").await, 1);
    // So do recovery and the search of an administrator.
    app.post(&format!("{}/john@b%C3%BCcher.example", path::RECOVERY)).answer().await.ok(200);
    app.mail().wait_for(CANONICAL, 3).await;
    let superuser = &app.superuser().await.access;
    let found = app.get(&format!("{}?search=john@b%C3%BCcher.example", path::USERS)).bearer_auth(superuser);
    assert_eq!(found.answer().await.ok(200)["users"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_conflict_is_found_in_every_spelling() {
    let app = App::start().await;
    let user = |name: &str, email: &str| json!({ "username": name, "email": email, "name": "J", "password": password() });
    app.post_user(&user("one", UNICODE)).await.ok(201);
    app.post_user(&user("two", CANONICAL)).await.problem(409);
    app.post_user(&user("three", "john@bÜcher.example")).await.problem(409);
}

#[tokio::test]
async fn attempts_in_different_spellings_are_counted_together() {
    let app = App::setup().set("RATE_LIMIT_PER_ACCOUNT", "4").start().await;
    let answers = [
        "john@bücher.example",
        "john@BÜCHER.example",
        "john@b\u{ad}ücher.example",
        "john@xn--bcher-kva.example",
    ];
    let mut statuses = Vec::new();
    for name in answers {
        statuses.push(app.post_login(name, "wrong").await.status);
    }
    assert_eq!(statuses, [401, 401, 429, 429]);
}

#[tokio::test]
async fn people_see_unicode_and_mail_servers_see_ascii() {
    let app =
        App::setup().mail(Smtp::Plain).set("EMAILS_FROM_EMAIL", "no-reply@Bücher.example").start().await;
    let (user, session) = app.new_session("moving").await;
    let change = json!({ "password": user.password, "email": "moved@例え.テスト" });
    let answer = app.post(path::MY_EMAIL).bearer_auth(&session.access).json(&change).answer().await;
    answer.ok(202);

    let notice = app.mail().wait_for(&user.email, 1).await.remove(0);
    assert!(notice.text().contains("moved@例え.テスト"), "{}", notice.text());
    assert_eq!(notice.message["From"]["Address"], "no-reply@xn--bcher-kva.example");
    let confirm = app.mail().wait_for("moved@xn--r8jz45g.xn--zckzah", 1).await.remove(0);
    let page = app.get(&format!("{}?{}", confirm.link().path(), confirm.link().query().unwrap()));
    let page = page.answer().await;
    assert!(page.body.contains("moved@例え.テスト"), "{}", page.body);
}

#[tokio::test]
async fn a_local_part_outside_ascii_is_refused_with_a_clear_sentence() {
    let app = open().start().await;
    let answer = register(&app, &body("john", "jöhn@example.test")).await;
    assert_eq!(answer.invalid_fields(), ["email"]);
    assert!(answer.body.contains("before the @"), "{}", answer.body);
    assert_eq!(register(&app, &body("john", "john@xn--a.test")).await.invalid_fields(), ["email"]);
}
