//! Limits of the requests that send e-mail, and of those with a mailed token.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, path};
use latchkey_tests::smtp::Smtp;
use serde_json::json;

use super::start;

async fn recover(app: &App, address: &str) -> Answer {
    app.post(&format!("{}/{address}", path::RECOVERY)).answer().await
}

#[tokio::test]
async fn recoveries_of_known_and_unknown_addresses_have_the_same_limit() {
    let app = start(App::setup().mail(Smtp::Plain)).await;
    let user = app.create_user("flooded").await;
    for address in [user.email.as_str(), "nobody@example.test"] {
        for spelling in [address.to_owned(), address.to_uppercase(), address.to_owned()] {
            recover(&app, &spelling).await.ok(200);
        }
        recover(&app, address).await.problem(429);
    }
    assert!(app.server().metric("latchkey_rate_limited_total", &["recovery", "account"]).await > 0.0);
    assert_eq!(app.mail().wait_for(&user.email, 3).await.len(), 3);
    // The limit of recoveries does not limit logins.
    app.log_in(&user).await;
}

#[tokio::test]
async fn a_known_device_may_request_a_recovery_beyond_the_limit_of_the_address() {
    let app = start(App::setup().mail(Smtp::Plain)).await;
    let user = app.create_user("patient").await;
    let login = app.post_login(&user.username, &user.password).await;
    let device = login.cookie_named("latchkey_device").unwrap()[0].clone();
    for _ in 0..3 {
        recover(&app, &user.email).await.ok(200);
    }
    recover(&app, &user.email).await.problem(429);

    let own = app.post(&format!("{}/{}", path::RECOVERY, user.email)).header("cookie", device);

    own.answer().await.ok(200);
}

#[tokio::test]
async fn a_network_may_request_a_fifth_of_its_limit_as_emails() {
    let app = start(App::setup().mail(Smtp::Plain).set("RATE_LIMIT_PER_NETWORK", "75")).await;
    for number in 0..5 {
        recover(&app, &format!("user-{number}@example.test")).await.ok(200);
    }
    recover(&app, "user-5@example.test").await.problem(429);
    assert!(app.server().metric("latchkey_rate_limited_total", &["recovery", "network"]).await > 0.0);
    // Each kind of request has its own limit.
    app.superuser().await;
}

#[tokio::test]
async fn guessed_tokens_of_mailed_links_are_limited() {
    let app = start(App::setup().set("RATE_LIMIT_PER_NETWORK", "15")).await;
    let reset = |token: String| {
        let body = json!({ "token": token, "new_password": "a decent passphrase" });
        app.post(path::RESET).json(&body).answer()
    };
    for number in 0..5 {
        reset(format!("guess-{number}")).await.problem(422);
    }
    reset("guess-5".to_owned()).await.problem(429);
    assert!(app.server().metric("latchkey_rate_limited_total", &["reset", "network"]).await > 0.0);

    let form = [("token", "guess-6"), ("new_password", "a decent passphrase")];
    let page = app.post("/reset-password").form(&form).answer().await;
    assert_eq!(page.status, 429, "{page:?}");
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{page:?}");
    assert!(page.header("retry-after").is_some_and(|wait| wait.parse::<u32>().is_ok_and(|wait| wait > 0)));
    assert!(page.body.contains("Try again later"), "{}", page.body);
}
