//! The paths of the programs that the tests run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::{env, fs};

use crate::process::build;

/// The checkout whose tests cargo runs. The path at compile time may be that of another checkout with the same build
/// cache.
pub fn workspace() -> &'static Path {
    static WORKSPACE: LazyLock<PathBuf> = LazyLock::new(|| {
        let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        Path::new(&package).parent().expect("tests/ is in the checkout").to_owned()
    });
    &WORKSPACE
}

/// The auth server: `LATCHKEY_SERVER_BIN`, or the one built next to the test executable.
pub fn latchkey_server() -> PathBuf {
    built("LATCHKEY_SERVER_BIN", "latchkey-server")
}

/// The operator: `LATCHKEY_OPERATOR_BIN`, or the one built next to the test executable.
pub fn latchkey_operator() -> PathBuf {
    built("LATCHKEY_OPERATOR_BIN", "latchkey-operator")
}

/// The plugin of kubectl: `LATCHKEY_PLUGIN_BIN`, or the one built next to the test executable.
pub fn kubectl_latchkey() -> PathBuf {
    built("LATCHKEY_PLUGIN_BIN", "kubectl-latchkey")
}

fn built(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = env::var_os(variable) {
        return PathBuf::from(path);
    }
    let test = env::current_exe().expect("the path of this test executable");
    let path = test.ancestors().nth(2).expect("the target folder").join(name);
    assert!(path.exists(), "{} is missing: cargo build -p {name}", path.display());
    path
}

/// A program of the test bed (`tests/cluster/programs`), which is built if it is missing.
pub fn test_bed(name: &str) -> PathBuf {
    let script = workspace().join("tests/cluster/programs");
    PathBuf::from(build(Command::new(script).arg(name)).trim())
}

/// A program of the control plane: of the newest supported Kubernetes, or with `LATCHKEY_TEST_KUBERNETES=oldest` of the oldest.
pub fn control_plane(name: &str) -> PathBuf {
    match env::var("LATCHKEY_TEST_KUBERNETES").as_deref() {
        Ok("oldest") => test_bed(&format!("{name}-oldest")),
        _ => test_bed(name),
    }
}

/// The folder of PostgreSQL's programs, of the newest installed version.
pub fn postgres_bin() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        newest_postgres().unwrap_or_else(|| {
            install("postgresql");
            newest_postgres().expect("the package postgresql contains initdb")
        })
    });
    &FOLDER
}

/// The library that changes the time that a program reads (Debian's package libfaketime).
pub fn faketime_library() -> PathBuf {
    let find = || {
        let folders = fs::read_dir("/usr/lib").ok()?.flatten();
        folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.exists())
    };
    find().unwrap_or_else(|| {
        install("libfaketime");
        find().expect("the package libfaketime contains the library")
    })
}

fn newest_postgres() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .max()
        .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")))
        .filter(|bin| bin.join("initdb").exists())
}

/// `redis-server`, or `valkey-server` if only that is installed.
pub fn redis_server() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        found("redis-server").or_else(|| found("valkey-server")).unwrap_or_else(|| {
            install("redis-server");
            found("redis-server").expect("the package redis-server contains redis-server")
        })
    });
    &PROGRAM
}

/// A program of the Debian package of the same name.
pub fn debian(name: &str) -> PathBuf {
    found(name).unwrap_or_else(|| {
        install(name);
        found(name).unwrap_or_else(|| panic!("the package {name} contains {name}"))
    })
}

/// `promtool`, which checks rules of Prometheus.
pub fn promtool() -> PathBuf {
    found("promtool").unwrap_or_else(|| {
        install("prometheus");
        found("promtool").expect("the package prometheus contains promtool")
    })
}

fn found(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.exists())
}

fn install(package: &str) {
    build(Command::new(workspace().join("tests/cluster/packages")).arg(package));
}
