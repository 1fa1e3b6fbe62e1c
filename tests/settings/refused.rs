//! A missing, malformed or contradictory setting stops the start immediately with one sentence that names it.

use latchkey_tests::server::run_command;

use crate::parts::{assert_refused, unreachable};

/// Starts the server with these variables changed; `None` removes one.
pub fn start_with(changes: &[(&str, Option<&str>)]) -> std::process::Output {
    let mut variables = unreachable();
    for (name, value) in changes {
        match value {
            Some(value) => variables.insert((*name).to_owned(), (*value).to_owned()),
            None => variables.remove(*name),
        };
    }
    run_command(&["serve"], &variables)
}

#[test]
fn a_missing_setting_is_named() {
    for name in ["DATABASE_URL", "REDIS_URL", "ISSUER_URL", "JWT_KEYS_FILE"] {
        let message = assert_refused(&start_with(&[(name, None)]), name);
        assert!(message.contains("required"), "{message}");
        // An empty value is the same as none.
        assert_refused(&start_with(&[(name, Some(""))]), name);
    }
}

#[test]
fn a_short_client_secret_is_refused() {
    for short in ["NeverLogged", "NeverLogged-0123456789abcdef012"] {
        let client = [("INTROSPECTION_CLIENT_ID", Some("api")), ("INTROSPECTION_CLIENT_SECRET", Some(short))];
        assert_refused(&start_with(&client), "INTROSPECTION_CLIENT_SECRET");
    }
}

#[test]
fn a_malformed_setting_is_named() {
    for (name, value) in [
        ("DATABASE_URL", "mysql://u:NeverLogged@127.0.0.1/d"),
        ("DATABASE_URL", "NeverLogged"),
        ("REDIS_URL", "http://:NeverLogged@127.0.0.1"),
        ("LISTEN_ADDR", "8080"),
        ("LISTEN_ADDR", "localhost"),
        ("MANAGEMENT_ADDR", "0.0.0.0:99999"),
        ("ISSUER_URL", "auth.example.test"),
        ("ISSUER_URL", "ftp://auth.example.test"),
        ("ISSUER_URL", "https://auth.example.test/?a=b"),
        ("ISSUER_URL", "https://user:pass@auth.example.test"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "0"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "7d"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "-1"),
        ("REFRESH_TOKEN_EXPIRE_MINUTES", "1.5"),
        ("REFRESH_TOKEN_EXPIRE_MINUTES", "99999999999"),
        ("EMAILS_ENABLED", "yes please"),
        ("SMTP_PORT", "smtp"),
        ("SMTP_PORT", "tcp://10.0.0.1:25"),
        ("SMTP_TLS", "maybe"),
        ("SMTP_SSL", "2"),
        ("PUBLIC_URL", "not a url"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
    ] {
        assert_refused(&start_with(&[(name, Some(value))]), name);
    }
}

#[test]
fn incomplete_and_contradictory_settings_are_named() {
    for (given, named) in [
        (&[("EMAILS_ENABLED", "true"), ("EMAILS_FROM_EMAIL", "a@b.test")][..], "SMTP_HOST"),
        (&[("EMAILS_ENABLED", "true"), ("SMTP_HOST", "mail")], "EMAILS_FROM_EMAIL"),
        (
            &[("EMAILS_ENABLED", "true"), ("SMTP_HOST", "mail"), ("EMAILS_FROM_EMAIL", "nobody")],
            "EMAILS_FROM_EMAIL",
        ),
        (&[("SMTP_USER", "me")], "SMTP_PASSWORD"),
        (&[("SMTP_PASSWORD", "NeverLogged")], "SMTP_USER"),
        (&[("SMTP_TLS", "true"), ("SMTP_SSL", "true")], "SMTP_SSL"),
        (&[("FIRST_SUPERUSER", "root")], "FIRST_SUPERUSER_EMAIL"),
        (&[("FIRST_SUPERUSER", "root"), ("FIRST_SUPERUSER_EMAIL", "a@b.test")], "FIRST_SUPERUSER_PASSWORD"),
        (&[("FIRST_SUPERUSER_PASSWORD", "NeverLogged")], "FIRST_SUPERUSER"),
        (&[("LISTEN_ADDR", "127.0.0.1:8080"), ("MANAGEMENT_ADDR", "127.0.0.1:8080")], "MANAGEMENT_ADDR"),
    ] {
        let changes: Vec<_> = given.iter().map(|(name, value)| (*name, Some(*value))).collect();
        assert_refused(&start_with(&changes), named);
    }
}

#[test]
fn a_first_superuser_that_breaks_the_rules_is_refused() {
    let superuser = |name: &'static str, email: &'static str, password: &'static str| {
        start_with(&[
            ("FIRST_SUPERUSER", Some(name)),
            ("FIRST_SUPERUSER_EMAIL", Some(email)),
            ("FIRST_SUPERUSER_PASSWORD", Some(password)),
        ])
    };
    let good = "NeverLogged at all";
    assert_refused(&superuser("not a name", "root@example.test", good), "FIRST_SUPERUSER");
    assert_refused(&superuser("root", "no address", good), "FIRST_SUPERUSER_EMAIL");
    let message =
        assert_refused(&superuser("root", "root@example.test", "qzvkwxj"), "FIRST_SUPERUSER_PASSWORD");
    assert!(!message.contains("qzvkwxj"), "{message}");
}

#[test]
fn a_missing_or_invalid_key_set_is_named() {
    // The key set is configuration. Without one the server can never sign tokens, so that it does not wait for it.
    assert_refused(&start_with(&[("JWT_KEYS_FILE", Some("/nonexistent/keys.json"))]), "JWT_KEYS_FILE");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    for text in ["", "{}", "{\"keys\":[]}", "NeverLogged"] {
        std::fs::write(&file, text).unwrap();
        assert_refused(&start_with(&[("JWT_KEYS_FILE", file.to_str())]), "JWT_KEYS_FILE");
    }
}

#[test]
fn check_and_migrate_name_invalid_settings() {
    let mut variables = unreachable();
    variables.insert("LOG_LEVEL".to_owned(), "loud".to_owned());
    assert_refused(&run_command(&["check"], &variables), "LOG_LEVEL");
    assert_refused(&run_command(&["migrate"], &latchkey_tests::server::Variables::new()), "DATABASE_URL");
}

#[test]
fn a_value_that_is_not_utf8_is_malformed() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    for name in ["LOG_LEVEL", "DATABASE_URL", "EMAILS_ENABLED"] {
        let mut command = std::process::Command::new("timeout");
        command.args(["--signal=KILL", "30"]).arg(latchkey_tests::programs::latchkey_server()).arg("serve");
        command.env_clear().envs(unreachable()).env(name, OsStr::from_bytes(b"postgres://\xff"));
        command.env("PATH", std::env::var_os("PATH").unwrap());
        let message = assert_refused(&latchkey_tests::process::run(&mut command), name);
        assert!(!message.contains("required"), "{message}");
    }
}
