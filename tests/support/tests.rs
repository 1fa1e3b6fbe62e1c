//! Tests of the support programs themselves.

use std::process::Command;

use ::redis::AsyncCommands;

use crate::link::Link;
use crate::postgres::Postgres;
use crate::process::{OnParentDeath, Process};
use crate::redis::Redis;
use crate::smtp::{Mailpit, Smtp};

#[tokio::test]
async fn a_restarted_postgres_has_its_data() {
    let mut postgres = Postgres::start();
    let database = postgres.create_empty_database().await;
    database.execute("CREATE TABLE t (a text)").await;
    assert_eq!(database.execute_for("INSERT INTO t VALUES ($1)", "kept").await, 1);
    postgres.stop();
    postgres.start_again();
    assert_eq!(database.text("SELECT a FROM t WHERE a = $1", "kept").await, "kept");
}

#[tokio::test]
async fn a_restarted_redis_has_the_data_of_its_last_dump() {
    let mut redis = Redis::start();
    let _: () = redis.connect().await.set("kept", 1).await.unwrap();
    redis.dump().await;
    let _: () = redis.connect().await.set("lost", 1).await.unwrap();
    redis.stop();
    redis.start_again();
    assert_eq!(redis.keys().await, ["kept"]);
    redis.flush().await;
    assert!(redis.keys().await.is_empty());
    redis.stop();
    redis.forget_dump();
    redis.start_again();
    assert!(redis.keys().await.is_empty());
}

#[tokio::test]
async fn a_link_forwards_connections_unless_it_is_cut() {
    let redis = Redis::start();
    let link = Link::to(redis.port());
    let client = ::redis::Client::open(redis.url_through(link.port())).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let _: () = connection.set("a", 1).await.unwrap();
    link.cut();
    assert!(connection.get::<_, i32>("a").await.is_err());
    assert!(client.get_multiplexed_async_connection().await.is_err());
    link.mend();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    assert_eq!(connection.get::<_, i32>("a").await.unwrap(), 1);
}

#[tokio::test]
async fn mailpit_restarts_in_every_mode() {
    for smtp in [Smtp::Plain, Smtp::StartTls, Smtp::Implicit] {
        let mut mail = Mailpit::start(smtp).await;
        assert!(mail.mail_to("nobody@example.test").await.is_empty());
        mail.refuse_recipients(Some(550)).await;
        mail.stop();
        mail.start_again().await;
        assert!(mail.mail_to("nobody@example.test").await.is_empty());
    }
}

#[test]
fn a_process_reports_its_exit_status_and_its_output() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo one >&2; echo two >&2; exit 3"]);
    let mut process = Process::start(&command, OnParentDeath::Kill);
    assert_eq!(process.wait().code(), Some(3));
    assert_eq!(process.stderr.all(), ["one", "two"]);
    assert!(!process.is_running());
}
