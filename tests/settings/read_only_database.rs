//! The commands that need the database refuse one that accepts no writes.

use std::fs;

use latchkey_tests::postgres::Postgres;
use latchkey_tests::process::temporary_folder;
use latchkey_tests::server::run_command;

use crate::parts::Parts;

#[tokio::test]
async fn every_command_refuses_a_standby() {
    let primary = Postgres::start();
    let database = primary.create_database().await;
    let standby = primary.start_standby();
    let parts = Parts::on(database.by_port(standby.port()));
    let folder = temporary_folder("read-only-");
    let users = folder.path().join("users.csv");
    fs::write(&users, "username,email\nada,ada@example.test\n").unwrap();
    let password = folder.path().join("password");
    fs::write(&password, "correct horse battery staple").unwrap();
    let (users, password) = (users.display().to_string(), password.display().to_string());
    let create = ["superuser", "create", "--username=ada", "--email=ada@example.test", "--password-file"];

    for arguments in [
        vec!["check"],
        vec!["migrate"],
        vec!["sessions", "end-all"],
        vec!["users", "import", users.as_str()],
        [&create[..], &[password.as_str()]].concat(),
    ] {
        let output = run_command(&arguments, &parts.variables);
        let message = String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap();
        assert!(!output.status.success(), "{arguments:?}: {message}");
        assert!(message.contains("the database is a read-only standby"), "{arguments:?}: {message}");
        assert_eq!(latchkey_tests::logs::leak(&message), None, "{message}");
    }

    standby.promote();
    let output = run_command(&["check"], &parts.variables);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
