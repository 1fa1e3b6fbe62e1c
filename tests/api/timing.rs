//! An unknown user costs the caller the same time as a known one.
//!
//! Measured in pairs, so that whatever else the machine does falls on both alike, and by the median.

use std::time::{Duration, Instant};

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, path};
use latchkey_tests::smtp::Smtp;

async fn time(request: impl Future<Output = Answer>) -> Duration {
    let begun = Instant::now();
    request.await;
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

#[tokio::test]
async fn an_unknown_user_takes_as_long_as_a_wrong_password() {
    let app = App::start().await;
    let user = app.create_user("timed").await;
    for endpoint in [path::LOGIN, path::TOKEN] {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for number in 0..15 {
            let attempt = |name: &str| {
                app.post(endpoint).form(&[("username", name), ("password", "not the password")]).answer()
            };
            known.push(time(attempt(&user.username)).await);
            unknown.push(time(attempt(&format!("nobody-{number}"))).await);
        }
        let ratio = median(unknown) / median(known);
        assert!((0.7..1.4).contains(&ratio), "{endpoint}: unknown / known = {ratio:.2}");
    }
}

#[tokio::test]
async fn recovery_takes_as_long_for_an_unknown_address() {
    let app = App::setup().mail(Smtp::Plain).start().await;
    let user = app.create_user("timed").await;
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for number in 0..25 {
        let recover = |address: String| app.post(&format!("{}/{address}", path::RECOVERY)).answer();
        known.push(time(recover(user.email.clone())).await);
        unknown.push(time(recover(format!("nobody-{number}@example.test"))).await);
    }
    let ratio = median(unknown) / median(known);
    assert!((0.5..2.0).contains(&ratio), "unknown / known = {ratio:.2}");
}
