//! Each variable with a secret can be set as `NAME_FILE` instead, but not both.

use std::fs;
use std::path::Path;

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{SUPERUSER, path, superuser_password};
use latchkey_tests::server::{Server, run_command};
use latchkey_tests::smtp::{Mailpit, Smtp};
use latchkey_tests::wait;

use crate::parts::{Parts, assert_refused, unreachable};

/// Moves the value of a variable into a file.
fn into_file(parts: &mut Parts, folder: &Path, name: &str, line_break: &str) {
    let value = parts.variables.remove(name).unwrap_or_else(|| panic!("{name} is set"));
    let file = folder.join(name);
    fs::write(&file, format!("{value}{line_break}")).unwrap();
    parts.variables.insert(format!("{name}_FILE"), file.display().to_string());
}

const SECRETS: [&str; 7] = [
    "DATABASE_URL",
    "REDIS_URL",
    "SMTP_USER",
    "SMTP_PASSWORD",
    "FIRST_SUPERUSER_PASSWORD",
    "INTROSPECTION_CLIENT_SECRET",
    "IMPORTED_PASSWORD_PEPPER",
];

const CLIENT_SECRET: &str = "NeverLogged-0123456789abcdef-0123456789abcdef";

#[tokio::test]
async fn every_secret_can_be_read_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut parts = Parts::start().await;
    let mail = Mailpit::start(Smtp::StartTls).await;
    parts.variables.extend(mail.variables().into_iter().map(|(name, value)| (name.to_owned(), value)));
    for (name, value) in [
        ("INTROSPECTION_CLIENT_ID", "api"),
        ("INTROSPECTION_CLIENT_SECRET", CLIENT_SECRET),
        ("IMPORTED_PASSWORD_PEPPER", "NeverLogged pepper"),
    ] {
        parts.variables.insert(name.to_owned(), value.to_owned());
    }
    for (name, line_break) in SECRETS.iter().zip(["", "\n", "\r\n", "\n", "\n", "\n", "\n"]) {
        into_file(&mut parts, folder.path(), name, line_break);
    }

    let server = Server::start(&parts.variables).await;
    server.wait_until_ready().await;

    let form = [("username", SUPERUSER.to_owned()), ("password", superuser_password())];
    server.post(path::LOGIN).form(&form).answer().await.ok(200);
    let request = server.post(path::INTROSPECT).basic_auth("api", Some(CLIENT_SECRET));
    request.form(&[("token", "x")]).answer().await.ok(200);
    server.post(&format!("{}/Root@Example.Test", path::RECOVERY)).answer().await.ok(200);
    mail.wait_for("Root@Example.Test", 1).await;
}

#[tokio::test]
async fn migrate_reads_the_url_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut parts = Parts::start().await;
    into_file(&mut parts, folder.path(), "DATABASE_URL", "\n");
    parts.variables.retain(|name, _| name == "DATABASE_URL_FILE");
    assert!(run_command(&["migrate"], &parts.variables).status.success());
}

#[test]
fn a_value_and_a_file_for_one_secret_are_refused() {
    for name in SECRETS {
        let mut variables = unreachable();
        variables.insert(name.to_owned(), "postgres://NeverLogged".to_owned());
        variables.insert(format!("{name}_FILE"), "/dev/null".to_owned());
        assert_refused(&run_command(&["serve"], &variables), name);
    }
}

#[test]
fn an_unreadable_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    fs::write(&empty, "\n").unwrap();
    for name in ["DATABASE_URL", "REDIS_URL"] {
        for file in ["/nonexistent/secret", folder.path().to_str().unwrap(), empty.to_str().unwrap()] {
            let mut variables = unreachable();
            variables.remove(name);
            variables.insert(format!("{name}_FILE"), file.to_owned());
            assert_refused(&run_command(&["serve"], &variables), &format!("{name}_FILE"));
        }
    }
}

#[test]
fn a_file_with_an_invalid_value_is_named_without_the_value() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    for text in ["mysql://u:NeverLogged@127.0.0.1/d", "NeverLogged"] {
        fs::write(&file, text).unwrap();
        for name in ["DATABASE_URL", "REDIS_URL"] {
            let mut variables = unreachable();
            variables.remove(name);
            variables.insert(format!("{name}_FILE"), file.display().to_string());
            assert_refused(&run_command(&["serve"], &variables), name);
        }
    }
}

#[tokio::test]
async fn new_database_credentials_in_the_file_need_no_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut parts = Parts::start().await;
    let ours = parts.variables["DATABASE_URL"].clone();
    let (login, place) = ours.split_once('@').unwrap();
    assert!(login.starts_with("postgres://"), "a URL with a login");
    let file = folder.path().join("url");
    let write = |password: &str| {
        fs::write(&file, format!("postgres://rotating:{password}@{place}")).unwrap();
    };
    parts.database.execute("CREATE ROLE rotating LOGIN PASSWORD 'NeverLogged-one' IN ROLE latchkey").await;
    write("NeverLogged-one");
    parts.variables.remove("DATABASE_URL");
    parts.variables.insert("DATABASE_URL_FILE".to_owned(), file.display().to_string());
    let server = Server::start(&parts.variables).await;
    server.wait_until_ready().await;

    // The old password is invalid immediately, and every connection is closed.
    parts.database.execute("ALTER ROLE rotating PASSWORD 'NeverLogged-two'").await;
    let connections = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotating'";
    parts.database.execute(connections).await;
    wait::until_equal("the status of /readyz", 503, || async { server.readiness().await.status }).await;
    write("NeverLogged-two");
    server.wait_until_ready().await;

    // Another database needs a restart, because one server must never write to two.
    fs::write(&file, format!("postgres://rotating:NeverLogged-two@{place}_other")).unwrap();
    server.wait_for_log("after a restart").await;
    assert_eq!(server.readiness().await.status, 200);
}
