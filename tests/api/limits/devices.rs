//! Failed logins of others do not lock out a device that has logged in before.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, User, path};
use latchkey_tests::smtp::Smtp;

use super::{guess, guess_until_refused, start};

const COOKIE: &str = "latchkey_device";

/// `latchkey_device=…`, as in the `Cookie` header of a browser.
fn device_of(answer: &Answer) -> String {
    answer.ok(200);
    answer.cookie_named(COOKIE).expect("a device cookie")[0].clone()
}

async fn log_in_with(app: &App, cookie: &str, name: &str, password: &str) -> Answer {
    let form = [("username", name), ("password", password)];
    app.post(path::LOGIN).header("cookie", cookie).form(&form).answer().await
}

/// Guesses passwords for both names of an account until its logins are limited.
async fn exhaust_limits(app: &App, user: &User) {
    for name in [&user.username, &user.email] {
        guess_until_refused(app.server(), name).await;
    }
}

#[tokio::test]
async fn a_login_sets_a_device_cookie_that_scripts_cannot_read() {
    let app = start(App::setup()).await;
    let user = app.create_user("kept").await;
    let answer = app.post_login(&user.username, &user.password).await;
    let cookie = answer.cookie_named(COOKIE).unwrap();
    assert_eq!(cookie[1..], ["HttpOnly", "Max-Age=31536000", "Path=/api/v1/auth", "SameSite=Lax", "Secure"]);
    let (_, token) = cookie[0].split_once('=').unwrap();
    assert_eq!(token.len(), 43);
    let dump = "SELECT string_agg(d::text, ' ') FROM devices d WHERE user_id = (SELECT id FROM users WHERE username = $1)";
    let stored = app.database.text(dump, &user.username).await;
    assert!(!stored.is_empty() && !stored.contains(token), "{stored}");
    // A refused login does not set it.
    assert!(!guess(app.server(), &user.username).await.sets_cookie());
}

#[tokio::test]
async fn a_known_device_keeps_its_cookie() {
    let app = start(App::setup()).await;
    let user = app.create_user("twice").await;
    let device = device_of(&app.post_login(&user.username, &user.password).await);
    let cookies = format!("theme=dark; {device}; refresh_token=x");

    let again = log_in_with(&app, &cookies, &user.email.to_uppercase(), &user.password).await;

    again.ok(200);
    assert_eq!(again.cookie_named(COOKIE), None);
    assert!(again.cookie_named("refresh_token").is_some());
    let count =
        "SELECT count(*)::text FROM devices WHERE user_id = (SELECT id FROM users WHERE username = $1)";
    assert_eq!(app.database.text(count, &user.username).await, "1");
}

#[tokio::test]
async fn a_known_device_logs_in_while_the_account_is_limited() {
    let app = start(App::setup().set("RATE_LIMIT_PER_NETWORK", "30")).await;
    let user = app.create_user("besieged").await;
    let device = device_of(&app.post_login(&user.username, &user.password).await);
    exhaust_limits(&app, &user).await;
    app.post_login(&user.username, &user.password).await.problem(429);

    for name in [&user.username, &user.email] {
        log_in_with(&app, &device, name, &user.password).await.ok(200);
    }
    let form = [("username", user.username.as_str()), ("password", user.password.as_str())];
    app.post(path::TOKEN).header("cookie", &device).form(&form).answer().await.ok(200);
}

#[tokio::test]
async fn a_known_device_has_its_own_limit() {
    let app = start(App::setup()).await;
    let user = app.create_user("lost.phone").await;
    let device = device_of(&app.post_login(&user.username, &user.password).await);
    let mut guesses = 0;
    // Both names share one limit.
    while log_in_with(&app, &device, [&user.username, &user.email][guesses % 2], "wrong").await.status == 401
    {
        guesses += 1;
        assert!(guesses < 100);
    }
    assert_eq!(guesses, 10);
    assert!(app.server().metric("latchkey_rate_limited_total", &["login", "device"]).await > 0.0);
    // Other devices have their own limit.
    app.post_login(&user.username, &user.password).await.ok(200);
}

#[tokio::test]
async fn a_device_is_known_only_to_its_last_account() {
    let app = start(App::setup()).await;
    let (owner, other) = (app.create_user("owner").await, app.create_user("other").await);
    let device = device_of(&app.post_login(&other.username, &other.password).await);
    exhaust_limits(&app, &owner).await;

    log_in_with(&app, &device, &owner.username, &owner.password).await.problem(429);

    // The next login with this device makes it a device of that account.
    let third = app.create_user("third").await;
    let new = device_of(&log_in_with(&app, &device, &third.username, &third.password).await);
    assert_ne!(new, device);
}

#[tokio::test]
async fn an_invalid_device_cookie_is_ignored() {
    let app = start(App::setup()).await;
    let user = app.create_user("forged").await;
    exhaust_limits(&app, &user).await;
    for value in ["", "x", &"A".repeat(43), &"A".repeat(5000), "=;=;", "\"quoted\""] {
        let cookie = format!("{COOKIE}={value}");
        log_in_with(&app, &cookie, &user.username, &user.password).await.problem(429);
    }
}

#[tokio::test]
async fn a_device_expires_after_a_year() {
    let app = start(App::setup()).await;
    let user = app.create_user("attic").await;
    let device = device_of(&app.post_login(&user.username, &user.password).await);
    let sql = "UPDATE devices SET created_at = now() - interval '366 days' WHERE user_id = (SELECT id FROM users WHERE username = $1)";
    assert_eq!(app.database.execute_for(sql, &user.username).await, 1);
    exhaust_limits(&app, &user).await;
    log_in_with(&app, &device, &user.username, &user.password).await.problem(429);
}

#[tokio::test]
async fn a_program_that_keeps_its_cookie_comes_in_while_others_guess() {
    let app = start(App::setup()).await;
    let user = app.create_user("robot").await;
    let form = [("username", user.username.as_str()), ("password", user.password.as_str())];
    let first = app.post(path::TOKEN).form(&form).answer().await;
    let members: Vec<String> = first.ok(200).as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["access_token", "expires_in", "token_type"]);
    let cookie = first.cookie_named(COOKIE).unwrap();
    assert_eq!(cookie[1..], ["HttpOnly", "Max-Age=31536000", "Path=/api/v1/auth", "SameSite=Lax", "Secure"]);
    exhaust_limits(&app, &user).await;
    app.post(path::TOKEN).form(&form).answer().await.problem(429);

    let again = app.post(path::TOKEN).header("cookie", &cookie[0]).form(&form).answer().await;

    again.ok(200);
    assert_eq!(again.cookie_named(COOKIE), None);
    let refused = [("username", user.username.as_str()), ("password", "wrong")];
    let wrong = app.post(path::TOKEN).header("cookie", &cookie[0]).form(&refused).answer().await;
    assert_eq!((wrong.status, wrong.cookie_named(COOKIE)), (400, None));
}

#[tokio::test]
async fn programs_that_discard_their_cookies_displace_no_browser() {
    let app = App::setup().set("RATE_LIMITS_ENABLED", "false").start().await;
    let user = app.create_user("shared").await;
    let browser = device_of(&app.post_login(&user.username, &user.password).await);
    let programs = "INSERT INTO devices (token_hash, user_id, is_program)
        SELECT sha256(n::text::bytea), id, true FROM users, generate_series(1, 300) AS n WHERE username = $1";
    assert_eq!(app.database.execute_for(programs, &user.username).await, 300);
    let form = [("username", user.username.as_str()), ("password", user.password.as_str())];
    app.post(path::TOKEN).form(&form).answer().await.ok(200);

    let count = "SELECT count(*) FROM devices WHERE user_id = (SELECT id FROM users WHERE username = $1)";
    assert_eq!(app.database.count(count, &user.username).await, 101);
    let again = log_in_with(&app, &browser, &user.username, &user.password).await;
    again.ok(200);
    assert_eq!(again.cookie_named(COOKIE), None);
}

/// An owner without a device whom guesses keep out: the link proves that it is the owner.
#[tokio::test]
async fn an_owner_who_sets_a_password_by_mail_comes_in_while_others_guess() {
    let app = start(App::setup().mail(Smtp::Plain)).await;
    for (name, page) in [("by.api", false), ("by.page", true)] {
        let user = app.create_user(name).await;
        exhaust_limits(&app, &user).await;
        app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
        let token = app.mail().wait_for(&user.email, 1).await.remove(0).token();
        let new = "another good pass phrase";
        let reset = if page {
            app.post("/reset-password")
                .form(&[("token", token.as_str()), ("new_password", new)])
                .answer()
                .await
        } else {
            let body = serde_json::json!({ "token": token, "new_password": new });
            app.post(path::RESET).json(&body).answer().await
        };
        assert_eq!(reset.status, 200, "{reset:?}");
        let cookie = reset.cookie_named(COOKIE).unwrap_or_else(|| panic!("no device: {name}"));
        assert_eq!(
            cookie[1..],
            ["HttpOnly", "Max-Age=31536000", "Path=/api/v1/auth", "SameSite=Lax", "Secure"]
        );

        app.post_login(&user.username, new).await.problem(429);
        log_in_with(&app, &cookie[0], &user.username, new).await.ok(200);
        log_in_with(&app, &cookie[0], &user.email, new).await.ok(200);
    }
}
