//! `latchkey-server users import`

use std::fmt::Write as _;
use std::fs;
use std::process::Output;

use latchkey_tests::app::App;
use latchkey_tests::logs::SECRET_MARK;
use latchkey_tests::server::{Variables, run_command};
use serde_json::Value;

const HASH: &str = "$2b$05$Qju3B.C7G10c5ShdNUCusOQGD0rWNmh9XrLOOXaVLWzMBOaCtzl0m";

pub(crate) struct Import {
    pub(crate) app: App,
    folder: tempfile::TempDir,
}

impl Import {
    async fn start() -> Self {
        Self::with(App::start().await)
    }

    pub(crate) fn with(app: App) -> Self {
        Self { app, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub(crate) fn run(&self, name: &str, text: &str, more: &[&str]) -> Output {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        let arguments = [&["users", "import", &path], more].concat();
        let output = run_command(&arguments, &only_database(&self.app));
        for message in [&output.stdout, &output.stderr] {
            let message = String::from_utf8_lossy(message);
            assert_eq!(latchkey_tests::logs::leak(&message), None, "{message}");
            assert!(!message.contains("$2b$"), "the output contains a hash: {message}");
        }
        output
    }

    pub(crate) async fn count(&self, sql: &'static str, key: &str) -> i64 {
        self.app.database.count(sql, key).await
    }
}

pub(crate) fn only_database(app: &App) -> Variables {
    Variables::from([("DATABASE_URL".to_owned(), app.database.url())])
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const IMPORTED: &str = "SELECT count(*) FROM audit_events WHERE kind = 'user_imported' AND $1 <> ''";

#[tokio::test]
async fn imported_accounts_log_in_with_their_passwords() {
    let import = Import::start().await;
    let text = format!(
        "{{\"username\":\"ann\",\"email\":\"Ann@example.test\",\"name\":\"Ann A\",\"password_hash\":\"{HASH}\",\
         \"email_verified\":true,\"locale\":\"de\"}}\n\
         {{\"username\":\"bob\",\"email\":\"bob@example.test\",\"password_hash\":\"{HASH}\",\"email_verified\":true,\
         \"is_superuser\":true,\"is_active\":false}}\n\
         {{\"username\":\"eve\",\"email\":\"eve@example.test\",\"password_hash\":\"{HASH}\"}}\n\
         {{\"username\":\"new\",\"email\":\"new@example.test\",\"email_verified\":true}}\n"
    );
    let output = import.run("users.jsonl", &text, &[]);

    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("4 accounts created"), "{}", stdout(&output));
    assert!(stdout(&output).contains("1 of them have an unverified address"));
    assert_eq!(import.count(IMPORTED, "any").await, 4);
    let app = &import.app;
    let ann = app.log_in_as("ann", "correct horse").await;
    let me = app.me(&ann.access).await.ok(200);
    assert_eq!((&me["email"], &me["name"]), (&"Ann@example.test".into(), &"Ann A".into()));
    app.post_login("bob", "correct horse").await.problem(403);
    app.post_login("eve", "correct horse").await.problem(403);
    app.post_login("new", "correct horse").await.problem(401);
    let text = async |column: &'static str| app.database.text(column, "bob").await;
    assert_eq!(text("SELECT is_superuser::text FROM users WHERE username = $1").await, "true");
    assert_eq!(app.database.text("SELECT locale FROM users WHERE username = $1", "ann").await, "de");
}

#[tokio::test]
async fn a_repeated_import_only_creates_the_missing_accounts() {
    let import = Import::start().await;
    let file = |count: usize| {
        let mut text = String::from("username,email,name,password_hash,email_verified\n");
        for number in 0..count {
            writeln!(text, "user-{number},user-{number}@example.test,User {number},{HASH},true").unwrap();
        }
        text
    };
    let (half, whole) = (file(1_500), file(2_500));

    assert!(
        stdout(&import.run("users.csv", &half, &[])).contains("1500 accounts created, 0 already existed")
    );
    let output = import.run("users.csv", &whole, &[]);

    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("1000 accounts created, 1500 already existed, 0 records refused"),
        "{}",
        stdout(&output)
    );
    assert_eq!(import.count("SELECT count(*) FROM users WHERE username LIKE $1", "user-%").await, 2_500);
    assert_eq!(import.count(IMPORTED, "any").await, 2_500);
    // The next import does not change the accounts of an earlier one.
    import.app.database.execute("UPDATE users SET is_active = false WHERE username = 'user-7'").await;
    import.run("users.csv", &half, &[]);
    assert_eq!(
        import.count("SELECT count(*) FROM users WHERE NOT is_active AND username = $1", "user-7").await,
        1
    );
}

#[tokio::test]
async fn each_refused_record_is_reported_with_its_line_and_reason() {
    let import = Import::start().await;
    let mut text = String::from("{\"username\":\"ann\",\"email\":\"ann@example.test\"}\n");
    for (member, value) in [
        ("password_hash", format!("\"{SECRET_MARK} in clear\"")),
        ("password_hash", format!("\"{}\"", HASH.replace("$05$", "$31$"))),
        ("is_active", "\"yes\"".to_owned()),
        ("password", format!("\"{SECRET_MARK}\"")),
        ("locale", "\"en_US\"".to_owned()),
        ("name", "\"\\u0000\"".to_owned()),
    ] {
        writeln!(text, "{{\"username\":\"bad\",\"email\":\"bad@example.test\",\"{member}\":{value}}}")
            .unwrap();
    }
    text.push_str("{\"username\":\"ANN\",\"email\":\"other@example.test\"}\n");
    text.push_str("{\"username\":\"other\",\"email\":\"ANN@example.test\"}\n");
    text.push_str("{\"username\":\"ANN\",\"email\":\"ANN@example.test\"}\n");
    text.push_str("nonsense\n\n{\"username\":\"\",\"email\":\"\"}\n{\"username\":\"last\",\"email\":\"last@example.test\"}");
    let report = import.path("report.jsonl");

    let output = import.run("users.ndjson", &text, &["--report", &report]);

    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("2 accounts created, 1 already existed, 10 records refused"),
        "{}",
        stdout(&output)
    );
    let report = fs::read_to_string(report).unwrap();
    assert_eq!(latchkey_tests::logs::leak(&report), None);
    let mut refused: Vec<Value> = report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    refused.sort_by_key(|refusal| refusal["line"].as_u64());
    insta::assert_json_snapshot!(refused);

    let shown = stderr(&import.run("users.ndjson", &text, &[]));
    assert!(shown.contains("line 2: password_hash is not a password hash"), "{shown}");
}

#[tokio::test]
async fn the_format_of_standard_input_must_be_given() {
    let import = Import::start().await;
    let unknown = import.run("users.txt", "", &[]);
    assert!(!unknown.status.success() && stderr(&unknown).contains("--format"), "{}", stderr(&unknown));
    let empty = import.run("users.txt", "username,email\n", &["--format", "csv"]);
    assert!(empty.status.success() && stdout(&empty).starts_with("0 records read"));
    let headless = import.run("users.csv", "ann,ann@example.test\n", &[]);
    assert!(!headless.status.success() && stderr(&headless).contains("the first line must name columns"));
    let missing = run_command(&["users", "import", "/nowhere.csv"], &only_database(&import.app));
    assert!(!missing.status.success() && stderr(&missing).contains("/nowhere.csv cannot be imported"));
    let dash = run_command(&["users", "import", "-", "--format", "jsonl"], &only_database(&import.app));
    assert!(dash.status.success(), "{}", stderr(&dash));
}

#[tokio::test]
async fn two_concurrent_imports_create_each_account_once() {
    let import = Import::start().await;
    let mut text = String::from("username,email\n");
    for number in 0..3_000 {
        writeln!(text, "twin-{number},twin-{number}@example.test").unwrap();
    }
    // The other one in the opposite order.
    let (header, rows) = text.split_once('\n').unwrap();
    let mut reversed: Vec<_> = rows.lines().rev().collect();
    reversed.insert(0, header);
    let reversed = reversed.join("\n");
    std::thread::scope(|scope| {
        let runs = [("a.csv", &text), ("b.csv", &reversed)]
            .map(|(name, text)| scope.spawn(|| import.run(name, text, &[])));
        for run in runs {
            let output = run.join().unwrap();
            assert!(output.status.success(), "{}", stderr(&output));
        }
    });
    assert_eq!(import.count("SELECT count(*) FROM users WHERE username LIKE $1", "twin-%").await, 3_000);
    assert_eq!(import.count(IMPORTED, "any").await, 3_000);
}

#[test]
fn an_unavailable_database_is_reported() {
    let variables =
        Variables::from([("DATABASE_URL".to_owned(), "postgres://u:NeverLogged@127.0.0.1:1/d".to_owned())]);
    for command in [&["users", "import", "-", "--format", "csv"][..], &["sessions", "end-all"]] {
        let output = run_command(command, &variables);
        assert!(!output.status.success());
        assert!(stderr(&output).contains("database"), "{}", stderr(&output));
        assert_eq!(latchkey_tests::logs::leak(&stderr(&output)), None);
        assert!(!run_command(command, &Variables::new()).status.success());
    }
}
