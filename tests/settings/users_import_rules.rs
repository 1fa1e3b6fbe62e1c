//! How `latchkey-server users import` handles usernames, booleans, and accounts without a password.

use std::fmt::Write as _;

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use latchkey_tests::logs::SECRET_MARK;
use latchkey_tests::smtp::Smtp;
use serde_json::{Value, json};

use crate::users_import::{Import, stderr, stdout};

const HASH: &str = "$2b$05$Qju3B.C7G10c5ShdNUCusOQGD0rWNmh9XrLOOXaVLWzMBOaCtzl0m";
const USERNAME: &str = "SELECT username FROM users WHERE email = $1";

#[tokio::test]
async fn an_account_with_an_unusable_password_sets_one_by_password_recovery() {
    let import = Import::with(App::setup().mail(Smtp::Plain).start().await);
    let app = &import.app;
    let text = "username,email,password_hash,email_verified\n\
                eve,eve@example.test,!Zx9abc,t\nbob,bob@example.test,!,t\njoe,joe@example.test,*,t\n";

    let output = import.run("users.csv", text, &[]);

    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("3 of them have no password"), "{}", stdout(&output));
    let without = "SELECT count(*) FROM users WHERE email LIKE $1 AND password_hash IS NULL";
    assert_eq!(import.count(without, "%@example.test").await, 3);
    for password in ["!Zx9abc", "Zx9abc", "!"] {
        app.post_login("eve", password).await.problem(401);
    }
    app.post(&format!("{}/eve@example.test", path::RECOVERY)).answer().await.ok(200);
    let token = app.mail().wait_for("eve@example.test", 1).await[0].token();
    let password = format!("{SECRET_MARK} of her own");
    app.post(path::RESET).json(&json!({ "token": token, "new_password": password })).answer().await.ok(200);
    app.log_in_as("eve", &password).await;
}

#[tokio::test]
async fn booleans_are_accepted_in_all_common_forms() {
    let import = Import::with(App::start().await);
    let yes = ["t", "TRUE", "True", "1", "yes", "Y", "on", " true "];
    let no = ["f", "FALSE", "False", "0", "no", "N", "off", ""];
    let mut text = String::from("username,email,is_superuser,email_verified,is_active\n");
    for (number, (yes, no)) in yes.iter().zip(no).enumerate() {
        writeln!(text, "u{number},u{number}@example.test,{no},{yes},{yes}").unwrap();
    }
    text += "odd,odd@example.test,maybe,t,t\n";

    let output = import.run("users.csv", &text, &[]);

    assert!(stderr(&output).contains("line 10: is_superuser must be true or false"), "{}", stderr(&output));
    let sql = "SELECT count(*) FROM users
               WHERE email LIKE $1 AND NOT is_superuser AND is_active AND email_verified_at IS NOT NULL";
    assert_eq!(import.count(sql, "u%@example.test").await, 8);
}

#[tokio::test]
async fn a_username_that_is_an_address_or_absent_is_derived() {
    let import = Import::with(App::start().await);
    let app = &import.app;
    let records = [
        json!({ "username": "jane.doe@example.test", "email": "jane.doe@example.test" }),
        json!({ "email": "jane.doe@example.com" }),
        json!({ "username": "ben+news@example.test" }),
        json!({ "username": "", "email": "empty@example.test" }),
        json!({ "username": "J\u{fc}rgen M.", "email": "juergen@example.test" }),
        json!({ "username": "x".repeat(80), "email": "long@example.test" }),
        json!({ "username": "kept", "email": "kept@example.test" }),
    ];
    let mut text = String::new();
    for mut record in records {
        record["password_hash"] = HASH.into();
        record["email_verified"] = true.into();
        writeln!(text, "{record}").unwrap();
    }

    let output = import.run("users.jsonl", &text, &[]);

    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("6 of them have a derived username"), "{}", stdout(&output));
    let jane = app.database.text(USERNAME, "jane.doe@example.test").await;
    assert!(jane.starts_with("jane.doe-"), "{jane}");
    assert_ne!(jane, app.database.text(USERNAME, "jane.doe@example.com").await);
    assert_eq!(app.database.text(USERNAME, "kept@example.test").await, "kept");
    for address in
        ["jane.doe@example.test", "JANE.DOE@example.com", "ben+news@example.test", "long@example.test"]
    {
        let session = app.log_in_as(address, "correct horse").await;
        let me = app.me(&session.access).await.ok(200);
        let username = me["username"].as_str().unwrap();
        assert!(username.len() <= 64 && !username.contains('@'), "{username}");
        app.log_in_as(username, "correct horse").await;
    }

    // A second run recognises the same accounts, even if a user changed the username.
    app.database.execute("UPDATE users SET username = 'renamed' WHERE email = 'jane.doe@example.test'").await;
    let again = import.run("users.jsonl", &text, &[]);
    assert!(again.status.success(), "{}", stderr(&again));
    assert!(
        stdout(&again).contains("0 accounts created, 7 already existed, 0 records refused"),
        "{}",
        stdout(&again)
    );
}

#[tokio::test]
async fn hashes_in_json_are_accepted_in_json_lines_and_csv() {
    let import = Import::with(App::start().await);
    let fixtures = include_str!("../api/users/fixtures/foreign_hashes.tsv");
    let objects: Vec<&str> = fixtures.lines().filter_map(|line| line.splitn(3, '\t').nth(2)).collect();
    let objects: Vec<&str> = objects.into_iter().filter(|hash| hash.starts_with("{\"")).collect();
    assert!(objects.len() > 8);
    let (mut lines, mut csv) = (String::new(), String::from("username,email,email_verified,password_hash\n"));
    for (number, hash) in objects.iter().enumerate() {
        let object: Value = serde_json::from_str(hash).unwrap();
        let names = json!({ "username": format!("o{number}"), "email": format!("o{number}@example.test"),
                            "email_verified": true, "password_hash": object });
        writeln!(lines, "{names}").unwrap();
        let quoted = hash.replace('"', "\"\"");
        writeln!(csv, "c{number},c{number}@example.test,yes,\"{quoted}\"").unwrap();
    }
    for (file, text) in [("users.jsonl", &lines), ("users.csv", &csv)] {
        let output = import.run(file, text, &[]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    for number in 0..objects.len() {
        import.app.log_in_as(&format!("o{number}"), "correct horse").await;
        import.app.log_in_as(&format!("c{number}"), "correct horse").await;
    }
}

#[tokio::test]
async fn a_record_without_an_address_is_refused() {
    let import = Import::with(App::start().await);
    let output = import.run("users.csv", "username,email\nann,\n,\nann@,\n", &[]);
    assert_eq!(output.status.code(), Some(1));
    let shown = stderr(&output);
    assert!(
        shown.contains("line 2: email is missing") && shown.contains("line 3: email is missing"),
        "{shown}"
    );
    assert!(shown.contains("line 4:") && shown.contains("email is not an e-mail address"), "{shown}");
    let addresses = import.run("addresses.csv", "username,name\nann@example.test,Ann\n", &[]);
    assert!(stdout(&addresses).contains("1 accounts created"), "{}", stderr(&addresses));
}

#[tokio::test]
async fn a_dry_run_reports_the_same_as_the_import_and_writes_nothing() {
    let import = Import::with(App::start().await);
    let taken = import.app.create_user("taken").await.username;
    let text = "username,email,password_hash\n\
                ann,ann@example.test,\nANN,ann@example.test,\nann,other@example.test,\nbob,Ann@example.test,\n\
                TAKEN,somebody@example.test,\n,derived@example.test,\n,derived@example.test,\n\
                weak,weak@example.test,{SSHA}8lN+8WXHTh3yNA6OWouQv0FBn7So1XrP\n\
                bad,bad@example.test,{noop}NeverLogged\n";
    let text = &text.replace("TAKEN", &taken);
    let users = "SELECT count(*) FROM users WHERE email LIKE $1";
    let before = import.count(users, "%").await;
    let (tried, imported) = (import.path("dry.jsonl"), import.path("real.jsonl"));

    let output = import.run("users.csv", text, &["--dry-run", "--report", &tried]);

    assert_eq!(output.status.code(), Some(1));
    let expected = "3 accounts would be created, 2 already existed, 4 records refused";
    assert!(stdout(&output).contains(expected), "{}", stdout(&output));
    assert_eq!(import.count(users, "%").await, before);
    assert_eq!(import.count("SELECT count(*) FROM audit_events WHERE kind = $1", "user_imported").await, 0);
    let output = import.run("users.csv", text, &["--report", &imported]);
    assert!(
        stdout(&output).contains(&expected.replace("would be created", "created")),
        "{}",
        stdout(&output)
    );
    let read = |path: &str| -> Vec<Value> {
        let report = std::fs::read_to_string(path).unwrap();
        let mut refused: Vec<Value> =
            report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        refused.sort_by_key(|refusal| refusal["line"].as_u64());
        refused
    };
    assert_eq!(read(&tried), read(&imported));
}
