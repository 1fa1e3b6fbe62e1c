use std::time::Duration;

use chrono::TimeDelta;
use latchkey_protocol::lease::SWEPT_AFTER;
use latchkey_tests::postgres::{Database, Postgres};
use sqlx::PgConnection;

use super::*;
use crate::trusted_roots::TrustedRoots;

const USER: i64 = 7;

async fn store() -> (Database, Store) {
    let database = Postgres::shared().create_database().await;
    let store = Store::connect_lazily(&database.url(), 2, &TrustedRoots::default()).unwrap();
    (database, store)
}

async fn execute(connection: &mut PgConnection, sql: &'static str) {
    sqlx::query(sql).execute(connection).await.unwrap();
}

async fn revoke(connection: &mut PgConnection, session_id: Uuid, ago: &str) {
    sqlx::query(
        "INSERT INTO revocations (session_id, user_id, revoked_at, expires_at)
         VALUES ($1, $2, now() - $3::text::interval, now() + interval '1 day')",
    )
    .bind(session_id)
    .bind(USER)
    .bind(ago)
    .execute(connection)
    .await
    .unwrap();
}

/// Keeps a snapshot of now as if it was taken this long ago.
async fn keep_snapshot(store: &Store, ago: Duration) {
    let state = store.revocation_state().await.unwrap();
    let server = (Uuid::from_u128(u128::from(ago.as_secs())), state.server_started_at);
    store.snapshots.keep(server, &state.snapshot, Instant::now().checked_sub(ago).unwrap());
}

async fn is_recent(store: &Store, session_id: Uuid) -> bool {
    let own = store.recent_end(session_id, USER).await.unwrap();
    let account = store.recent_ends(USER, None).await.unwrap();
    let both = store.recent_ends(USER, Some(session_id)).await.unwrap();
    let is_in = |ended: &EndedSessions| ended.sessions.iter().any(|end| end.session_id == session_id);
    assert_eq!(is_in(&own), is_in(&account));
    assert_eq!(is_in(&own), is_in(&both));
    assert!(!own.has_more && !account.has_more);
    is_in(&own)
}

#[tokio::test]
async fn an_end_is_recent_until_its_transaction_has_ended_for_as_long_as_sweeps_are_trusted() {
    let (database, store) = store().await;
    let (mut connection, session) = (database.connect().await, Uuid::from_u128(1));
    // The transaction is slow, and a later one ends first.
    execute(&mut connection, "BEGIN").await;
    revoke(&mut connection, session, "1 second").await;
    execute(&mut database.connect().await, "UPDATE revocation_state SET only_row = true").await;
    keep_snapshot(&store, SWEPT_AFTER + Duration::from_secs(20)).await;
    execute(&mut connection, "COMMIT").await;
    assert!(is_recent(&store, session).await, "it was not visible when every replica had swept");
    keep_snapshot(&store, Duration::from_secs(9)).await;
    assert!(is_recent(&store, session).await, "a replica may not have swept since");
    keep_snapshot(&store, SWEPT_AFTER + Duration::from_secs(10)).await;
    assert!(!is_recent(&store, session).await, "every replica has swept since");
}

#[tokio::test]
async fn a_replica_that_has_just_started_goes_by_the_time() {
    let (database, store) = store().await;
    let mut connection = database.connect().await;
    for (number, ago, expected) in
        [(1, "1 second", true), (2, "290 seconds", true), (3, "310 seconds", false)]
    {
        let session = Uuid::from_u128(number);
        revoke(&mut connection, session, ago).await;
        assert_eq!(is_recent(&store, session).await, expected, "{ago}");
    }
}

#[tokio::test]
async fn ends_that_an_older_server_recorded_are_found_by_their_sessions() {
    let (database, store) = store().await;
    let mut connection = database.connect().await;
    for sql in [
        "INSERT INTO users (username, email, name) VALUES ('john', 'john@example.test', 'John')",
        "INSERT INTO sessions (id, user_id, access_tokens_expire_at, expires_at, ended_at)
         SELECT '00000000-0000-0000-0000-000000000001', id, now() + interval '1 day', now(), now() FROM users",
        "INSERT INTO revocations (session_id, expires_at)
         SELECT id, access_tokens_expire_at FROM sessions",
    ] {
        execute(&mut connection, sql).await;
    }
    let user_id = sqlx::query_scalar("SELECT id FROM users").fetch_one(&mut connection).await.unwrap();
    let ended = store.recent_ends(user_id, None).await.unwrap();
    assert_eq!(ended.sessions.len(), 1);
    assert!(ended.sessions[0].expires_at > chrono::Utc::now() + TimeDelta::hours(23));
    assert!(store.recent_ends(user_id + 1, None).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cutoff_is_recent_for_a_few_minutes() {
    let (database, store) = store().await;
    let mut connection = database.connect().await;
    for (ago, expected) in [("1 second", true), ("290 seconds", true), ("310 seconds", false)] {
        sqlx::query(
            "INSERT INTO session_cutoffs (user_id, cutoff) VALUES ($1, now() - $2::text::interval)
             ON CONFLICT (user_id) DO UPDATE SET cutoff = excluded.cutoff",
        )
        .bind(USER)
        .bind(ago)
        .execute(&mut connection)
        .await
        .unwrap();
        let found = [
            store.recent_end(Uuid::from_u128(1), USER).await.unwrap(),
            store.recent_ends(USER, None).await.unwrap(),
        ];
        assert!(found.iter().all(|ended| ended.has_more == expected), "{ago}: {found:?}");
    }
}
