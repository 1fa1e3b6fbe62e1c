//! Read requests.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::path;
use latchkey_tests::wait;

use super::{new_superuser, release, setup};

#[tokio::test]
async fn a_read_that_waits_during_the_logout_discloses_nothing() {
    let app = setup().start().await;
    let (chief, _) = new_superuser(&app, "chief").await;
    let (target, other) = app.new_session("target").await;
    for path in [
        path::ME.to_owned(),
        path::VERIFY.to_owned(),
        path::PREFERENCES.to_owned(),
        path::SESSIONS.to_owned(),
        path::USERS.to_owned(),
        format!("{}/{}", path::USERS, target.id),
        "/api/v1/audit".to_owned(),
        path::INTROSPECT.to_owned(),
    ] {
        let session = app.log_in(&chief).await;
        let held = app.database.begin("LOCK TABLE users IN ACCESS EXCLUSIVE MODE").await;
        let attempt = if path == path::INTROSPECT {
            app.post(&path).form(&[("token", &other.access)])
        } else {
            app.get(&path)
        };
        let attempt = attempt.bearer_auth(&session.access).answer();
        let meanwhile = async {
            let waits = "SELECT count(*) FROM pg_stat_activity
                         WHERE datname = current_database() AND wait_event_type = 'Lock' AND $1 <> ''
                           AND query_start < clock_timestamp() - interval '300 milliseconds'";
            wait::until("the read to have waited for 300 ms", || async {
                let waiting = app.database.count(waits, "any").await;
                wait::check(waiting >= 1, waiting)
            })
            .await;
            app.log_out_at(1, &session).await.ok(200);
            release(held).await;
        };
        let (answer, ()) = tokio::join!(attempt, meanwhile);
        assert_eq!(answer.status, 401, "{path}: {answer:?}");
        answer.problem(401);
    }
}
