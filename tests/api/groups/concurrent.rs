//! Many concurrent changes of the same groups and accounts: no deadlock, no 5xx.

use futures::future::{BoxFuture, FutureExt as _, join_all};
use futures::stream::{self, StreamExt as _};
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Session, path};
use serde_json::{Value, json};

use super::{create, join, members, officer};
use crate::ended_meanwhile::setup;

/// Requests at the same time. They wait for the same rows, and the server gives up one that waits for more than two seconds.
const CONCURRENT: usize = 16;

#[tokio::test]
async fn managers_who_change_the_same_groups_concurrently_do_not_deadlock() {
    const PERMISSIONS: [&str; 2] = ["groups.manage", "users.write"];
    let app = setup().start().await;
    for round in 0..4 {
        let mut managers = Vec::new();
        for _ in 0..3 {
            managers.push(officer(&app, "manager", &PERMISSIONS).await);
        }
        let shared = format!("shared-{round}");
        create(&app, &shared, &PERMISSIONS).await;
        let mut members = Vec::new();
        for _ in 0..2 {
            members.push(app.create_user("member").await);
        }
        let mut groups: Vec<String> = managers.iter().map(|(user, _)| user.username.clone()).collect();
        groups.insert(round % 3, shared);
        for group in &groups {
            for user in managers.iter().map(|(user, _)| user).chain(&members) {
                join(&app, group, user).await;
            }
        }
        let mut requests: Vec<BoxFuture<'_, Answer>> = Vec::new();
        for (turn, group) in groups.iter().enumerate() {
            let one = format!("{}/{group}", path::GROUPS);
            for (number, (own, session)) in managers.iter().enumerate() {
                let mut send = |method: &str, path: String, body: Option<Value>| {
                    let server = &app.servers[(number + turn) % 2];
                    let request = server.request(method, &path).bearer_auth(&session.access);
                    let request = if let Some(body) = body { request.json(&body) } else { request };
                    requests.push(request.answer().boxed());
                };
                send("PATCH", one.clone(), Some(json!({ "description": format!("By {number}") })));
                for user in members.iter().chain([own]) {
                    let member = format!("{one}/members/{}", user.id);
                    send("PUT", member.clone(), None);
                    send("PATCH", format!("{}/{}", path::USERS, user.id), Some(json!({ "name": "Changed" })));
                    send("DELETE", format!("{member}?end_sessions={}", user.id != own.id), None);
                }
                if number == turn {
                    send("DELETE", one.clone(), None);
                }
                if turn == 2 {
                    send("DELETE", format!("{}/{}", path::USERS, members[number % 2].id), None);
                }
            }
        }
        // In one order and then in the other one.
        if round % 2 == 1 {
            requests.reverse();
        }
        let answers: Vec<_> = stream::iter(requests).buffer_unordered(CONCURRENT).collect().await;
        for answer in &answers {
            assert!([200, 201, 204, 401, 403, 404].contains(&answer.status), "{answer:?}");
        }
        let deadlocks =
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database() AND $1 <> ''";
        assert_eq!(app.database.count(deadlocks, "any").await, 0);
    }
}

async fn add(app: &App, session: &Session, member: &str) -> u16 {
    app.server().request("PUT", member).bearer_auth(&session.access).answer().await.status
}

#[tokio::test]
async fn of_concurrent_requests_for_one_member_one_is_the_first() {
    let app = App::start().await;
    create(&app, "one", &[]).await;
    let user = app.create_user("member").await;
    let member = format!("{}/one/members/{}", path::GROUPS, user.id);
    let session = app.superuser().await;
    let mut statuses = join_all((0..8).map(|_| add(&app, session, &member))).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 204, 204, 204, 204, 204, 204, 204]);
    assert_eq!(members(&app, "one").await, [user.username]);
}
