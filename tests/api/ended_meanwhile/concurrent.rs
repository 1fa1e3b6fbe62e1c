//! Many concurrent requests of superusers for each other: no deadlock, no 5xx.

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, StreamExt as _};
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::path;
use serde_json::json;

use super::{administration, new_superuser, setup};

/// Requests at the same time. They wait for the same rows, and the server gives up one that waits for more than two seconds.
const CONCURRENT: usize = 24;

#[tokio::test]
async fn superusers_who_change_each_other_and_themselves_concurrently_do_not_deadlock() {
    let app = setup().start().await;
    for round in 0..4 {
        let mut chiefs = Vec::new();
        for _ in 0..3 {
            let (user, session) = new_superuser(&app, "chief").await;
            let second = app.log_in(&user).await;
            chiefs.push((user, session, second));
        }
        let mut by_chief: Vec<Vec<BoxFuture<'_, Answer>>> = Vec::new();
        for (number, (_, session, _)) in chiefs.iter().enumerate() {
            let mut requests: Vec<BoxFuture<'_, Answer>> = Vec::new();
            for (target, theirs, second) in &chiefs {
                for (turn, (method, path, body)) in administration(target).into_iter().enumerate() {
                    let server = &app.servers[(number + turn) % 2];
                    let request = server.request(method, &path).bearer_auth(&session.access);
                    let request = match body {
                        Some(body) if body["email"].is_string() => continue,
                        Some(body) => request.json(&body),
                        None => request,
                    };
                    requests.push(request.answer().boxed());
                }
                for token in [&theirs.access, &second.refresh] {
                    let revoke = app.servers[number % 2].post(path::REVOKE).bearer_auth(&session.access);
                    requests.push(revoke.form(&[("token", token)]).answer().boxed());
                }
            }
            requests
                .push(app.servers[1].post(path::LOGOUT_ALL).bearer_auth(&session.access).answer().boxed());
            let own = app.servers[0].request("PATCH", path::ME).bearer_auth(&session.access);
            requests.push(own.json(&json!({ "name": "Chief" })).answer().boxed());
            requests.push(app.refresh_at(1, session).boxed());
            requests.push(app.log_out_at(0, session).boxed());
            by_chief.push(requests);
        }
        // The superusers take turns, in one order and then in the other one.
        let mut requests = Vec::new();
        while by_chief.iter().any(|left| !left.is_empty()) {
            requests
                .extend(by_chief.iter_mut().filter_map(|left| (!left.is_empty()).then(|| left.remove(0))));
        }
        if round % 2 == 1 {
            requests.reverse();
        }
        let answers: Vec<_> = stream::iter(requests).buffer_unordered(CONCURRENT).collect().await;
        for answer in &answers {
            assert!([200, 202, 204, 400, 401, 403, 404, 409].contains(&answer.status), "{answer:?}");
        }
        let deadlocks =
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database() AND $1 <> ''";
        assert_eq!(app.database.count(deadlocks, "any").await, 0);
        app.superuser().await;
    }
}
