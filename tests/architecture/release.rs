//! `make release` refuses what is not ready, and names every reason in one run. Building a release takes too long here.

use std::process::{Command, Output};

use latchkey_tests::process::{run, run_ok};
use latchkey_tests::programs::workspace;

fn release(arguments: &[&str]) -> Output {
    run(Command::new(workspace().join("scripts/release")).args(arguments))
}

#[test]
fn a_release_that_is_not_ready_names_every_reason_and_changes_nothing() {
    let status = || run_ok(Command::new("git").args(["status", "--porcelain"]).current_dir(workspace()));
    let before = status();
    let refused = release(&["999.0.0", "--dry-run"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("CHANGELOG.md has no section \"## 999.0.0\""), "{said}");
    assert_eq!(said.contains("uncommitted changes"), !before.trim().is_empty(), "{said}");
    assert_eq!(status(), before);
}

#[test]
fn invalid_arguments_are_refused() {
    for arguments in [
        &[][..],
        &["1.2"],
        &["v1.2.3"],
        &["1.2.3;true"],
        &["01.2.3"],
        &["1.2.3", "--nonsense"],
        &["1.2.3", "--platforms", "linux/riscv64"],
        &["1.2.3", "--prebuilt", "/nonexistent"],
        &["1.2.3", "--prebuilt"],
    ] {
        assert_eq!(release(arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(release(&["--help"]).status.code(), Some(0));
}
