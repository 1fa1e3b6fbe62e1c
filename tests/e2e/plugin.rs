//! `kubectl latchkey`, run by kubectl on a real node: what needs a kubelet.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Output};

use kube::ResourceExt;
use latchkey_tests::process::{run, run_ok, temporary_folder};
use latchkey_tests::programs::kubectl_latchkey;

use crate::client::Client;
use crate::namespace::{NAME, Namespace};
use crate::stores;

/// `kubectl latchkey`, found by kubectl in PATH.
fn plugin(namespace: &Namespace, arguments: &[&str]) -> Output {
    let kubectl = namespace.cluster.kubectl();
    let mut command = Command::new(kubectl.get_program());
    command.envs(kubectl.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let plugin = kubectl_latchkey();
    let folders = [plugin.parent(), std::path::Path::new(kubectl.get_program()).parent()];
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = folders.into_iter().flatten().map(Into::into).chain(env::split_paths(&path));
    command.env("PATH", env::join_paths(folders).expect("a path"));
    run(command.arg("latchkey").args(arguments).args(["--namespace", &namespace.name]))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn the_plugin_imports_accounts_ends_sessions_and_prints_logs() {
    let namespace = Namespace::new("plugin").await;
    let stores = stores::start(&namespace).await;
    let client = Client::start(&namespace).await;
    namespace.bring_up("external stores, 2 replicas, for the plugin", stores::spec(2)).await;
    client.wait_until_routed().await;
    let pods = namespace.wait_for_server_pods(2, &[]).await;
    let status = plugin(&namespace, &["status", NAME]);
    assert!(text(&status.stdout).contains("Ready, 2 of 2 replicas ready"), "{status:?}");
    let check = plugin(&namespace, &["check", NAME]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");

    // The file is larger than the buffers between here and the pod; its last record is wrong.
    let folder = temporary_folder("plugin");
    let file = folder.path().join("users.jsonl");
    let mut lines = String::new();
    for number in 0..3000 {
        let name = "x".repeat(60);
        let fields = format!("\"username\":\"user{number}\",\"email\":\"user{number}@example.com\"");
        let _ = writeln!(lines, "{{{fields},\"name\":\"{name}\"}}");
    }
    fs::write(&file, &lines).expect("written");
    let path = file.to_str().expect("a text");
    let imported = plugin(&namespace, &["users", "import", NAME, path]);
    assert_eq!(imported.status.code(), Some(0), "{imported:?}");
    let printed = text(&[&imported.stdout[..], &imported.stderr[..]].concat());
    assert!(printed.contains("3000 accounts created"), "{printed}");
    lines += "not an account\n";
    fs::write(&file, &lines).expect("written");
    let rejected = plugin(&namespace, &["users", "import", NAME, path, "--dry-run"]);
    assert_eq!(rejected.status.code(), Some(1), "the status of the server's command: {rejected:?}");
    assert!(text(&[rejected.stdout, rejected.stderr].concat()).contains("3001"), "the line is named");

    let session = client.log_in("root.admin", &stores.admin_password);
    let ended = plugin(&namespace, &["sessions", "end-all", NAME, "--yes"]);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(client.me(&session.access).status, 401);

    let logs = plugin(&namespace, &["logs", NAME, "--timestamps"]);
    assert_eq!(logs.status.code(), Some(0), "{logs:?}");
    let logs = text(&logs.stdout);
    let mut times: Vec<&str> = Vec::new();
    for line in logs.lines() {
        let mut words = line.split(' ');
        assert!(
            pods.iter().any(|pod| words.next() == Some(&pod.name_any()) || line.starts_with(&pod.name_any())),
            "{line}"
        );
        times.push(line.split(' ').nth(1).expect("a time"));
    }
    for pod in &pods {
        assert!(logs.contains(&pod.name_any()), "{} has no line", pod.name_any());
    }
    assert!(times.len() > 4 && times.windows(2).all(|pair| pair[0][..19] <= pair[1][..19]), "not in order");

    let archive = folder.path().join("support.tar.gz");
    let bundle = plugin(&namespace, &["support-bundle", NAME, "--output", archive.to_str().expect("a text")]);
    assert!(bundle.status.success(), "{bundle:?}");
    let content =
        run_ok(Command::new("tar").args(["--extract", "--gzip", "--to-stdout", "--file"]).arg(&archive));
    let names = run_ok(Command::new("tar").args(["--list", "--gzip", "--file"]).arg(&archive));
    assert!(!content.contains(&stores.admin_password), "the password of the administrator is in the archive");
    for part in [format!("logs/{}/server.log", pods[0].name_any()), "operator/logs/".to_owned()] {
        assert!(names.contains(&part), "{part}: {names}");
    }
}
