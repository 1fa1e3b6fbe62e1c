//! `latchkey-server check`: validates the settings, connects to each dependency, and reports faults.

use std::process::Output;

use latchkey_tests::clients_file::{ClientsFile, TestClient};
use latchkey_tests::postgres::Postgres;
use latchkey_tests::server::run_command;
use latchkey_tests::smtp::{Mailpit, Smtp};

use crate::parts::{Parts, unreachable};

fn output_of(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(latchkey_tests::logs::leak(&text), None, "{text}");
    text.to_lowercase()
}

#[tokio::test]
async fn check_succeeds_if_every_dependency_responds() {
    let parts = Parts::start().await;
    let output = run_command(&["check"], &parts.variables);
    assert!(output.status.success(), "{}", output_of(&output));
}

#[tokio::test]
async fn check_connects_to_the_smtp_server() {
    let mut parts = Parts::start().await;
    let mut mail = Mailpit::start(Smtp::StartTls).await;
    parts.variables.extend(mail.variables().into_iter().map(|(name, value)| (name.to_owned(), value)));
    let output = run_command(&["check"], &parts.variables);
    assert!(output.status.success(), "{}", output_of(&output));

    parts.variables.insert("SMTP_PASSWORD".to_owned(), "NeverLogged wrong".to_owned());
    let output = run_command(&["check"], &parts.variables);
    assert!(!output.status.success());
    assert!(
        output_of(&output).contains("smtp") || output_of(&output).contains("mail"),
        "{}",
        output_of(&output)
    );

    mail.stop();
    assert!(!run_command(&["check"], &parts.variables).status.success());
}

#[tokio::test]
async fn check_reads_the_pepper_of_imported_passwords() {
    let mut parts = Parts::start().await;
    parts.variables.insert("IMPORTED_PASSWORD_PEPPER".to_owned(), "NeverLogged pepper".to_owned());
    let output = run_command(&["check"], &parts.variables);
    assert!(
        output.status.success() && output_of(&output).contains("password pepper"),
        "{}",
        output_of(&output)
    );
    parts.variables.remove("IMPORTED_PASSWORD_PEPPER");
    parts.variables.insert("IMPORTED_PASSWORD_PEPPER_FILE".to_owned(), "/nowhere/pepper".to_owned());
    for command in ["check", "serve"] {
        let output = run_command(&[command], &parts.variables);
        assert!(!output.status.success());
        assert!(output_of(&output).contains("imported_password_pepper_file /nowhere/pepper cannot be read"));
    }
}

#[tokio::test]
async fn check_reads_the_client_registry_which_need_not_exist() {
    let mut parts = Parts::start().await;
    let clients = ClientsFile::new(&[TestClient::new("orders", &[])]);
    let path = clients.path().display().to_string();
    parts.variables.insert("CLIENTS_FILE".to_owned(), path);
    let check = || run_command(&["check"], &parts.variables);
    let output = check();
    assert!(output.status.success() && output_of(&output).contains("1 registered"), "{}", output_of(&output));
    clients.replace_bytes(b"damaged");
    let output = check();
    assert!(
        !output.status.success() && output_of(&output).contains("clients_file"),
        "{}",
        output_of(&output)
    );
    std::fs::remove_file(clients.path()).unwrap();
    let output = check();
    assert!(
        output.status.success() && output_of(&output).contains("none registered"),
        "{}",
        output_of(&output)
    );
}

#[test]
fn check_names_every_unavailable_dependency() {
    let output = run_command(&["check"], &unreachable());
    assert!(!output.status.success());
    let text = output_of(&output);
    for name in ["database", "redis"] {
        assert!(text.contains(name), "{name} is not named: {text}");
    }
}

#[tokio::test]
async fn check_reports_a_missing_schema() {
    let parts = Parts::on(Postgres::shared().create_empty_database().await);
    let output = run_command(&["check"], &parts.variables);
    assert!(!output.status.success());
    assert!(output_of(&output).contains("migrate"), "the output has no remedy: {}", output_of(&output));
}

#[tokio::test]
async fn warns_of_a_pool_that_exceeds_the_connections_of_the_database() {
    let mut parts = Parts::start().await;
    // The instance of the tests allows 600.
    parts.variables.insert("DATABASE_POOL_SIZE".to_owned(), "700".to_owned());
    let output = run_command(&["check"], &parts.variables);
    assert!(output.status.success(), "a warning is no failure: {}", output_of(&output));
    let text = output_of(&output);
    for part in ["warn", "database_pool_size=700", "597", "max_connections"] {
        assert!(text.contains(part), "`{part}` is missing: {text}");
    }
}
