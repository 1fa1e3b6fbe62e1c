//! The right to act ends while a password waits in the hash queue.

use futures::future::{BoxFuture, FutureExt as _, join_all};
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::path;
use latchkey_tests::logs::SECRET_MARK;
use latchkey_tests::wait;
use serde_json::json;

use super::{Withdrawal, new_superuser, setup, state, watch_mail};

/// A hash whose verification takes seconds of a core.
fn slow_hash() -> String {
    format!("$pbkdf2-sha512$2000000$c2FsdHNhbHRzYWx0${}", "A".repeat(86))
}

/// Each case uses a new server: one that has measured how slow these hashes are refuses requests instead of queueing
/// them.
async fn assert_no_account_is_created_after(withdrawal: Withdrawal) {
    let app = setup().start().await;
    watch_mail(&app).await;
    let slow = json!({
        "username": "slow", "email": "slow@example.test", "name": "Slow", "password_hash": slow_hash(),
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
    let mut busy: Vec<BoxFuture<'_, Option<Answer>>> = Vec::new();
    let mut count = 0.0;
    while count < workers {
        busy.push(app.post_login("slow", "not the password").map(|_| None).boxed());
        count += 1.0;
    }
    let attempt = async {
        wait::until("every worker to hash", || async {
            let running = hashes("running").await;
            wait::check(running >= workers, running)
        })
        .await;
        Some(app.post(path::USERS).bearer_auth(&session.access).json(&body).answer().await)
    };
    let meanwhile = async {
        wait::until("the password to wait", || async {
            let waiting = hashes("waiting").await;
            wait::check(waiting >= 1.0, waiting)
        })
        .await;
        withdrawal.withdraw(&app, &chief, &session).await;
        assert!(hashes("waiting").await >= 1.0, "the password did not wait long enough");
        None
    };
    busy.push(attempt.boxed());
    busy.push(meanwhile.boxed());
    let answer = join_all(busy).await.into_iter().flatten().next().expect("the answer");

    assert_eq!(answer.status, withdrawal.status(), "{withdrawal:?}: {answer:?}");
    answer.problem(answer.status);
    let backdoor = "SELECT count(*) FROM users WHERE username = $1";
    assert_eq!(app.database.count(backdoor, "backdoor").await, 0);
    let made = "SELECT count(*) FROM audit_events WHERE kind = 'user_created' AND actor_id::text = $1";
    assert_eq!(app.database.count(made, &chief.id.to_string()).await, 0);
    let after = state(&app, &chief).await;
    assert_eq!(after.split(" | ").next(), before.split(" | ").next());
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
