//! More logins than the cores can hash: those that would wait too long are told to come back, and nobody else
//! notices.

use std::time::{Duration, Instant};

use futures::future::join_all;
use latchkey_tests::app::App;

/// More than can wait for their turn at two or three cores; with more cores, all of them are simply answered.
const CROWD: usize = 700;

#[tokio::test]
async fn a_crowd_at_the_login_is_answered_or_told_to_come_back_while_others_are_served() {
    // What is looked at is the hash pool: within limits the crowd would not come that far.
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
    let turned_away = answers.iter().filter(|answer| answer.status == 503).count();
    assert!(turned_away > 0 || cores > 3, "all of {CROWD} waited for their turn");
    assert!(turned_away < CROWD, "nobody was let through");
    assert!(slowest < Duration::from_secs(3), "somebody who hashes nothing waited {slowest:?}");
    // It is over when it is over.
    app.log_in(&user).await;
}
