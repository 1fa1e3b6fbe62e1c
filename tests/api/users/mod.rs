//! `/api/v1/users`

mod change;
mod create;
mod delete;
mod end_sessions;
mod first_password;
mod foreign_hash;
mod last_superuser;
mod list;
mod password_policy;
mod read;
mod start_reset;
mod unique_names;

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Session, path};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

/// A request to a path below `/api/v1/users` as the first superuser.
async fn request(app: &App, method: &str, below: &str) -> RequestBuilder {
    let superuser = app.superuser().await;
    app.server().request(method, &format!("{}{below}", path::USERS)).bearer_auth(&superuser.access)
}

async fn send(app: &App, method: &str, below: &str) -> Answer {
    request(app, method, below).await.answer().await
}

async fn patch(app: &App, id: i64, body: &Value) -> Answer {
    request(app, "PATCH", &format!("/{id}")).await.json(body).answer().await
}

/// Asserts that an endpoint refuses other clients than superusers, regardless of the id and the body.
async fn assert_for_superusers(app: &App, plain: &Session, method: &str, below: &str) {
    let request = || app.server().request(method, &format!("{}{below}", path::USERS));
    request().answer().await.problem(401);
    request().bearer_auth("nonsense").answer().await.problem(401);
    request().bearer_auth(&plain.access).answer().await.problem(403);
}

/// Records the messages that are inserted into the outbox, which a worker empties.
async fn watch_outbox(app: &App) {
    app.database.execute("CREATE TABLE seen (kind text, recipient text, user_id bigint, data jsonb)").await;
    app.database
        .execute(
            "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO seen VALUES (NEW.kind, NEW.recipient, NEW.user_id, NEW.data); RETURN NEW; END $$",
        )
        .await;
    app.database
        .execute("CREATE TRIGGER see AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION see()")
        .await;
}

/// The number of messages of a kind to an address that were inserted into the outbox.
async fn seen(app: &App, kind: &str, recipient: &str) -> i64 {
    let key = format!("{kind} {recipient}");
    app.database.count("SELECT count(*) FROM seen WHERE kind || ' ' || recipient = $1", &key).await
}

/// The number of audit events of this kind, outcome and account.
async fn audited(app: &App, kind: &str, outcome: &str, user_id: i64) -> i64 {
    let key = format!("{kind} {outcome} {user_id}");
    let sql = "SELECT count(*) FROM audit_events \
               WHERE kind || ' ' || outcome || ' ' || coalesce(user_id::text, '') = $1 AND actor_id IS NOT NULL";
    app.database.count(sql, &key).await
}

/// A body of `POST /api/v1/users` without a password.
fn named(name: &str) -> Value {
    json!({ "username": name, "email": format!("{name}@example.test"), "name": "John Doe" })
}
