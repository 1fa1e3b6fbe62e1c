//! A permission that is withdrawn is missing from the next request on, and from requests that are under way.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, Session, User, path};
use serde_json::json;

use super::{as_root, call, officer};
use crate::ended_meanwhile::{administration, lock, release, setup};

#[derive(Debug, Clone, Copy)]
enum Withdrawal {
    FromTheMember,
    FromTheGroup,
    WithTheGroup,
}

const WITHDRAWALS: [Withdrawal; 3] =
    [Withdrawal::FromTheMember, Withdrawal::FromTheGroup, Withdrawal::WithTheGroup];

impl Withdrawal {
    /// Sends the request to the second replica, and waits for the response.
    async fn withdraw(self, app: &App, officer: &User) {
        let group = format!("{}/{}", path::GROUPS, officer.username);
        let root = app.superuser().await;
        let request = match self {
            Self::FromTheMember => {
                app.servers[1].request("DELETE", &format!("{group}/members/{}", officer.id))
            }
            Self::FromTheGroup => {
                app.servers[1].request("PATCH", &group).json(&json!({ "permissions": ["audit.read"] }))
            }
            Self::WithTheGroup => app.servers[1].request("DELETE", &group),
        };
        let answer = request.bearer_auth(&root.access).answer().await;
        assert!([200, 204].contains(&answer.status), "{self:?}: {answer:?}");
    }
}

#[tokio::test]
async fn the_next_request_is_refused_on_every_replica() {
    let app = App::setup().replicas(2).start().await;
    for withdrawal in WITHDRAWALS {
        let (user, session) = officer(&app, "officer", &["users.read"]).await;
        let list =
            |replica: usize| app.servers[replica].get(path::USERS).bearer_auth(&session.access).answer();
        for replica in 0..2 {
            list(replica).await.ok(200);
        }
        withdrawal.withdraw(&app, &user).await;
        for replica in 0..2 {
            list(replica).await.problem(403);
            app.me_at(replica, &session.access).await.ok(200);
        }
    }
}

/// What a request of the officer could change.
async fn state(app: &App, target: &User, officer: &User) -> String {
    let sql = "SELECT concat_ws(' | ',
                   (SELECT concat_ws(' ', username, email, name, is_active, is_superuser) FROM users WHERE id = ids[1]),
                   (SELECT count(*) FROM sessions WHERE user_id = ids[1] AND ended_at IS NULL),
                   (SELECT count(*) FROM outbox),
                   (SELECT count(*) FROM audit_events WHERE actor_id = ids[2] AND kind <> 'login'))
               FROM (SELECT string_to_array($1, ' ')::bigint[] AS ids) AS given";
    app.database.text(sql, &format!("{} {}", target.id, officer.id)).await
}

#[tokio::test]
async fn a_permission_that_ends_while_an_account_is_locked_changes_nothing() {
    let app = setup().start().await;
    let (target, _) = app.new_session("target").await;
    for withdrawal in WITHDRAWALS {
        for (method, path, body) in administration(&target) {
            let (user, session) = officer(&app, "officer", &["users.write"]).await;
            let before = state(&app, &target, &user).await;
            let held = lock(&app, &target).await;
            let attempt = call(&app, &session, method, &path, body.as_ref());
            let meanwhile = async {
                app.database.wait_until_blocked(1).await;
                withdrawal.withdraw(&app, &user).await;
                release(held).await;
            };
            let (answer, ()) = tokio::join!(attempt, meanwhile);
            assert_eq!(answer.status, 403, "{withdrawal:?} {method} {path} {body:?}: {answer:?}");
            answer.problem(403);
            assert_eq!(state(&app, &target, &user).await, before, "{withdrawal:?} {method} {path} {body:?}");
        }
    }
}

/// Blocks the transaction of a request after it has asserted the permission, at a row that the withdrawal does not need.
#[tokio::test]
async fn a_withdrawal_waits_for_the_changes_that_have_begun() {
    const SESSIONS: &str = "SELECT FROM sessions JOIN users ON users.id = user_id
                            WHERE username LIKE 'target-%' AND ended_at IS NULL FOR UPDATE OF sessions";
    let app = setup().start().await;
    let target = app.create_user("target").await;
    for withdrawal in WITHDRAWALS {
        let (user, session) = officer(&app, "officer", &["users.write"]).await;
        let theirs = app.log_in(&target).await;
        let held = app.database.begin(SESSIONS).await;
        let sessions = format!("{}/{}/sessions", path::USERS, target.id);
        let attempt = call(&app, &session, "DELETE", &sessions, None);
        let withdraw = async {
            app.database.wait_until_blocked(1).await;
            withdrawal.withdraw(&app, &user).await;
        };
        let meanwhile = async {
            app.database.wait_until_blocked(2).await;
            release(held).await;
        };
        let (answer, (), ()) = tokio::join!(attempt, withdraw, meanwhile);
        assert_eq!(answer.status, 204, "{withdrawal:?}: {answer:?}");
        app.me(&theirs.access).await.problem(401);
        call(&app, &session, "DELETE", &sessions, None).await.problem(403);
    }
}

#[tokio::test]
async fn a_read_that_waits_during_the_withdrawal_discloses_nothing() {
    let app = setup().start().await;
    let permissions = super::ALL;
    for (list, table) in [
        (path::USERS, "LOCK TABLE users IN ACCESS EXCLUSIVE MODE"),
        ("/api/v1/audit", "LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE"),
        (path::GROUPS, "LOCK TABLE groups IN ACCESS EXCLUSIVE MODE"),
    ] {
        let (user, session) = officer(&app, "officer", &permissions).await;
        let mut held = app.database.begin(table).await;
        let attempt = call(&app, &session, "GET", list, None);
        let meanwhile = async {
            app.database.wait_until_blocked(1).await;
            // The transaction that holds the table withdraws the permissions itself.
            sqlx::query("DELETE FROM memberships WHERE user_id = $1")
                .bind(user.id)
                .execute(&mut held)
                .await
                .unwrap();
            release(held).await;
        };
        let (answer, ()) = tokio::join!(attempt, meanwhile);
        assert_eq!(answer.status, 403, "{list}: {answer:?}");
        answer.problem(403);
    }
}

/// The same for a group that holds permissions: a manager who loses them while it is locked does not change its members.
#[tokio::test]
async fn a_manager_whose_permission_ends_while_a_group_is_locked_does_not_change_it() {
    let app = setup().start().await;
    let user = app.create_user("member").await;
    super::create(&app, "locked", &[]).await;
    for withdrawal in WITHDRAWALS {
        let (manager, session): (User, Session) = officer(&app, "manager", &["groups.manage"]).await;
        let held = app.database.begin("SELECT FROM groups WHERE name = 'locked' FOR UPDATE").await;
        let member = format!("{}/locked/members/{}", path::GROUPS, user.id);
        let attempt = call(&app, &session, "PUT", &member, None);
        let meanwhile = async {
            app.database.wait_until_blocked(1).await;
            // A removal of the member itself waits for the request, which has locked the manager's account.
            if matches!(withdrawal, Withdrawal::FromTheMember) {
                let withdrawn = withdrawal.withdraw(&app, &manager);
                let released = async {
                    app.database.wait_until_blocked(2).await;
                    release(held).await;
                };
                tokio::join!(withdrawn, released);
            } else {
                withdrawal.withdraw(&app, &manager).await;
                release(held).await;
            }
        };
        let (answer, ()) = tokio::join!(attempt, meanwhile);
        let expected = if matches!(withdrawal, Withdrawal::FromTheMember) { 201 } else { 403 };
        assert_eq!(answer.status, expected, "{withdrawal:?}: {answer:?}");
        let removal = format!("/locked/members/{}", user.id);
        assert_eq!(as_root(&app, "DELETE", &removal, None).await.status, 204);
    }
}
