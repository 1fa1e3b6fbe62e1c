//! Where attempts come from.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, path};

async fn guess_from(app: &App, forwarded_for: &str, name: &str) -> Answer {
    let form = [("username", name), ("password", "not the password")];
    app.post(path::LOGIN).header("x-forwarded-for", forwarded_for).form(&form).answer().await
}

/// Guesses at one name after the other until the network is refused.
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
async fn a_network_that_tries_one_password_on_many_accounts_is_refused() {
    let app = App::setup().set("RATE_LIMIT_PER_NETWORK", "30").start().await;
    assert_eq!(spray(&app, |_| String::new()).await, 10);
    assert!(app.server().metric("latchkey_rate_limited_total", &["login", "network"]).await > 0.0);
}

#[tokio::test]
async fn a_forged_forwarded_address_changes_nothing() {
    let app = App::setup().set("RATE_LIMIT_PER_NETWORK", "30").start().await;
    assert_eq!(spray(&app, |number| format!("192.0.2.{number}")).await, 10);
    let rows = "SELECT string_agg(DISTINCT address, ' ') FROM audit_events WHERE outcome = $1";
    assert_eq!(app.database.text(rows, "refused").await, "127.0.0.1");
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_caller_counts_for_itself() {
    let app = App::setup()
        .set("RATE_LIMIT_PER_NETWORK", "30")
        .set("TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8")
        .start()
        .await;
    // Whatever a caller puts in front of what the proxy appends.
    assert_eq!(spray(&app, |number| format!("198.51.100.{number}, 192.0.2.1, 10.1.2.3")).await, 10);
    guess_from(&app, "192.0.2.2", "somebody").await.problem(401);
    // One subscriber has a /64 at least.
    assert_eq!(spray(&app, |number| format!("2001:db8::{number:x}")).await, 10);
    guess_from(&app, "2001:db8:0:1::1", "somebody").await.problem(401);
    let rows = "SELECT count(DISTINCT address)::text FROM audit_events WHERE outcome = $1";
    // Two proxied IPv4 callers, ten addresses of the one /64 and the eleventh that was refused, one of another.
    assert_eq!(app.database.text(rows, "refused").await, "14");
}

#[tokio::test]
async fn a_site_that_changes_its_64_with_each_attempt_is_refused() {
    let app =
        App::setup().set("RATE_LIMIT_PER_NETWORK", "15").set("TRUSTED_PROXIES", "127.0.0.0/8").start().await;
    let admitted = spray(&app, |number| format!("2001:db8:1:{number:x}::1")).await;
    // Ten times the allowance of a /64, a third of it at once.
    assert_eq!(admitted, 50);
    assert!(app.server().metric("latchkey_rate_limited_total", &["login", "site"]).await > 0.0);
    guess_from(&app, "2001:db8:2::1", "somebody").await.problem(401);
    guess_from(&app, "192.0.2.1", "somebody").await.problem(401);
}
