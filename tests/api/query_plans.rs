//! No endpoint scans a whole table when the database has many accounts and sessions.
//!
//! The test checks the plan of every statement that the endpoints run, from PostgreSQL's log. A new endpoint only
//! needs a request in [`call_every_endpoint`]; without one the test fails.

use std::collections::BTreeSet;

use latchkey_tests::answer::Answered;
use latchkey_tests::app::App;
use latchkey_tests::query_plans::{Plan, log_plans, logged_plans};
use latchkey_tests::smtp::Smtp;

use crate::plan_calls::call_every_endpoint;

/// The accounts of the test, each with five sessions. Plans are the same as with a million, which
/// `LATCHKEY_PLANS_USERS=1000000` shows (docs/reference/performance.md).
const USERS: u32 = 20_000;

/// The most rows of a table that a statement of an endpoint may read, except for the search.
const MOST_ROWS: u64 = 1_500;

/// A part of the statement that searches accounts. The planner either reads all `m` matching accounts, or the `n`
/// accounts in their order until a page has matched, about `page * n / m`: the smaller of the two is at most the
/// square root of `page * n`.
const SEARCH: &str = "lower(username COLLATE \"C\") >= $";
/// The largest page of a search in the calls.
const PAGE: u64 = 100;

/// The tables that grow.
const LARGE: [&str; 10] = [
    "users",
    "sessions",
    "refresh_tokens",
    "revocations",
    "one_time_tokens",
    "audit_events",
    "devices",
    "outbox",
    "groups",
    "memberships",
];

/// Statements that have to read a whole table: the copy of all revocations into an empty Redis, and the count of the
/// messages that wait or were given up, of which housekeeping leaves few.
const READS_ALL: [&str; 2] = [
    "SELECT session_id, expires_at FROM revocations WHERE expires_at > now() - $1",
    "SELECT (SELECT count(*) FROM outbox WHERE dead_at IS NULL) AS pending, \
     (SELECT count(*) FROM outbox WHERE dead_at IS NOT NULL) AS dead",
];

/// Accounts, sessions and related rows of the last months. Housekeeping would delete none of them.
const ROWS: [&str; 12] = [
    "INSERT INTO users (username, email, name, password_hash, is_superuser, is_active, created_at)
     SELECT 'load-' || n, 'load-' || n || '@example.test', 'Load ' || md5(n::text), 'none', n % 50000 = 1, n % 100 <> 0,
            now() - random() * interval '300 days'
     FROM generate_series(1, $1) AS n",
    "INSERT INTO sessions (id, user_id, created_at, last_used_at, access_tokens_expire_at, expires_at, ended_at, address)
     SELECT gen_random_uuid(), users.id, at, at, now() + random() * interval '7 days', at + interval '365 days',
            CASE WHEN n % 10 = 0 THEN now() - random() * interval '6 days' END, '192.0.2.1'
     FROM users, generate_series(1, 5) AS n, LATERAL (SELECT now() - random() * interval '300 days' + users.id * interval '0' AS at) AS time
     WHERE $1 > 0",
    "INSERT INTO refresh_tokens (jti, session_id, issued_at, expires_at)
     SELECT gen_random_uuid(), id, last_used_at, expires_at FROM sessions WHERE address = '192.0.2.1' AND $1 > 0",
    "INSERT INTO revocations (session_id, revoked_at, expires_at)
     SELECT gen_random_uuid(), now() - random() * interval '6 days', now() + random() * interval '7 days'
     FROM generate_series(1, $1 / 2)",
    "INSERT INTO one_time_tokens (user_id, purpose, token_hash, expires_at)
     SELECT id, (ARRAY['password_reset', 'email_verification', 'invitation'])[1 + id % 3],
            sha256(id::text::bytea), now() + random() * interval '7 days'
     FROM users WHERE id % 4 = 0 AND $1 > 0",
    "INSERT INTO audit_events (kind, actor_id, user_id, session_id, request_id, at)
     SELECT (ARRAY['login', 'logout', 'password_changed', 'login', 'login'])[n], id, id, gen_random_uuid(),
            gen_random_uuid()::text, now() - random() * interval '300 days'
     FROM users, generate_series(1, 5) AS n WHERE $1 > 0",
    "INSERT INTO devices (token_hash, user_id, last_used_at)
     SELECT sha256(id::text::bytea), id, now() - random() * interval '300 days' FROM users WHERE $1 > 0",
    "INSERT INTO outbox (kind, recipient, dead_at)
     SELECT 'username_taken', 'dead-' || n || '@example.test', now() - random() * interval '29 days'
     FROM generate_series(1, 2000) AS n WHERE $1 > 0",
    "INSERT INTO groups (name, permissions)
     SELECT 'load-' || n, CASE WHEN n % 500 = 0 THEN ARRAY['users.read'] ELSE ARRAY[]::text[] END
     FROM generate_series(1, 5000) AS n WHERE $1 > 0",
    // A group with half of all accounts.
    "INSERT INTO memberships (group_id, user_id)
     SELECT groups.id, users.id FROM groups, users WHERE groups.name = 'load-1' AND users.id % 2 = 0 AND $1 > 0",
    // An account with 200 groups.
    "INSERT INTO memberships (group_id, user_id)
     SELECT groups.id, users.id FROM groups, users
     WHERE groups.id BETWEEN 2 AND 201 AND username = 'load-77' AND $1 > 0",
    "INSERT INTO memberships (group_id, user_id)
     SELECT 202 + (users.id * n) % 4000, users.id FROM users, generate_series(1, 5) AS n WHERE $1 > 0
     ON CONFLICT DO NOTHING",
];

fn users() -> u32 {
    std::env::var("LATCHKEY_PLANS_USERS").ok().and_then(|text| text.parse().ok()).unwrap_or(USERS)
}

async fn load(app: &App) {
    let mut connection = app.database.connect().await;
    // The rows satisfy the constraints by construction.
    sqlx::query("SET session_replication_role = replica").execute(&mut connection).await.unwrap();
    for sql in ROWS {
        sqlx::query(sql).bind(i32::try_from(users()).unwrap()).execute(&mut connection).await.expect(sql);
    }
    sqlx::query("VACUUM ANALYZE").execute(&mut connection).await.unwrap();
}

/// The operations of the OpenAPI document without a successful response.
async fn not_called(app: &App) -> BTreeSet<String> {
    let document = app.get("/openapi.json").answer().await.json();
    let metrics = app.server().metrics().await;
    let mut missing = BTreeSet::new();
    for (route, operations) in document["paths"].as_object().expect("paths") {
        for method in operations.as_object().expect("operations").keys().map(|method| method.to_uppercase()) {
            let labels =
                [format!("route=\"{route}\""), format!("method=\"{method}\""), "status=\"2xx\"".to_owned()];
            let called = metrics.lines().any(|line| {
                line.starts_with("latchkey_http_requests_total{")
                    && labels.iter().all(|label| line.contains(label))
            });
            if !called {
                missing.insert(format!("{method} {route}"));
            }
        }
    }
    missing
}

/// The faults of a plan.
fn faults(plan: &Plan) -> Vec<String> {
    let query = plan.query.split_whitespace().collect::<Vec<_>>().join(" ");
    if READS_ALL.contains(&query.as_str()) {
        return Vec::new();
    }
    let most_rows = if query.contains(SEARCH) {
        // Doubled, because it is an estimate.
        MOST_ROWS.max(2 * (PAGE * u64::from(users())).isqrt())
    } else {
        MOST_ROWS
    };
    let large = plan.scans.iter().filter(|scan| LARGE.contains(&scan.table.as_str()));
    large
        .filter(|scan| scan.method == "Seq Scan" || scan.rows > most_rows)
        .map(|scan| format!("{} of {} ({} rows): {query}", scan.method, scan.table, scan.rows))
        .collect()
}

#[tokio::test]
async fn no_endpoint_scans_a_large_table() {
    let mut app = App::setup()
        .own_postgres()
        .mail(Smtp::Plain)
        .clients(&[])
        .set("REGISTRATION_ENABLED", "true")
        .set("LOGIN_PROBE_ENABLED", "true")
        .set("ACCOUNT_DELETION_ENABLED", "true")
        .start()
        .await;
    let user = app.create_user("planned").await;
    load(&app).await;
    log_plans(&app.database).await;
    app.restart(0).await;

    call_every_endpoint(&app, &user).await;

    let missing = not_called(&app).await;
    assert!(missing.is_empty(), "call_every_endpoint has no successful request for: {missing:#?}");
    let plans = logged_plans(app.postgres.as_ref().unwrap(), &app.database).await;
    for table in ["users", "sessions", "refresh_tokens", "one_time_tokens", "outbox", "groups", "memberships"]
    {
        let seen = plans.iter().flat_map(|plan| &plan.scans).any(|scan| scan.table == table);
        assert!(seen, "no plan reads {table}: some plans are missing");
    }
    let cascades = plans.iter().filter(|plan| plan.query.starts_with("DELETE FROM ONLY")).count();
    assert!(cascades >= 4, "some plans of cascades are missing: {cascades}");
    let faults: BTreeSet<_> = plans.iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}
