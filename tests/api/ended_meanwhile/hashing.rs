//! The right to act ends while a password waits in the hash queue.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, FutureExt as _, join_all};
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::path;
use latchkey_tests::logs::SECRET_MARK;
use latchkey_tests::wait;
use serde_json::json;
use tokio::sync::Mutex;

use super::{Withdrawal, new_superuser, setup, state, watch_mail};

/// How long to try to let the right end while the password waits.
const PATIENCE: Duration = Duration::from_mins(2);

/// The bounds of the iterations. An import accepts no more than [`MOST`].
const FEWEST: u32 = 10_000;
const MOST: u32 = 4_000_000;

/// A hash whose verification keeps a worker busy.
fn slow_hash(iterations: u32) -> String {
    format!("$pbkdf2-sha512${iterations}$c2FsdHNhbHRzYWx0${}", "A".repeat(86))
}

/// How an attempt ended.
enum Attempt {
    /// The right ended while the password waited, and nothing was created then.
    Succeeded,
    /// The slow hash ended before the right did.
    TooQuick,
    /// The wait reached its deadline before the slow hash ended.
    TooSlow,
}

/// The right has to end while the password waits, and the wait has a deadline. How many iterations take that long depends on
/// the machine and on what else it does: the threads that hash have the lowest priority. Hence several attempts, each of which
/// learns from the one before.
async fn assert_no_account_is_created_after(withdrawal: Withdrawal) {
    // One test at a time: each keeps a core busy, and the right has to end within that time.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
    let _turn = ONE_AT_A_TIME.lock().await;
    let began = Instant::now();
    let mut iterations = 1_000_000;
    loop {
        iterations = match attempt(withdrawal, iterations).await {
            Attempt::Succeeded => return,
            Attempt::TooQuick => (iterations / 2 * 3).min(MOST),
            Attempt::TooSlow => (iterations / 2).max(FEWEST),
        };
        assert!(began.elapsed() < PATIENCE, "the right never ended while the password waited: {iterations}");
    }
}

/// Uses a new server: one that has measured how slow these hashes are refuses requests instead of queueing them.
async fn attempt(withdrawal: Withdrawal, iterations: u32) -> Attempt {
    let app = setup().set("PASSWORD_HASH_WORKERS", "1").start().await;
    watch_mail(&app).await;
    let slow = json!({
        "username": "slow", "email": "slow@example.test", "name": "Slow", "password_hash": slow_hash(iterations),
    });
    app.post_user(&slow).await.ok(201);
    let hashes =
        async |state: &str| app.server().metric("latchkey_hash_pool", &[&format!("state=\"{state}\"")]).await;
    let workers = hashes("workers").await;
    let (chief, session) = new_superuser(&app, "chief").await;
    let body = json!({
        "username": "backdoor", "email": "backdoor@example.test", "name": "Back Door", "is_superuser": true,
        "password": format!("{SECRET_MARK} of the back door"),
    });
    let before = state(&app, &chief).await;
    // Whether a slow hash has ended, so that there is nothing to wait for any more; whether the password waited until the end.
    let (over, still_waited) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut busy: Vec<BoxFuture<'_, Option<Answer>>> = Vec::new();
    let mut count = 0.0;
    while count < workers {
        let login = app.post_login("slow", "not the password");
        busy.push(login.inspect(|_| over.store(true, Ordering::Relaxed)).map(|_| None).boxed());
        count += 1.0;
    }
    let creation = async {
        wait::until("every worker to hash", || async {
            let running = hashes("running").await;
            wait::check(running >= workers || over.load(Ordering::Relaxed), running)
        })
        .await;
        Some(app.post(path::USERS).bearer_auth(&session.access).json(&body).answer().await)
    };
    let meanwhile = async {
        wait::until("the password to wait", || async {
            let waiting = hashes("waiting").await;
            wait::check(waiting >= 1.0 || over.load(Ordering::Relaxed), waiting)
        })
        .await;
        withdrawal.withdraw(&app, &chief, &session).await;
        still_waited.store(hashes("waiting").await >= 1.0, Ordering::Relaxed);
        None
    };
    busy.push(creation.boxed());
    busy.push(meanwhile.boxed());
    let answer = join_all(busy).await.into_iter().flatten().next().expect("the answer");
    if answer.status == 503 {
        return Attempt::TooSlow;
    }
    if !still_waited.load(Ordering::Relaxed) {
        return Attempt::TooQuick;
    }

    assert_eq!(answer.status, withdrawal.status(), "{withdrawal:?}: {answer:?}");
    answer.problem(answer.status);
    let backdoor = "SELECT count(*) FROM users WHERE username = $1";
    assert_eq!(app.database.count(backdoor, "backdoor").await, 0);
    let made = "SELECT count(*) FROM audit_events WHERE kind = 'user_created' AND actor_id::text = $1";
    assert_eq!(app.database.count(made, &chief.id.to_string()).await, 0);
    let after = state(&app, &chief).await;
    assert_eq!(after.split(" | ").next(), before.split(" | ").next());
    Attempt::Succeeded
}

#[tokio::test]
async fn a_superuser_who_logs_out_while_a_password_waits_to_be_hashed_creates_no_account() {
    assert_no_account_is_created_after(Withdrawal::Logout).await;
}

#[tokio::test]
async fn a_superuser_who_is_deactivated_while_a_password_waits_to_be_hashed_creates_no_account() {
    assert_no_account_is_created_after(Withdrawal::Deactivation).await;
}

#[tokio::test]
async fn a_superuser_who_is_demoted_while_a_password_waits_to_be_hashed_creates_no_account() {
    assert_no_account_is_created_after(Withdrawal::Demotion).await;
}
