//! One start reports every fault of the settings, each with the same sentence as alone.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Output};

use latchkey_tests::process::run;
use latchkey_tests::programs::latchkey_server;
use latchkey_tests::server::{Variables, run_command};

use crate::parts::unreachable;

/// Faults that neither hide nor cause each other.
const FAULTS: [(&str, Option<&str>); 33] = [
    ("ACCESS_TOKEN_EXPIRE_MINUTES", Some("7d")),
    ("ACCOUNT_DELETION_ENABLED", Some("perhaps")),
    ("ADMIN_PASSWORDS_ENABLED", Some("perhaps")),
    ("AUDIT_RETENTION_DAYS", Some("0")),
    ("LOGIN_PROBE_ENABLED", Some("perhaps")),
    ("CORS_ALLOWED_ORIGINS", Some("https://app.example.test/path")),
    ("DATABASE_POOL_SIZE", Some("3")),
    ("DATABASE_URL", Some("mysql://u:NeverLogged@127.0.0.1/d")),
    ("DEFAULT_LOCALE", Some("pt_BR")),
    ("EXTRA_CA_FILE", Some("/nonexistent/authorities.pem")),
    ("FIRST_SUPERUSER", Some("root")),
    ("INTROSPECTION_CLIENT_ID", Some("api")),
    ("ISSUER_URL", None),
    ("JWT_KEYS_FILE", Some("/nonexistent/keys.json")),
    ("LISTEN_ADDR", Some("8080")),
    ("LOG_FORMAT", Some("xml")),
    ("LOG_LEVEL", Some("loud")),
    ("MANAGEMENT_ADDR", Some("localhost")),
    ("PASSWORD_FORBIDDEN_WORDS", Some("x")),
    ("PASSWORD_MIN_LENGTH", Some("3")),
    ("PUBLIC_URL", Some("not a url")),
    ("RATE_LIMITS_ENABLED", Some("perhaps")),
    ("RATE_LIMIT_PER_ACCOUNT", Some("0")),
    ("RATE_LIMIT_PER_NETWORK", Some("many")),
    ("REDIS_URL", None),
    ("REGISTRATION_EMAIL_DOMAINS", Some("example.test, not a domain")),
    ("REGISTRATION_ENABLED", Some("true")),
    ("SMTP_PASSWORD", Some("NeverLogged")),
    ("SMTP_PORT", Some("smtp")),
    ("TRUSTED_PROXIES", Some("everywhere")),
    ("UNVERIFIED_LOGIN_ENABLED", Some("perhaps")),
    ("WORKLOAD_IDENTITY_ENABLED", Some("perhaps")),
    ("KUBERNETES_API_URL", Some("http://api.example.test")),
];

fn with(changes: &[(&str, Option<&str>)]) -> Variables {
    let mut variables = unreachable();
    for (name, value) in changes {
        match value {
            Some(value) => variables.insert((*name).to_owned(), (*value).to_owned()),
            None => variables.remove(*name),
        };
    }
    variables
}

/// The sentences with which a command failed, without the name of the program.
#[track_caller]
fn sentences(output: &Output) -> Vec<String> {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(output.stdout.is_empty(), "stdout is not empty");
    assert_eq!(latchkey_tests::logs::leak(&message), None, "{message}");
    let sentence = |line: &str| line.strip_prefix("latchkey-server: ").expect("a sentence").to_owned();
    message.lines().map(sentence).collect()
}

#[track_caller]
fn assert_named(output: &Output, expected: &[&str]) {
    let message = sentences(output);
    let named: Vec<_> = message.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(named, expected, "{message:?}");
}

#[test]
fn one_start_reports_every_fault() {
    let mut alone = BTreeSet::new();
    for fault in FAULTS {
        let message = sentences(&run_command(&["serve"], &with(&[fault])));
        assert_eq!(message.len(), 1, "{message:?}");
        alone.extend(message);
    }
    for command in ["serve", "check"] {
        let message = sentences(&run_command(&[command], &with(&FAULTS)));
        assert_eq!(message.len(), FAULTS.len(), "not each fault once: {message:?}");
        assert_eq!(message.into_iter().collect::<BTreeSet<_>>(), alone, "{command}");
    }
}

#[test]
fn two_faults_of_one_kind_are_both_reported() {
    let client = [
        ("INTROSPECTION_CLIENT_ID", Some("api")),
        ("INTROSPECTION_CLIENT_SECRET", Some("NeverLogged")),
        ("FIRST_SUPERUSER", Some("not a name")),
        ("FIRST_SUPERUSER_EMAIL", Some("no address")),
        ("FIRST_SUPERUSER_PASSWORD", Some("NeverLogged at all")),
    ];
    for (changes, expected) in [
        (&[("EMAILS_ENABLED", Some("true"))][..], &["SMTP_HOST", "EMAILS_FROM_EMAIL"][..]),
        (
            &[("EMAILS_ENABLED", Some("true")), ("SMTP_HOST", Some("mail")), ("SMTP_USER", Some("me"))],
            &["SMTP_PASSWORD", "EMAILS_FROM_EMAIL"],
        ),
        (&[("SMTP_TLS", Some("maybe")), ("SMTP_SSL", Some("2"))], &["SMTP_TLS", "SMTP_SSL"]),
        (
            &[
                ("DATABASE_URL", None),
                ("DATABASE_URL_FILE", Some("/nonexistent/one")),
                ("REDIS_URL", None),
                ("REDIS_URL_FILE", Some("/nonexistent/other")),
            ],
            &["DATABASE_URL_FILE", "REDIS_URL_FILE"],
        ),
        (&client, &["INTROSPECTION_CLIENT_SECRET", "FIRST_SUPERUSER", "FIRST_SUPERUSER_EMAIL"]),
    ] {
        assert_named(&run_command(&["serve"], &with(changes)), expected);
    }
}

#[test]
fn one_fault_is_reported_once() {
    for (changes, expected) in [
        // Settings that depend on it are neither reported as missing nor as contradictory.
        (
            &[("EMAILS_ENABLED", Some("perhaps")), ("REGISTRATION_ENABLED", Some("true"))][..],
            "EMAILS_ENABLED",
        ),
        (&[("SMTP_USER", Some("me")), ("SMTP_USER_FILE", Some("/dev/null"))], "SMTP_USER"),
        (&[("LISTEN_ADDR", Some("8080")), ("MANAGEMENT_ADDR", Some("127.0.0.1:8080"))], "LISTEN_ADDR"),
    ] {
        assert_named(&run_command(&["serve"], &with(changes)), &[expected]);
    }
}

#[test]
fn a_variable_that_is_not_utf8_is_reported_with_the_others() {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "30"]).arg(latchkey_server()).arg("serve");
    command.env_clear().envs(with(&[("LOG_FORMAT", Some("xml"))]));
    command.env("PATH", std::env::var_os("PATH").unwrap());
    for name in ["DATABASE_URL", "EXTRA_CA_FILE", "SMTP_USER_FILE"] {
        command.env(name, OsStr::from_bytes(b"postgres://\xff"));
    }
    assert_named(&run(&mut command), &["DATABASE_URL", "EXTRA_CA_FILE", "SMTP_USER_FILE", "LOG_FORMAT"]);
}

#[test]
fn a_value_forges_no_line_and_credentials_in_a_url_are_not_printed() {
    let forged = [("LOG_LEVEL", Some("loud\nlatchkey-server: LOG_FORMAT is not valid: it is not"))];
    assert_named(&run_command(&["serve"], &with(&forged)), &["LOG_LEVEL"]);
    for url in
        ["ftp://user:NeverLogged@auth.example.test", "https://user:NeverLogged@", "user:NeverLogged@host"]
    {
        let changes = [("ISSUER_URL", Some(url)), ("CORS_ALLOWED_ORIGINS", Some(url))];
        assert_named(&run_command(&["serve"], &with(&changes)), &["ISSUER_URL", "CORS_ALLOWED_ORIGINS"]);
    }
}

#[test]
fn other_commands_report_every_fault_of_their_settings() {
    let mut variables = with(&[
        ("DATABASE_URL", None),
        ("EXTRA_CA_FILE", Some("/nonexistent/authorities.pem")),
        ("PASSWORD_MIN_LENGTH", Some("3")),
        ("PASSWORD_FORBIDDEN_WORDS", Some("x")),
    ]);
    let stores = ["DATABASE_URL", "EXTRA_CA_FILE"];
    assert_named(&run_command(&["migrate"], &variables), &stores);
    assert_named(&run_command(&["sessions", "end-all"], &variables), &stores);
    let create = ["superuser", "create", "--username", "root", "--email", "root@example.test"];
    let named = ["PASSWORD_MIN_LENGTH", "PASSWORD_FORBIDDEN_WORDS", "DATABASE_URL", "EXTRA_CA_FILE"];
    assert_named(&run_command(&create, &variables), &named);
    variables.remove("EXTRA_CA_FILE");
    assert_named(&run_command(&["migrate"], &variables), &["DATABASE_URL"]);
}
