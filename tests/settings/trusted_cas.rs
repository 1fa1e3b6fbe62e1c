//! `EXTRA_CA_FILE`: PostgreSQL, Redis and SMTP servers with certificates of a private certificate authority.

use std::fs;

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{SUPERUSER, path, superuser_password};
use latchkey_tests::authority::Authority;
use latchkey_tests::key_set::{self, KeyFile};
use latchkey_tests::postgres::{Database, Postgres};
use latchkey_tests::process::temporary_folder;
use latchkey_tests::redis::Redis;
use latchkey_tests::server::{Server, Variables, run_command};
use latchkey_tests::smtp::{Mailpit, Smtp};
use latchkey_tests::wait;
use tokio::sync::OnceCell;

use crate::parts::{assert_refused, unreachable};

/// All three, with certificates for 127.0.0.1 from one authority.
struct Stores {
    authority: Authority,
    postgres: Postgres,
    redis: Redis,
    mail: Mailpit,
    keys: KeyFile,
}

impl Stores {
    /// The instance that these tests share.
    async fn shared() -> &'static Self {
        static STORES: OnceCell<Stores> = OnceCell::const_new();
        STORES
            .get_or_init(async || {
                let authority = Authority::new("Our own authority");
                let certificate = authority.issue();
                Self {
                    postgres: Postgres::start_with_tls(&certificate),
                    redis: Redis::start_with_tls(&certificate),
                    mail: Mailpit::start_with_tls(Smtp::StartTls, &certificate).await,
                    keys: KeyFile::new(&[key_set::generate("ES256")]),
                    authority,
                }
            })
            .await
    }

    /// Settings with their addresses and the authority; `query` is appended to the URL of the database.
    fn variables(&self, database: &Database, query: &str) -> Variables {
        let mut variables = latchkey_tests::app::default_variables(database, &self.redis, &self.keys);
        for (name, value) in self.mail.variables() {
            variables.insert(name.to_owned(), value);
        }
        variables.insert("DATABASE_URL".to_owned(), format!("{}{query}", database.url()));
        variables.insert("EXTRA_CA_FILE".to_owned(), self.authority.bundle().display().to_string());
        variables
    }
}

/// The result of `check` for each dependency: whether it works, and the rest of its line.
fn check(variables: &Variables) -> Vec<(bool, String)> {
    let output = run_command(&["check"], variables);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(latchkey_tests::logs::leak(&text), None, "{text}");
    let found: Vec<_> = text.lines().map(|line| (line.starts_with("ok "), line[6..].to_owned())).collect();
    assert!(found.len() >= 3, "{text}");
    assert_eq!(output.status.success(), found.iter().all(|(works, _)| *works), "{text}");
    found
}

#[track_caller]
fn assert_says(found: &[(bool, String)], subject: &str, works: bool, text: &str) {
    let line = found.iter().find(|(_, line)| line.starts_with(subject));
    let (found, line) = line.unwrap_or_else(|| panic!("{subject} is not named: {found:?}"));
    assert_eq!(*found, works, "{line}");
    assert!(line.contains(text), "{line} does not contain {text:?}");
}

#[tokio::test]
async fn certificates_of_the_authority_are_trusted_only_with_the_setting() {
    let stores = Stores::shared().await;
    let database = stores.postgres.create_database().await;
    for query in ["", "?sslmode=verify-full", "?sslmode=require"] {
        let mut variables = stores.variables(&database, query);
        for (works, line) in check(&variables) {
            assert!(works, "{query} {line}");
        }
        variables.remove("EXTRA_CA_FILE");
        let found = check(&variables);
        let not_trusted = "its certificate is not trusted";
        // Without EXTRA_CA_FILE the database is used as by PostgreSQL's own clients, which verify the certificate only on
        // request.
        let checked = query == "?sslmode=verify-full";
        assert_says(&found, "database", !checked, if checked { not_trusted } else { "answers" });
        assert_says(&found, "redis", false, not_trusted);
        assert_says(&found, "mail", false, not_trusted);
    }
}

#[tokio::test]
async fn certificates_of_another_authority_are_refused() {
    let stores = Stores::shared().await;
    let database = stores.postgres.create_database().await;
    let other = Authority::new("Our own authority");
    let mut variables = stores.variables(&database, "");
    variables.insert("EXTRA_CA_FILE".to_owned(), other.bundle().display().to_string());
    let found = check(&variables);
    for subject in ["database", "redis", "mail"] {
        assert_says(&found, subject, false, "its certificate");
    }
    // A bundle with both authorities.
    let folder = temporary_folder("bundle-");
    let both = folder.path().join("both.pem");
    fs::write(&both, format!("# two\n{}\n{}", other.text(), stores.authority.text())).unwrap();
    variables.insert("EXTRA_CA_FILE".to_owned(), both.display().to_string());
    assert!(check(&variables).into_iter().all(|(works, _)| works));
}

#[tokio::test]
async fn a_certificate_for_another_host_name_is_refused() {
    let stores = Stores::shared().await;
    let database = stores.postgres.create_database().await;
    let mut variables = stores.variables(&database, "");
    for name in ["DATABASE_URL", "REDIS_URL", "SMTP_HOST"] {
        let value = variables[name].replace("127.0.0.1", "localhost");
        variables.insert(name.to_owned(), value);
    }
    let found = check(&variables);
    for subject in ["database", "redis", "mail"] {
        assert_says(&found, subject, false, "its certificate is for another host name");
    }
    // With verify-ca, the host name is not verified.
    variables.insert("DATABASE_URL".to_owned(), format!("{}?sslmode=verify-ca", variables["DATABASE_URL"]));
    assert_says(&check(&variables), "database", true, "answers");
}

#[tokio::test]
async fn a_database_without_tls_needs_sslmode_disable() {
    let stores = Stores::shared().await;
    let database = Postgres::shared().create_database().await;
    let found = check(&stores.variables(&database, ""));
    assert_says(&found, "database", false, "sslmode=disable");
    assert_says(&check(&stores.variables(&database, "?sslmode=disable")), "database", true, "answers");
}

#[tokio::test]
async fn the_server_migrates_and_serves_with_these_certificates() {
    let stores = Stores::shared().await;
    let database = stores.postgres.create_empty_database().await;
    let variables = stores.variables(&database, "?sslmode=verify-full");
    let mut without = variables.clone();
    without.remove("EXTRA_CA_FILE");
    let refused = run_command(&["migrate"], &without);
    assert!(!refused.status.success());
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(message.contains("its certificate is not trusted"), "{message}");
    assert!(run_command(&["migrate"], &variables).status.success());

    let server = Server::start(&variables).await;
    server.wait_until_ready().await;
    wait::until("revocations in Redis, and e-mail", || async {
        let status = server.status().await;
        let mail = &status["dependencies"]["mail"]["ready"];
        wait::check(status["revocation"]["mode"] == "redis" && *mail == true, status)
    })
    .await;
    let form = [("username", SUPERUSER.to_owned()), ("password", superuser_password())];
    server.post(path::LOGIN).form(&form).answer().await.ok(200);
    server.post(&format!("{}/root@example.test", path::RECOVERY)).answer().await.ok(200);
    assert_eq!(stores.mail.wait_for("Root@Example.Test", 1).await.len(), 1);
}

#[tokio::test]
async fn the_certificate_of_implicit_tls_is_verified() {
    let stores = Stores::shared().await;
    let database = stores.postgres.create_database().await;
    let mail = Mailpit::start_with_tls(Smtp::Implicit, &stores.authority.issue()).await;
    let mut variables = stores.variables(&database, "");
    variables.extend(mail.variables().into_iter().map(|(name, value)| (name.to_owned(), value)));
    assert_says(&check(&variables), "mail", true, "takes mail");
    variables.remove("EXTRA_CA_FILE");
    assert_says(&check(&variables), "mail", false, "its certificate is not trusted");
}

#[test]
fn an_invalid_bundle_stops_the_start() {
    let folder = temporary_folder("bundle-");
    let file = folder.path().join("ca.crt");
    let mut variables = unreachable();
    variables.insert("EXTRA_CA_FILE".to_owned(), file.display().to_string());
    let damaged = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    for content in [None, Some(""), Some("no PEM"), Some(damaged)] {
        if let Some(content) = content {
            fs::write(&file, content).unwrap();
        }
        for command in ["serve", "migrate"] {
            assert_refused(&run_command(&[command], &variables), "EXTRA_CA_FILE");
        }
    }
}
