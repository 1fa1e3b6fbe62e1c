//! More logins than the cores can hash: those that would wait too long get a 503, and other requests are not delayed.

use std::time::{Duration, Instant};

use futures::future::join_all;
use latchkey_tests::app::App;

/// More logins than the hash queue admits on two or three cores. With more cores, none is refused.
const CROWD: usize = 700;

#[tokio::test]
async fn excess_logins_get_503_and_other_requests_are_not_delayed() {
    // With rate limits, most logins would not reach the hash queue.
    let app = App::setup().set("RATE_LIMITS_ENABLED", "false").start().await;
    let (user, session) = app.new_session("crowd").await;
    let attempts = join_all((0..CROWD).map(|_| app.post_login(&user.username, "not the password")));
    let others = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let begun = Instant::now();
            app.me(&session.access).await.ok(200);
            slowest = slowest.max(begun.elapsed());
        }
        slowest
    };

    let (answers, slowest) = tokio::join!(attempts, others);

    for answer in &answers {
        assert!([401, 503].contains(&answer.status), "{answer:?}");
        answer.problem(answer.status);
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let refused = answers.iter().filter(|answer| answer.status == 503).count();
    assert!(refused > 0 || cores > 3, "all {CROWD} logins waited in the queue");
    assert!(refused < CROWD, "every login was refused");
    assert!(slowest < Duration::from_secs(3), "a request without a hash took {slowest:?}");
    // The overload ends with the last of these logins.
    app.log_in(&user).await;
}
