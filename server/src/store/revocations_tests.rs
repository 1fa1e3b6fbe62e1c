use std::collections::HashSet;

use latchkey_tests::postgres::Postgres;
use sqlx::PgConnection;

use super::*;
use crate::trusted_roots::TrustedRoots;

#[test]
fn a_sweep_goes_on_from_the_last_one_only_on_the_same_server_of_the_same_database() {
    let cursor = |service, started, oldest_running| SweepCursor {
        service_id: Uuid::from_u128(service),
        server_started_at: DateTime::from_timestamp(started, 0).unwrap(),
        oldest_running,
    };
    let last = cursor(1, 1, 100);
    assert_eq!(last.next_transaction(&cursor(1, 1, 100)), Some(100));
    assert_eq!(last.next_transaction(&cursor(1, 1, 200)), Some(100));
    for other in [cursor(2, 1, 200), cursor(1, 2, 200), cursor(1, 1, 99)] {
        assert_eq!(last.next_transaction(&other), None, "{other:?}");
    }
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Withdraw,
    /// The trust was withdrawn at this time.
    BeginRefill(&'static str, i64),
    Trust(&'static str),
}

const THEN: i64 = 1_700_000_000;

fn withdrawn(at: i64) -> Record {
    let changed_at = DateTime::from_timestamp(at, 0).unwrap();
    Record { trusted: None, candidate: None, changed_at }
}

const CHANGES: [Change; 6] = [
    Change::Withdraw,
    Change::BeginRefill("a", THEN),
    Change::BeginRefill("b", THEN),
    Change::BeginRefill("b", THEN - 1),
    Change::Trust("a"),
    Change::Trust("b"),
];

fn changed(record: &mut Record, change: Change, now: DateTime<Utc>) -> bool {
    match change {
        Change::Withdraw => {
            record.withdraw(now);
            true
        }
        Change::BeginRefill(epoch, at) => record.begin_refill(&Arc::from(epoch), &withdrawn(at)),
        Change::Trust(epoch) => record.trust(&Arc::from(epoch), now),
    }
}

async fn change_in_database(store: &Store, change: Change) -> bool {
    match change {
        Change::Withdraw => {
            store.distrust_redis().await.unwrap();
            true
        }
        Change::BeginRefill(epoch, at) => store.begin_refill(epoch, &withdrawn(at)).await.unwrap(),
        Change::Trust(epoch) => store.trust_redis(epoch).await.unwrap(),
    }
}

async fn set(connection: &mut PgConnection, record: &Record) {
    sqlx::query("UPDATE revocation_state SET redis_epoch = $1, filling = $2, changed_at = $3")
        .bind(record.trusted.as_deref())
        .bind(record.candidate.as_deref())
        .bind(record.changed_at)
        .execute(connection)
        .await
        .unwrap();
}

/// The models explore the transitions of [`Record`]; these are the statements that make them.
#[tokio::test]
async fn the_statements_change_the_record_as_the_models_assume() {
    let database = Postgres::shared().create_database().await;
    let store = Store::connect_lazily(&database.url(), 2, &TrustedRoots::default()).unwrap();
    let mut connection = database.connect().await;
    let then = DateTime::from_timestamp(THEN, 0).unwrap();
    let first = Record { trusted: None, candidate: None, changed_at: then };
    let (mut waiting, mut seen) = (vec![first.clone()], HashSet::new());
    while let Some(record) = waiting.pop() {
        for change in CHANGES {
            set(&mut connection, &record).await;
            let mut expected = record.clone();
            // PostgreSQL's clock has another time than the model's.
            let now = then + chrono::TimeDelta::days(1);
            let done = changed(&mut expected, change, now);
            assert_eq!(change_in_database(&store, change).await, done, "{change:?} of {record:?}");
            let found = store.revocation_state().await.unwrap().record();
            assert_eq!(found.trusted, expected.trusted, "{change:?} of {record:?}");
            assert_eq!(found.candidate, expected.candidate, "{change:?} of {record:?}");
            assert_eq!(found.changed_at != then, expected.changed_at != then, "{change:?} of {record:?}");
            expected.changed_at = then;
            if seen.insert((expected.trusted.clone(), expected.candidate.clone())) {
                waiting.push(expected);
            }
        }
    }
    assert!(seen.len() >= 5, "{seen:?}");
}
