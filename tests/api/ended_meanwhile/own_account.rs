//! Requests of users for their own accounts.

use futures::future::join_all;
use latchkey_tests::answer::Answered;
use latchkey_tests::app::path;
use latchkey_tests::logs::SECRET_MARK;
use serde_json::json;

use super::{Withdrawal, lock, release, request, setup, state, watch_mail};

#[tokio::test]
async fn a_user_who_logs_out_while_the_account_is_locked_changes_nothing() {
    let app = setup().start().await;
    watch_mail(&app).await;
    let user = app.create_user("owner").await;
    let other = app.log_in(&user).await;
    let sessions = app.get(path::SESSIONS).bearer_auth(&other.access).answer().await.ok(200);
    let other_id = sessions["sessions"][0]["id"].as_str().unwrap().to_owned();
    let new = format!("{SECRET_MARK} quite another one");
    let own = |method, path: &str, body| (method, path.to_owned(), body);
    for (method, path, body) in [
        own("PATCH", path::ME, Some(json!({ "name": "Changed", "locale": "de" }))),
        own(
            "POST",
            path::MY_PASSWORD,
            Some(json!({ "current_password": user.password, "new_password": new })),
        ),
        own(
            "POST",
            path::MY_PASSWORD,
            Some(
                json!({ "current_password": user.password, "new_password": new, "keep_other_sessions": true }),
            ),
        ),
        own("POST", path::MY_EMAIL, Some(json!({ "password": user.password, "email": "new@example.test" }))),
        own("DELETE", path::ME, Some(json!({ "password": user.password }))),
        // The response does not disclose whether the password is right.
        own("DELETE", path::ME, Some(json!({ "password": "a wrong one" }))),
        own("POST", path::LOGOUT_ALL, None),
        ("DELETE", format!("{}/{other_id}", path::SESSIONS), None),
    ] {
        let session = app.log_in(&user).await;
        let audited = "SELECT count(*) FROM audit_events WHERE kind NOT IN ('login', 'logout') AND $1 <> ''";
        let before = (state(&app, &user).await, app.database.count(audited, "any").await);
        let held = lock(&app, &user).await;
        let attempt = request(&app, (method, path.clone()), &session, body.clone());
        let meanwhile = async {
            app.database.wait_until_blocked(1).await;
            Withdrawal::Logout.withdraw(&app, &user, &session).await;
            release(held).await;
        };
        let (answer, ()) = tokio::join!(attempt, meanwhile);

        assert_eq!(answer.status, 401, "{method} {path} {body:?}: {answer:?}");
        answer.problem(401);
        let after = (state(&app, &user).await, app.database.count(audited, "any").await);
        assert_eq!(after, before, "{method} {path} {body:?}");
        // The other session is not affected.
        app.me(&other.access).await.ok(200);
    }
}

#[tokio::test]
async fn concurrent_logouts_of_one_session_all_succeed() {
    let app = setup().start().await;
    let (user, session) = app.new_session("twice").await;
    let mut held = app.database.connect().await;
    sqlx::query("BEGIN").execute(&mut held).await.unwrap();
    let sql = "SELECT FROM sessions WHERE user_id = $1 FOR UPDATE";
    sqlx::query(sql).bind(user.id).execute(&mut held).await.unwrap();
    let logouts = join_all((0..2).map(|replica| app.log_out_at(replica, &session)));
    let meanwhile = async {
        app.database.wait_until_blocked(2).await;
        release(held).await;
    };
    let (answers, ()) = tokio::join!(logouts, meanwhile);
    for answer in answers {
        answer.ok(200);
    }
    app.me_at(1, &session.access).await.problem(401);
}
