//! `latchkey-server migrate`

use latchkey_tests::postgres::Postgres;
use latchkey_tests::server::{Server, Variables, run_command};
use latchkey_tests::wait;
use serde_json::Value;

use crate::parts::Parts;

fn only_database(url: String) -> Variables {
    Variables::from([("DATABASE_URL".to_owned(), url)])
}

#[tokio::test]
async fn may_be_repeated_and_run_by_many_at_once() {
    let database = Postgres::shared().create_empty_database().await;
    let outputs: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| run_command(&["migrate"], &only_database(database.url()))))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for output in outputs {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(run_command(&["migrate"], &only_database(database.url())).status.success());
    assert_eq!(database.count("SELECT count(*) FROM users WHERE username <> $1", "").await, 0);
}

#[test]
fn fails_in_one_sentence_when_postgres_does_not_answer() {
    let url = "postgres://u:NeverLogged@127.0.0.1:1/d".to_owned();
    let output = run_command(&["migrate"], &only_database(url));
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert!(said.contains("database") || said.contains("postgres"), "{said}");
    assert_eq!(latchkey_tests::logs::leak(&String::from_utf8_lossy(&output.stderr)), None);
}

#[tokio::test]
async fn serve_does_not_migrate_but_waits_for_it_and_says_so() {
    let parts = Parts::on(Postgres::shared().create_empty_database().await);
    let server = Server::start(&parts.variables).await;
    wait::until("the server to say that it waits for the schema", || async {
        let answer = server.readiness().await;
        let body: Value = answer.json();
        let schema = &body["dependencies"]["schema"];
        let said = schema["message"].as_str().unwrap_or_default().to_lowercase();
        (answer.status == 503 && schema["ready"] == false && said.contains("migrate")).then_some(())
    })
    .await;
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND $1 <> ''";
    assert_eq!(parts.database.count(tables, "any").await, 0, "it left the database alone");

    assert!(run_command(&["migrate"], &only_database(parts.database.url())).status.success());
    server.wait_until_ready().await;
}
