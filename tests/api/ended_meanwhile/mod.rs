//! Time passes between the check of a token and the permitted action: a password waits to be hashed, a row is locked.
//! A logout, a deactivation or a demotion that is answered in this time takes effect: nothing is written, mailed or
//! audited.

mod administration;
mod concurrent;
mod hashing;
mod own_account;
mod reads;

use futures::future::{BoxFuture, FutureExt as _};
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Session, Setup, User, path};
use latchkey_tests::smtp::Smtp;
use serde_json::{Value, json};
use sqlx::PgConnection;

const WITHDRAWALS: [Withdrawal; 3] = [Withdrawal::Logout, Withdrawal::Deactivation, Withdrawal::Demotion];

/// The event that ends the right to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Withdrawal {
    Logout,
    Deactivation,
    Demotion,
}

impl Withdrawal {
    /// Sends the request to the second replica, and waits for the response.
    async fn withdraw(self, app: &App, user: &User, session: &Session) {
        let change = match self {
            Self::Logout => {
                app.log_out_at(1, session).await.ok(200);
                return;
            }
            Self::Deactivation => json!({ "is_active": false }),
            Self::Demotion => json!({ "is_superuser": false }),
        };
        let root = app.superuser().await;
        let path = format!("{}/{}", path::USERS, user.id);
        app.servers[1].request("PATCH", &path).bearer_auth(&root.access).json(&change).answer().await.ok(200);
    }

    fn status(self) -> u16 {
        if self == Self::Demotion { 403 } else { 401 }
    }
}

pub(crate) fn setup() -> Setup {
    App::setup()
        .replicas(2)
        .mail(Smtp::Plain)
        .set("ACCOUNT_DELETION_ENABLED", "true")
        .set("RATE_LIMITS_ENABLED", "false")
}

async fn new_superuser(app: &App, name: &str) -> (User, Session) {
    let (user, session) = app.new_session(name).await;
    let key = user.id.to_string();
    app.database.execute_for("UPDATE users SET is_superuser = true WHERE id::text = $1", &key).await;
    (user, session)
}

/// Locks the row of an account, like a concurrent change.
pub(crate) async fn lock(app: &App, user: &User) -> PgConnection {
    let mut connection = app.database.connect().await;
    sqlx::query("BEGIN").execute(&mut connection).await.unwrap();
    let sql = "SELECT FROM users WHERE id = $1 FOR UPDATE";
    sqlx::query(sql).bind(user.id).execute(&mut connection).await.unwrap();
    connection
}

pub(crate) async fn release(mut lock: PgConnection) {
    sqlx::query("COMMIT").execute(&mut lock).await.unwrap();
}

/// Everything that a request could change, except by the end of `out`'s rights: accounts, other sessions, audit
/// events, e-mail.
async fn state(app: &App, out: &User) -> String {
    let sql = "SELECT concat_ws(' | ',
                   (SELECT string_agg(concat_ws(' ', id, username, email, name, password_hash), ',' ORDER BY id)
                    FROM users),
                   (SELECT string_agg(concat_ws(' ', is_active, is_superuser), ',' ORDER BY id) FROM users
                    WHERE id::text <> $1),
                   (SELECT string_agg(concat_ws(' ', id, ended_at), ',' ORDER BY id) FROM sessions
                    WHERE user_id::text <> $1),
                   (SELECT count(*) FROM audit_events WHERE user_id IS NULL OR user_id::text <> $1),
                   (SELECT coalesce(max(id), 0) FROM one_time_tokens),
                   (SELECT count(*) FROM seen_mail))";
    app.database.text(sql, &out.id.to_string()).await
}

/// Counts the messages that are inserted into the outbox, which a worker empties.
async fn watch_mail(app: &App) {
    for sql in [
        "CREATE TABLE seen_mail (kind text)",
        "CREATE FUNCTION see_mail() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO seen_mail VALUES (NEW.kind); RETURN NEW; END $$",
        "CREATE TRIGGER see_mail AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION see_mail()",
    ] {
        app.database.execute(sql).await;
    }
}

fn request<'a>(
    app: &'a App,
    (method, path): (&'a str, String),
    session: &'a Session,
    body: Option<Value>,
) -> BoxFuture<'a, Answer> {
    let request = app.server().request(method, &path).bearer_auth(&session.access);
    let request = if let Some(body) = body { request.json(&body) } else { request };
    request.answer().boxed()
}

/// Every request of a superuser for `target`.
pub(crate) fn administration(target: &User) -> Vec<(&'static str, String, Option<Value>)> {
    let one = format!("{}/{}", path::USERS, target.id);
    vec![
        ("PATCH", one.clone(), Some(json!({ "name": "Changed", "is_superuser": true }))),
        ("PATCH", one.clone(), Some(json!({ "email": "moved@example.test" }))),
        ("PATCH", one.clone(), Some(json!({ "is_active": false }))),
        ("DELETE", one.clone(), None),
        ("DELETE", format!("{one}/sessions"), None),
        ("POST", format!("{one}/password-reset"), None),
    ]
}
