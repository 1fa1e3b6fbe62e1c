//! Requests of superusers for other accounts.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::path;
use serde_json::json;

use super::{
    WITHDRAWALS, Withdrawal, administration, lock, new_superuser, release, request, setup, state, watch_mail,
};

#[tokio::test]
async fn a_superuser_whose_right_ends_while_an_account_is_locked_does_not_change_it() {
    let app = setup().start().await;
    watch_mail(&app).await;
    let (target, _) = app.new_session("target").await;
    for withdrawal in WITHDRAWALS {
        for (method, path, body) in administration(&target) {
            let (chief, session) = new_superuser(&app, "chief").await;
            let before = state(&app, &chief).await;
            let held = lock(&app, &target).await;
            let attempt = request(&app, (method, path.clone()), &session, body.clone());
            let meanwhile = async {
                app.database.wait_until_blocked(1).await;
                withdrawal.withdraw(&app, &chief, &session).await;
                release(held).await;
            };
            let (answer, ()) = tokio::join!(attempt, meanwhile);

            assert_eq!(
                answer.status,
                withdrawal.status(),
                "{withdrawal:?} {method} {path} {body:?}: {answer:?}"
            );
            answer.problem(answer.status);
            assert_eq!(state(&app, &chief).await, before, "{withdrawal:?} {method} {path} {body:?}");
        }
    }
}

#[tokio::test]
async fn a_superuser_whose_right_ends_during_the_request_invites_and_revokes_nothing() {
    let app = setup().start().await;
    watch_mail(&app).await;
    let (target, victim) = app.new_session("target").await;
    for withdrawal in WITHDRAWALS {
        for (path, is_form) in [(path::USERS, false), (path::REVOKE, true)] {
            let (chief, session) = new_superuser(&app, "chief").await;
            let before = state(&app, &chief).await;
            // A deactivation needs the superuser's own row, so for a revocation the other account is locked.
            let held = lock(&app, if is_form { &target } else { &chief }).await;
            let attempt = app.post(path).bearer_auth(&session.access);
            let attempt = if is_form {
                attempt.form(&[("token", &victim.access)])
            } else {
                attempt.json(&json!({ "username": "guest", "email": "guest@example.test", "name": "Guest" }))
            };
            let meanwhile = async {
                app.database.wait_until_blocked(1).await;
                if is_form || withdrawal == Withdrawal::Logout {
                    withdrawal.withdraw(&app, &chief, &session).await;
                    release(held).await;
                } else {
                    // The transaction that holds the row withdraws the right itself.
                    let mut held = held;
                    let sql = match withdrawal {
                        Withdrawal::Deactivation => "UPDATE users SET is_active = false WHERE id = $1",
                        _ => "UPDATE users SET is_superuser = false WHERE id = $1",
                    };
                    sqlx::query(sql).bind(chief.id).execute(&mut held).await.unwrap();
                    release(held).await;
                }
            };
            let (answer, ()) = tokio::join!(attempt.answer(), meanwhile);

            assert_eq!(answer.status, withdrawal.status(), "{withdrawal:?} {path}: {answer:?}");
            let problem = answer.problem(answer.status);
            assert_eq!(problem["error"].is_string(), is_form, "{problem}");
            assert_eq!(state(&app, &chief).await, before, "{withdrawal:?} {path}");
            app.me(&victim.access).await.ok(200);
        }
    }
}

#[tokio::test]
async fn a_demotion_waits_for_the_changes_that_the_superuser_has_started() {
    let app = setup().start().await;
    let (chief, session) = new_superuser(&app, "chief").await;
    let target = app.create_user("target").await;
    let held = lock(&app, &target).await;
    let one = format!("{}/{}", path::USERS, target.id);
    let attempt = request(&app, ("PATCH", one), &session, Some(json!({ "name": "Changed" })));
    let demotion = async {
        app.database.wait_until_blocked(1).await;
        Withdrawal::Demotion.withdraw(&app, &chief, &session).await;
    };
    let meanwhile = async {
        app.database.wait_until_blocked(2).await;
        release(held).await;
    };
    let (answer, (), ()) = tokio::join!(attempt, demotion, meanwhile);
    answer.ok(200);
    app.get(path::USERS).bearer_auth(&session.access).answer().await.problem(403);
}
