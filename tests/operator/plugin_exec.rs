//! The commands of `kubectl latchkey` that run the server's own command. There is no kubelet, so the `kubectl` in PATH
//! runs that command on this machine; tests/e2e/plugin.rs runs it in a pod.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use latchkey_tests::app::App;
use latchkey_tests::process::{run, temporary_folder};
use latchkey_tests::programs::latchkey_server;
use serde_json::json;

use crate::fixture::{Fixture, NAME};

const KUBECTL: &str = "#!/bin/sh\nprintf '%s\\n' \"$@\" >\"$0.arguments\"\n\
                       while [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"\n";
const HASH: &str = "$2b$05$Qju3B.C7G10c5ShdNUCusOQGD0rWNmh9XrLOOXaVLWzMBOaCtzl0m";

/// The plugin with that kubectl, and the arguments that kubectl got.
fn plugin(fixture: &Fixture, folder: &Path, database: &str, arguments: &[&str]) -> (Output, String) {
    let server = latchkey_server();
    let folders = [Some(folder), server.parent()].into_iter().flatten().map(Path::to_owned);
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(folders.chain(env::split_paths(&path))).expect("a path");
    let mut plugin = fixture.control_plane.plugin();
    plugin
        .args(["--namespace", &fixture.namespace])
        .args(arguments)
        .env("PATH", path)
        .env("DATABASE_URL", database);
    let output = run(&mut plugin);
    let given = fs::read_to_string(folder.join("kubectl.arguments")).unwrap_or_default();
    (output, given)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_command_gets_the_file_on_its_standard_input_and_decides_the_status() {
    let fixture = Fixture::new("plugin-exec").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let app = App::start().await;
    let database = app.database.url();
    let folder = temporary_folder("plugin-exec");
    let kubectl = folder.path().join("kubectl");
    fs::write(&kubectl, KUBECTL).expect("written");
    fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).expect("executable");
    let file = folder.path().join("users.jsonl");
    let path = file.to_str().expect("a text");
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
    fs::write(&file, &lines).expect("written");
    let call = |arguments: &[&str]| plugin(&fixture, folder.path(), &database, arguments);

    let (tried, given) = call(&["users", "import", NAME, path, "--dry-run", "--assume-verified"]);
    assert!(tried.status.success() && text(&tried).contains("2000 accounts would be created"), "{tried:?}");
    for argument in ["exec", "--stdin", "server", "latchkey-server", "users", "import", "-", "--dry-run"] {
        assert!(given.lines().any(|line| line == argument), "{argument}: {given}");
    }
    assert!(
        given.contains(&format!("--namespace={}", fixture.namespace)) && given.contains("--kubeconfig="),
        "{given}"
    );
    assert!(
        !given.contains("$2b$") && !given.contains("example.com"),
        "a record is in the arguments: {given}"
    );
    let (imported, _) = call(&["users", "import", NAME, path, "--format=jsonl"]);
    assert!(imported.status.success() && text(&imported).contains("2000 accounts created"), "{imported:?}");

    fs::write(&file, lines + "not a record\n").expect("written");
    let (refused, _) = call(&["users", "import", NAME, path]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(text(&refused).contains("line 2001"), "{refused:?}");
    let report = folder.path().join("refused.jsonl");
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
