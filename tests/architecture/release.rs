//! `make release` refuses what is not ready, and names every reason in one run. Building a release takes too long here.

use std::process::{Command, Output};

use latchkey_tests::process::{run, run_ok, temporary_folder};
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

/// A machine of another platform has built them; an image with the wrong program would only fail when it starts.
#[test]
fn prebuilt_programs_of_another_platform_are_refused() {
    let folder = temporary_folder("prebuilt");
    // The beginning of an ELF file, with the number of its machine.
    let program = |machine: u8| [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 9], &[3, 0, machine, 0]].concat();
    let write = |machine: u8| {
        for name in ["latchkey-server", "latchkey-operator", "kubectl-latchkey"] {
            let path = folder.path().join(format!("{name}-999.0.0-linux-arm64"));
            std::fs::write(path, program(machine)).expect("written");
        }
    };
    let refused = |machine: u8| {
        write(machine);
        let options = ["999.0.0", "--dry-run", "--prebuilt", folder.path().to_str().expect("a text")];
        let output = release(&options);
        assert_eq!(output.status.code(), Some(1), "there is no such version in the changelog");
        String::from_utf8_lossy(&output.stderr).matches("is not a program for linux/arm64").count()
    };
    let (amd64, arm64) = (0x3e, 0xb7);
    assert_eq!((refused(amd64), refused(arm64)), (3, 0));

    let plugin = folder.path().join("kubectl-latchkey-999.0.0-linux-arm64");
    std::fs::remove_file(&plugin).expect("removed");
    let lacking = release(&["999.0.0", "--dry-run", "--prebuilt", folder.path().to_str().expect("a text")]);
    let said = String::from_utf8_lossy(&lacking.stderr);
    assert!(said.contains(&format!("lacks {}", plugin.display())), "{said}");
}

/// krew refuses a manifest with another checksum, and one whose files are not in the archive.
#[test]
fn the_krew_manifest_describes_the_archives() {
    let dist = temporary_folder("krew");
    let script = || Command::new(workspace().join("scripts/krew-manifest"));
    let none = run(script().arg("1.2.3").arg(dist.path()));
    assert_eq!(none.status.code(), Some(1), "no archive");
    assert_eq!(run(&mut script()).status.code(), Some(2));
    for architecture in ["amd64", "arm64"] {
        let archive = dist.path().join(format!("kubectl-latchkey-1.2.3-linux-{architecture}.tar.gz"));
        std::fs::write(archive, architecture).expect("written");
    }
    let printed = run_ok(script().arg("1.2.3").arg(dist.path()));
    let manifest: serde_json::Value = serde_yaml_ng::from_str(&printed).expect("YAML");
    assert_eq!(manifest["apiVersion"], "krew.googlecontainertools.github.com/v1alpha2");
    assert_eq!((&manifest["kind"], &manifest["metadata"]["name"]), (&"Plugin".into(), &"latchkey".into()));
    assert_eq!(manifest["spec"]["version"], "v1.2.3");
    // krew-index limits its length.
    assert!(manifest["spec"]["shortDescription"].as_str().is_some_and(|text| text.len() <= 50));
    let platforms = manifest["spec"]["platforms"].as_array().expect("platforms");
    assert_eq!(platforms.len(), 2);
    for platform in platforms {
        let architecture = platform["selector"]["matchLabels"]["arch"].as_str().expect("an architecture");
        let name = format!("kubectl-latchkey-1.2.3-linux-{architecture}.tar.gz");
        assert!(
            platform["uri"].as_str().is_some_and(|uri| uri.ends_with(&format!("/v1.2.3/{name}"))),
            "{platform}"
        );
        let sum = run_ok(Command::new("sha256sum").arg(dist.path().join(&name)));
        assert_eq!(platform["sha256"].as_str(), sum.split(' ').next());
        assert_eq!(platform["bin"], "kubectl-latchkey");
        assert_eq!(platform["files"][0]["from"], "kubectl-latchkey");
    }
    // The release builds what the manifest names.
    let release = std::fs::read_to_string(workspace().join("scripts/release")).expect("the script");
    assert!(release.contains("scripts/krew-manifest") && release.contains("-p latchkey-plugin"));
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
