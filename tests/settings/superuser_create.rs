//! `latchkey-server superuser create`

use std::fs;
use std::process::{Command, Output};

use latchkey_tests::app::App;
use latchkey_tests::logs::SECRET_MARK;
use latchkey_tests::process::run_with_input;
use latchkey_tests::programs;

/// Runs the command with the database as its only setting, and with this standard input.
fn create(app: &App, arguments: &[&str], input: &str) -> Output {
    create_with(app, &[], arguments, input)
}

/// The same with more settings.
fn create_with(app: &App, settings: &[(&str, &str)], arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(programs::latchkey_server());
    command.env_clear().env("DATABASE_URL", app.database.url()).envs(settings.iter().copied());
    command.args(["superuser", "create"]).args(arguments);
    let output = run_with_input(&mut command, input);
    for message in [&output.stdout, &output.stderr] {
        assert_eq!(latchkey_tests::logs::leak(&String::from_utf8_lossy(message)), None);
    }
    output
}

const RESCUE: [&str; 4] = ["--username", "rescue", "--email", "rescue@example.test"];

#[tokio::test]
async fn the_created_superuser_can_log_in() {
    let app = App::start().await;
    // No active superuser remains.
    app.database.execute("UPDATE users SET is_active = false").await;
    let password = format!("{SECRET_MARK} rescue");

    let output = create(&app, &RESCUE, &format!("{password}\n"));

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let session = app.log_in_as("rescue", &password).await;
    let me = app.me(&session.access).await.ok(200);
    assert_eq!((&me["is_superuser"], &me["name"]), (&true.into(), &"rescue".into()));
    let audited = "SELECT count(*) FROM audit_events WHERE kind = $1";
    assert_eq!(app.database.count(audited, "superuser_created").await, 1);
}

#[tokio::test]
async fn the_password_can_be_read_from_a_file() {
    let app = App::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password").display().to_string();
    let password = format!("{SECRET_MARK} in a file");
    fs::write(&path, format!("{password}\n")).unwrap();
    let output = create(&app, &[&RESCUE[..], &["--password-file", &path, "--name", "R"]].concat(), "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    app.log_in_as("rescue@example.test", &password).await;
}

#[tokio::test]
async fn an_invalid_superuser_is_refused_with_one_sentence() {
    let app = App::start().await;
    let good = format!("{SECRET_MARK} good one");
    let weak = ["--username", "rescue", "--email", "none"];
    let taken = ["--username", "ROOT.admin", "--email", "rescue@example.test"];
    for (arguments, input, expected) in [
        (&RESCUE, "", "password must have at least"),
        (&RESCUE, "password\n", "password is one of the most common"),
        (&weak, good.as_str(), "email is not an e-mail address"),
        (&taken, &good, "The username is taken"),
    ] {
        let output = create(&app, arguments, input);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && message.contains(expected), "{message}");
        assert_eq!(message.trim().lines().count(), 1, "{message}");
    }
    let as_argument = create(&app, &[&RESCUE[..], &["--password", "x"]].concat(), "");
    assert!(!as_argument.status.success(), "a password was accepted as an argument");
    assert_eq!(app.database.count("SELECT count(*) FROM users WHERE username = $1", "rescue").await, 0);
}

#[tokio::test]
async fn the_password_policy_applies() {
    let app = App::start().await;
    let password = format!("{SECRET_MARK} good");
    let output = create_with(&app, &[("PASSWORD_MIN_LENGTH", "40")], &RESCUE, &password);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && message.contains("at least 40 characters"), "{message}");
}
