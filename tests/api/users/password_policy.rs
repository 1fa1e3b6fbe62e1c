//! The rules for passwords, which are the same at every endpoint.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path, superuser_password};
use latchkey_tests::smtp::Smtp;
use serde_json::{Value, json};

fn account(number: usize, password: &str) -> Value {
    json!({
        "username": format!("Willibald{number}"),
        "email": format!("bald.willi{number}@post.example.test"),
        "name": "Willibald von Gluck",
        "password": password,
    })
}

#[tokio::test]
async fn passwords_of_8_to_256_characters_of_any_kind_are_accepted() {
    let app = App::start().await;
    let longest: String =
        (0..256).filter_map(|number| char::from_u32(0x4e00 + number * 7919 % 20_000)).collect();
    for (number, password) in [
        "qzvkwxjp",
        "ÄÖÜßäöüé",
        "🐎🔋📎🌰🐎🔋📎🌱",
        "x 4 w v 7",
        "what\u{fffd} is a character",
        longest.as_str(),
    ]
    .into_iter()
    .enumerate()
    {
        let made = app.post_user(&account(number, password)).await;
        assert_eq!(made.status, 201, "{password:.20}: {}", made.body);
        app.log_in_as(&format!("willibald{number}"), password).await;
    }
}

#[tokio::test]
async fn shorter_and_longer_passwords_are_refused() {
    let app = App::start().await;
    for password in ["", "qzvkwxj", "🐎🔋📎🌰🐎🔋📎", &"é".repeat(257)] {
        assert_eq!(
            app.post_user(&account(0, password)).await.invalid_fields(),
            ["password"],
            "{password:.20}"
        );
    }
}

#[tokio::test]
async fn common_passwords_are_refused() {
    let app = App::start().await;
    for password in [
        "password",
        "Password",
        "password1",
        "12345678",
        "123456789",
        "1234567890",
        "qwertyuiop",
        "iloveyou",
        "sunshine",
        "princess",
        "football",
        "baseball",
        "superman",
        "trustno1",
        "11111111",
        "abcd1234",
    ] {
        assert_eq!(app.post_user(&account(0, password)).await.invalid_fields(), ["password"], "{password}");
    }
}

#[tokio::test]
async fn a_password_equal_to_a_name_of_the_account_is_refused() {
    let app = App::start().await;
    for password in [
        "Willibald0",
        "willibald0",
        "bald.willi0@post.example.test",
        "BALD.WILLI0@post.example.test",
        "bald.willi0",
        "Willibald von Gluck",
    ] {
        assert_eq!(app.post_user(&account(0, password)).await.invalid_fields(), ["password"], "{password}");
    }
    app.post_user(&account(0, "Willibald0 and more")).await.ok(201);
}

/// Chooses a password at every endpoint, and returns the reason of each refusal; `None` if the password is accepted.
async fn choose_everywhere(app: &App, round: usize, password: &str) -> Vec<(&'static str, Option<String>)> {
    let message = |answer: latchkey_tests::answer::Answer| {
        assert!(answer.status == 422 || answer.status < 300, "{answer:?}");
        (answer.status == 422).then(|| answer.json()["errors"][0]["message"].as_str().unwrap().to_owned())
    };
    let made = app.post_user(&account(round, password)).await;
    let body = json!({
        "username": format!("self{round}"), "email": format!("self{round}@post.example.test"), "name": "S",
        "password": password,
    });
    let registered = app.post(path::REGISTER).json(&body).answer().await;
    let (user, session) = app.new_session("changes").await;
    let change = json!({"current_password": user.password, "new_password": password});
    let changed = app.post(path::MY_PASSWORD).bearer_auth(&session.access).json(&change).answer().await;
    let user = app.create_user("resets").await;
    app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
    let token = app.mail().wait_for(&user.email, 1).await[0].token();
    let page =
        app.post("/reset-password").form(&[("token", &*token), ("new_password", password)]).answer().await;
    assert!([200, 422].contains(&page.status), "{page:?}");
    let shown = (page.status == 422).then(|| page.body.clone());
    let reset = json!({"token": token, "new_password": password});
    let reset =
        if shown.is_some() { message(app.post(path::RESET).json(&reset).answer().await) } else { None };
    vec![
        ("an administrator", message(made)),
        ("registration", message(registered)),
        ("a change", message(changed)),
        ("a reset", reset),
        ("the page", shown),
    ]
}

#[tokio::test]
async fn stricter_settings_apply_to_every_endpoint() {
    let app = App::setup()
        .mail(Smtp::Plain)
        .set("REGISTRATION_ENABLED", "true")
        .set("PASSWORD_MIN_LENGTH", "15")
        .set("PASSWORD_FORBIDDEN_WORDS", "Willibald & Sons, Acme")
        .start()
        .await;
    for (round, (password, words)) in [
        ("qzvkwxjp 14 chr", None),
        ("qzvkwxjp 13 ch", Some("at least 15 characters")),
        ("Willibald & SONS 2026!", Some("easy to guess")),
        ("acmeACME-acme-acme", Some("easy to guess")),
        ("lunch with willibald & sons", None),
    ]
    .into_iter()
    .enumerate()
    {
        for (way, reason) in choose_everywhere(&app, round, password).await {
            match (words, &reason) {
                (None, None) => {}
                (Some(words), Some(reason)) => assert!(reason.contains(words), "{way}, {password}: {reason}"),
                _ => panic!("{way}, {password}: {reason:?}"),
            }
        }
    }
}

#[tokio::test]
async fn the_page_shows_the_minimum_length() {
    let app = App::setup().mail(Smtp::Plain).set("PASSWORD_MIN_LENGTH", "12").start().await;
    let user = app.create_user("reader").await;
    app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
    let link = app.mail().wait_for(&user.email, 1).await[0].link();
    let page = format!("{}?{}", link.path(), link.query().unwrap());
    for (language, hint) in [("en", "At least 12"), ("de", "Mindestens 12"), ("fr", "Au moins 12")] {
        let answer = app.get(&page).header("accept-language", language).answer().await;
        assert!(answer.body.contains(r#"minlength="12""#) && answer.body.contains(hint), "{}", answer.body);
    }
}

#[tokio::test]
async fn existing_passwords_remain_valid_after_the_policy_becomes_stricter() {
    let mut app = App::start().await;
    let user = app.create_user("early").await;
    let longer = superuser_password().chars().count().max(user.password.chars().count()) + 1;
    assert!(longer <= 64);
    app.variables.insert("PASSWORD_MIN_LENGTH".to_owned(), longer.to_string());
    app.restart(0).await;
    app.log_in(&user).await;
    // The password of the first superuser is too short as well.
    let made = app.post_user(&account(0, &user.password)).await;
    assert_eq!(made.invalid_fields(), ["password"]);
}
