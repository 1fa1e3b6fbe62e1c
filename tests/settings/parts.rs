//! The fixtures of these tests.

use std::process::Output;
use std::sync::LazyLock;

use latchkey_tests::app::default_variables;
use latchkey_tests::key_set::{self, KeyFile};
use latchkey_tests::postgres::{Database, Postgres};
use latchkey_tests::redis::Redis;
use latchkey_tests::server::Variables;

/// The dependencies of a server, and the settings with their addresses.
pub struct Parts {
    pub database: Database,
    pub redis: Redis,
    _keys: KeyFile,
    pub variables: Variables,
}

impl Parts {
    pub async fn start() -> Self {
        let database = Postgres::shared().create_database().await;
        Self::on(database)
    }

    pub fn on(database: Database) -> Self {
        let redis = Redis::start();
        let keys = KeyFile::new(&[key_set::generate("ES256")]);
        let variables = default_variables(&database, &redis, &keys);
        Self { database, redis, _keys: keys, variables }
    }
}

/// Settings with stores that do not exist, because faults must be reported before the server connects.
pub fn unreachable() -> Variables {
    static KEYS: LazyLock<KeyFile> = LazyLock::new(|| KeyFile::new(&[key_set::generate("ES256")]));
    let text = [
        ("DATABASE_URL", "postgres://u:NeverLogged@127.0.0.1:1/d"),
        ("REDIS_URL", "redis://:NeverLogged@127.0.0.1:1"),
        ("LISTEN_ADDR", "127.0.0.1:0"),
        ("MANAGEMENT_ADDR", "127.0.0.1:0"),
        ("ISSUER_URL", "https://auth.example.test"),
    ];
    let mut variables: Variables =
        text.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    variables.insert("JWT_KEYS_FILE".to_owned(), KEYS.path().display().to_string());
    variables
}

/// Asserts that a command failed with a single sentence that names `variable`, and returns it.
#[track_caller]
pub fn assert_refused(output: &Output, variable: &str) -> String {
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let code = output.status.code();
    assert!(code.is_some_and(|code| (1..=2).contains(&code)), "exit {:?}: {message}", output.status);
    assert_eq!(message.lines().count(), 1, "more than one line: {message}");
    assert!(message.contains(variable), "{variable} is not named: {message}");
    assert_eq!(latchkey_tests::logs::leak(&message), None, "{message}");
    assert!(output.stdout.is_empty(), "stdout is not empty");
    message
}
