//! The pool of database connections: its size is a setting, and a replica warns when the pools of all replicas exceed what
//! the database allows.

use futures::future::join_all;
use latchkey_tests::app::App;
use latchkey_tests::wait;
use serde_json::Value;

async fn wait_for_pool(app: &App, replica: usize, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    wait::until(what, || async {
        let pool = app.servers[replica].status().await["database_pool"].clone();
        wait::check(holds(&pool), pool.clone()).map(|()| pool)
    })
    .await
}

#[tokio::test]
async fn three_replicas_with_the_default_pool_leave_connections_to_others() {
    let app = App::setup().replicas(3).start().await;

    for replica in 0..3 {
        let pool =
            wait_for_pool(&app, replica, "the replicas to be counted", |pool| pool["replicas"] == 3).await;
        let size = pool["size"].as_i64().unwrap();
        // PostgreSQL's default is 100, of which 3 are reserved; a rollout adds a replica.
        assert!(size * 4 < 97, "{pool}");
        assert_eq!(pool["connection_limit"], 597, "{pool}");
        assert!(pool.get("warning").is_none(), "{pool}");
    }
}

#[tokio::test]
async fn the_pool_is_never_larger_than_its_setting() {
    let app = App::setup().set("DATABASE_POOL_SIZE", "5").start().await;
    let (_, session) = app.new_session("crowd").await;

    let answers = join_all((0..100).map(|_| app.me(&session.access))).await;

    assert!(answers.iter().all(|answer| answer.status == 200));
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name LIKE $1";
    let open = app.database.count(sql, "latchkey-server%").await;
    assert!((1..=5).contains(&open), "{open} connections");
    let pool = wait_for_pool(&app, 0, "the pool", |pool| pool["replicas"] == 1).await;
    assert_eq!(pool["size"], 5);
    assert!(pool["open"].as_i64().unwrap() <= 5 && pool["idle"].as_i64() <= pool["open"].as_i64(), "{pool}");
}

#[tokio::test]
async fn pools_that_exceed_the_limit_of_the_database_are_warned_of() {
    // The instance of the tests allows 600.
    let app = App::setup().replicas(2).set("DATABASE_POOL_SIZE", "400").start().await;

    for replica in 0..2 {
        let pool = wait_for_pool(&app, replica, "a warning", |pool| pool["warning"].is_string()).await;
        let warning = pool["warning"].as_str().unwrap();
        for part in ["2 replicas", "DATABASE_POOL_SIZE=400", "800", "597", "max_connections"] {
            assert!(warning.contains(part), "`{part}` is missing: {warning}");
        }
        let line = app.servers[replica].wait_for_log("DATABASE_POOL_SIZE=400").await;
        assert!(line.contains("WARN"), "{line}");
    }
}

#[tokio::test]
async fn a_limit_of_the_database_counts_as_well() {
    let app = App::setup().start().await;
    let limit = sqlx::AssertSqlSafe(format!("ALTER DATABASE {} CONNECTION LIMIT 12", app.database.name));
    let mut admin = app.database.connect().await;
    sqlx::raw_sql(limit).execute(&mut admin).await.unwrap();

    let pool = wait_for_pool(&app, 0, "a warning", |pool| pool["warning"].is_string()).await;

    assert_eq!(pool["connection_limit"], 12, "{pool}");
}
