//! More logins than the cores can hash: those that would wait too long get a 503, and other requests are not delayed.

use std::time::{Duration, Instant};

use futures::future::join_all;
use latchkey_tests::answer::Answer;
use latchkey_tests::app::App;

/// More logins than the hash queue admits on two or three cores. With more cores, none is refused.
const CROWD: usize = 700;

/// Imported accounts that log in at the same time.
const IMPORTED: usize = 300;
/// The hash of the password below by another system.
const BCRYPT_12: &str = "$2b$12$abcdefghijklmnopqrstuuFDJRuYeKkCzo3Wy7h8SxhBSHBAHiPK2";
const PASSWORD: &str = "correct horse";

#[tokio::test]
async fn a_crowd_of_imported_accounts_is_answered_in_time_while_others_log_in() {
    let app = App::setup().set("RATE_LIMITS_ENABLED", "false").start().await;
    let user = app.create_user("ordinary").await;
    let import = "INSERT INTO users (username, email, name, password_hash, email_verified_at)
        SELECT 'imported-' || n, 'imported-' || n || '@example.test', 'Imported', $1, now()
        FROM generate_series(1, 300) AS n";
    assert_eq!(app.database.execute_for(import, BCRYPT_12).await, IMPORTED as u64);
    let timed = async |name: String, password: &str| {
        let begun = Instant::now();
        let answer = app.post_login(&name, password).await;
        (answer, begun.elapsed())
    };

    let crowd = join_all((1..=IMPORTED).map(|number| timed(format!("imported-{number}"), PASSWORD)));
    let others = async {
        let mut all = Vec::new();
        for _ in 0..20 {
            all.push(timed(user.username.clone(), &user.password).await);
        }
        all
    };
    let (crowd, others) = tokio::join!(crowd, others);

    for (answer, elapsed) in crowd.iter().chain(&others) {
        assert!([200, 503].contains(&answer.status), "{answer:?}");
        // The deadline of every response; the wait for a worker is a part of it.
        assert!(*elapsed < Duration::from_secs(5), "{} after {elapsed:?}", answer.status);
        if answer.status == 503 {
            answer.problem(503);
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
        }
    }
    let admitted =
        |answers: &[(Answer, Duration)]| answers.iter().filter(|(answer, _)| answer.status == 200).count();
    assert!(admitted(&crowd) > 0, "no imported account came in");
    assert!(admitted(&others) >= 15, "only {} of 20 ordinary logins", admitted(&others));
    // Those that were refused come in later.
    app.log_in_as("imported-300", PASSWORD).await;
}

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
