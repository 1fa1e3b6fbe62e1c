//! `latchkey-server check`: reads the settings, tries each dependency, says what is wrong.

use std::process::Output;

use latchkey_tests::postgres::Postgres;
use latchkey_tests::server::run_command;
use latchkey_tests::smtp::{Mailpit, Smtp};

use crate::parts::{Parts, unreachable};

fn said(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(latchkey_tests::logs::leak(&said), None, "{said}");
    said.to_lowercase()
}

#[tokio::test]
async fn is_content_when_everything_answers() {
    let parts = Parts::start().await;
    let output = run_command(&["check"], &parts.variables);
    assert!(output.status.success(), "{}", said(&output));
}

#[tokio::test]
async fn tries_the_mail_server_as_well() {
    let mut parts = Parts::start().await;
    let mut mail = Mailpit::start(Smtp::StartTls).await;
    parts.variables.extend(mail.variables().into_iter().map(|(name, value)| (name.to_owned(), value)));
    let output = run_command(&["check"], &parts.variables);
    assert!(output.status.success(), "{}", said(&output));

    parts.variables.insert("SMTP_PASSWORD".to_owned(), "NeverLogged wrong".to_owned());
    let output = run_command(&["check"], &parts.variables);
    assert!(!output.status.success());
    assert!(said(&output).contains("smtp") || said(&output).contains("mail"), "{}", said(&output));

    mail.stop();
    assert!(!run_command(&["check"], &parts.variables).status.success());
}

#[test]
fn names_every_dependency_that_does_not_answer() {
    let output = run_command(&["check"], &unreachable());
    assert!(!output.status.success());
    let said = said(&output);
    for name in ["database", "redis"] {
        assert!(said.contains(name), "{name} is not named: {said}");
    }
}

#[tokio::test]
async fn names_a_schema_that_is_not_there() {
    let parts = Parts::on(Postgres::shared().create_empty_database().await);
    let output = run_command(&["check"], &parts.variables);
    assert!(!output.status.success());
    assert!(said(&output).contains("migrate"), "it says what to do: {}", said(&output));
}

#[tokio::test]
async fn warns_of_a_pool_that_exceeds_the_connections_of_the_database() {
    let mut parts = Parts::start().await;
    // The instance of the tests allows 600.
    parts.variables.insert("DATABASE_POOL_SIZE".to_owned(), "700".to_owned());
    let output = run_command(&["check"], &parts.variables);
    assert!(output.status.success(), "a warning is no failure: {}", said(&output));
    let said = said(&output);
    for part in ["warn", "database_pool_size=700", "597", "max_connections"] {
        assert!(said.contains(part), "`{part}` is missing: {said}");
    }
}
