//! Limits per network.

use std::time::Instant;

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, path};

use super::start;

async fn guess_from(app: &App, forwarded_for: &str, name: &str) -> Answer {
    let form = [("username", name), ("password", "not the password")];
    app.post(path::LOGIN).header("x-forwarded-for", forwarded_for).form(&form).answer().await
}

/// Sends one wrong password for each of many names until the network is limited, and returns the number of attempts.
async fn spray(app: &App, forwarded_for: impl Fn(usize) -> String) -> usize {
    for number in 0..100 {
        let answer = guess_from(app, &forwarded_for(number), &format!("sprayed-{number}")).await;
        if answer.status == 429 {
            answer.problem(429);
            return number;
        }
        answer.problem(401);
    }
    100
}

#[tokio::test]
async fn a_network_that_guesses_for_many_accounts_is_limited() {
    let app = start(App::setup().set("RATE_LIMIT_PER_NETWORK", "30")).await;
    assert_eq!(spray(&app, |_| String::new()).await, 10);
    assert!(app.server().metric("latchkey_rate_limited_total", &["login", "network"]).await > 0.0);
}

#[tokio::test]
async fn a_forwarded_address_of_an_untrusted_client_is_ignored() {
    let app = start(App::setup().set("RATE_LIMIT_PER_NETWORK", "30")).await;
    assert_eq!(spray(&app, |number| format!("192.0.2.{number}")).await, 10);
    let rows = "SELECT string_agg(DISTINCT address, ' ') FROM audit_events WHERE outcome = $1";
    assert_eq!(app.database.text(rows, "refused").await, "127.0.0.1");
}

#[tokio::test]
async fn each_client_behind_a_trusted_proxy_has_its_own_limit() {
    let app = start(
        App::setup().set("RATE_LIMIT_PER_NETWORK", "30").set("TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8"),
    )
    .await;
    // The entries before the one that the proxy appends have no effect.
    assert_eq!(spray(&app, |number| format!("198.51.100.{number}, 192.0.2.1, 10.1.2.3")).await, 10);
    guess_from(&app, "192.0.2.2", "user").await.problem(401);
    // A subscriber has at least a /64.
    assert_eq!(spray(&app, |number| format!("2001:db8::{number:x}")).await, 10);
    guess_from(&app, "2001:db8:0:1::1", "user").await.problem(401);
    let rows = "SELECT count(DISTINCT address)::text FROM audit_events WHERE outcome = $1";
    // Two IPv4 clients, ten addresses of the first /64 and the limited eleventh, and one of another /64.
    assert_eq!(app.database.text(rows, "refused").await, "14");
}

#[tokio::test]
async fn a_site_that_changes_its_64_with_each_attempt_is_refused() {
    let app =
        start(App::setup().set("RATE_LIMIT_PER_NETWORK", "15").set("TRUSTED_PROXIES", "127.0.0.0/8")).await;
    let begun = Instant::now();
    let admitted = spray(&app, |number| format!("2001:db8:1:{number:x}::1")).await;
    // Ten times the allowance of a /64, a third of it at once; the rest is spread over the hour, one every 24 seconds.
    let most = 50 + usize::try_from(begun.elapsed().as_secs() / 24).unwrap();
    assert!((50..=most).contains(&admitted), "{admitted}");
    assert!(app.server().metric("latchkey_rate_limited_total", &["login", "site"]).await > 0.0);
    guess_from(&app, "2001:db8:2::1", "somebody").await.problem(401);
    guess_from(&app, "192.0.2.1", "somebody").await.problem(401);
}
