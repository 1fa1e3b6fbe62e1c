//! The commands of `kubectl latchkey` that run the server's own command. There is no kubelet, so the `kubectl` in PATH
//! runs that command on this machine; tests/e2e/plugin.rs runs it in a pod.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use latchkey_tests::app::App;
use latchkey_tests::kubelet::Kubelet;
use latchkey_tests::operator::Operator;
use latchkey_tests::process::{run, temporary_folder};
use latchkey_tests::programs::latchkey_server;
use serde_json::json;
use tempfile::TempDir;

use crate::fixture::{Fixture, NAME};

const KUBECTL: &str = "#!/bin/sh\nprintf '%s\\n' \"$@\" >\"$0.arguments\"\n\
                       while [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"\n";
const HASH: &str = "$2b$05$Qju3B.C7G10c5ShdNUCusOQGD0rWNmh9XrLOOXaVLWzMBOaCtzl0m";

/// An AuthService with pods, and a server of its own that stands for the one in the pods.
struct Commands {
    fixture: Fixture,
    _kubelet: Kubelet,
    _operator: Operator,
    app: App,
    folder: TempDir,
}

impl Commands {
    async fn start(name: &str) -> Self {
        let fixture = Fixture::new(name).await;
        let kubelet = fixture.start_kubelet();
        let operator = fixture.start_operator().await;
        fixture.apply(json!({})).await;
        fixture.wait_for_condition("Ready", "True").await;
        let folder = temporary_folder(name);
        let kubectl = folder.path().join("kubectl");
        fs::write(&kubectl, KUBECTL).expect("written");
        fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).expect("executable");
        Self { fixture, _kubelet: kubelet, _operator: operator, app: App::start().await, folder }
    }

    /// The path of a file with this content.
    fn write(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, content).expect("written");
        path.to_str().expect("a text").to_owned()
    }

    /// Runs the plugin with that kubectl; also returns the arguments that kubectl got.
    fn call(&self, arguments: &[&str]) -> (Output, String) {
        let server = latchkey_server();
        let folders = [Some(self.folder.path()), server.parent()].into_iter().flatten().map(Path::to_owned);
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(folders.chain(env::split_paths(&path))).expect("a path");
        let mut plugin = self.fixture.control_plane.plugin();
        plugin
            .args(["--namespace", &self.fixture.namespace])
            .args(arguments)
            .env("PATH", path)
            .env("DATABASE_URL", self.app.database.url());
        let output = run(&mut plugin);
        let given = fs::read_to_string(self.folder.path().join("kubectl.arguments")).unwrap_or_default();
        (output, given)
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_command_gets_the_file_on_its_standard_input_and_decides_the_status() {
    let commands = Commands::start("plugin-exec").await;
    let call = |arguments: &[&str]| commands.call(arguments);
    // More than a pipe holds.
    let mut lines = String::new();
    for number in 0..2000 {
        let address = format!("user{number}@example.com");
        let _ = writeln!(
            lines,
            "{}",
            json!({"username": format!("user{number}"), "email": address, "password_hash": HASH})
        );
    }
    let path = &commands.write("users.jsonl", &lines);

    let (tried, given) = call(&["users", "import", NAME, path, "--dry-run", "--assume-verified"]);
    assert!(tried.status.success() && text(&tried).contains("2000 accounts would be created"), "{tried:?}");
    for argument in ["exec", "--stdin", "server", "latchkey-server", "users", "import", "-", "--dry-run"] {
        assert!(given.lines().any(|line| line == argument), "{argument}: {given}");
    }
    assert!(
        given.contains(&format!("--namespace={}", commands.fixture.namespace))
            && given.contains("--kubeconfig="),
        "{given}"
    );
    assert!(
        !given.contains("$2b$") && !given.contains("example.com"),
        "a record is in the arguments: {given}"
    );
    let (imported, _) = call(&["users", "import", NAME, path, "--format=jsonl"]);
    assert!(imported.status.success() && text(&imported).contains("2000 accounts created"), "{imported:?}");

    commands.write("users.jsonl", &(lines + "not a record\n"));
    let (refused, _) = call(&["users", "import", NAME, path]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(text(&refused).contains("line 2001"), "{refused:?}");
    let report = commands.folder.path().join("refused.jsonl");
    let report_path = report.to_str().expect("a text");
    let (refused, given) = call(&["users", "import", NAME, path, "--report", report_path]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let printed = text(&refused);
    assert!(printed.contains("1 records refused") && !printed.contains("\"reason\""), "{printed}");
    let lines = fs::read_to_string(&report).expect("the report");
    let record: serde_json::Value = serde_json::from_str(&lines).expect("one record");
    assert!(record["line"] == 2001 && record["reason"].is_string(), "{record}");
    assert!(!given.contains("refused.jsonl"), "the pod has no such file: {given}");
    let (wrong, _) = call(&["users", "import", NAME, path, "--format=nonsense"]);
    assert_eq!(wrong.status.code(), Some(2), "the server refuses its arguments: {wrong:?}");

    let (ended, given) = call(&["sessions", "end-all", NAME, "--yes"]);
    assert!(ended.status.success(), "{ended:?}");
    assert!(given.contains("sessions\nend-all"), "{given}");
    let (checked, given) = call(&["check", NAME]);
    assert!(given.ends_with("latchkey-server\ncheck\n"), "{given}: {checked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_hashes_of_auth0_are_sent_with_its_users() {
    let commands = Commands::start("plugin-auth0").await;
    let users = commands.write("users.ndjson", include_str!("../settings/fixtures/auth0_users.ndjson"));
    let hashes = include_str!("../settings/fixtures/auth0_password_hashes.ndjson");
    let hashes = commands.write("hashes.ndjson", hashes);
    let import =
        |users: &str, options: &[&str]| commands.call(&[&["users", "import", NAME, users], options].concat());

    let (imported, given) = import(&users, &["--format", "auth0", "--password-hashes", &hashes]);
    assert!(imported.status.success() && text(&imported).contains("4 accounts created"), "{imported:?}");
    assert!(!given.contains("hashes") && !given.contains("$2b$"), "they are in the arguments: {given}");
    for address in ["ada@example.test", "bob@example.test"] {
        commands.app.log_in_as(address, "correct horse").await;
    }
    // An account of another identity provider, which has no password.
    commands.app.post_login("eve@example.test", "correct horse").await.problem(401);

    let (refused, _) = import(&users, &["--password-hashes", &hashes]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(text(&refused).contains("--password-hashes belongs to --format auth0"), "{refused:?}");
    let broken = commands.write("broken.ndjson", "[{\"email\":\"NeverPrinted");
    for (users, hashes) in [(&broken, &hashes), (&users, &broken), (&users, &"/nonexistent".to_owned())] {
        let (refused, _) = import(users, &["--format", "auth0", "--password-hashes", hashes]);
        let printed = text(&refused);
        assert_eq!(refused.status.code(), Some(1), "{printed}");
        assert!(printed.contains("JSON") || printed.contains("/nonexistent"), "{printed}");
        assert!(!printed.contains("NeverPrinted"), "{printed}");
    }
}
