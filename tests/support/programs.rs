//! Where the programs are that the tests run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::{env, fs};

use crate::process::run_ok;

/// The checkout: the one that cargo runs the tests of. What was compiled in may be another one that shares the
/// build cache.
pub fn workspace() -> &'static Path {
    static WORKSPACE: LazyLock<PathBuf> = LazyLock::new(|| {
        let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        Path::new(&package).parent().expect("tests/ lies in the checkout").to_owned()
    });
    &WORKSPACE
}

/// The auth server: `LATCHKEY_SERVER_BIN`, else the one built beside the test executable.
pub fn latchkey_server() -> PathBuf {
    built("LATCHKEY_SERVER_BIN", "latchkey-server")
}

/// The operator: `LATCHKEY_OPERATOR_BIN`, else the one built beside the test executable.
pub fn latchkey_operator() -> PathBuf {
    built("LATCHKEY_OPERATOR_BIN", "latchkey-operator")
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

/// A program of the test bed (`tests/cluster/programs`), built if need be.
pub fn test_bed(name: &str) -> PathBuf {
    let script = workspace().join("tests/cluster/programs");
    PathBuf::from(run_ok(Command::new(script).arg(name)).trim())
}

/// PostgreSQL's programs (`initdb`, `postgres`): the newest version that is installed.
pub fn postgres_bin() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        newest_postgres().unwrap_or_else(|| {
            install("postgresql");
            newest_postgres().expect("the package postgresql brings initdb")
        })
    });
    &FOLDER
}

/// The library that shows a program another time (Debian's package libfaketime).
pub fn faketime_library() -> PathBuf {
    let find = || {
        let folders = fs::read_dir("/usr/lib").ok()?.flatten();
        folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.exists())
    };
    find().unwrap_or_else(|| {
        install("libfaketime");
        find().expect("the package libfaketime brings the library")
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

/// `redis-server`, or `valkey-server` where that is what the machine has.
pub fn redis_server() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        found("redis-server").or_else(|| found("valkey-server")).unwrap_or_else(|| {
            install("redis-server");
            found("redis-server").expect("the package redis-server brings redis-server")
        })
    });
    &PROGRAM
}

/// A program of the Debian package of the same name.
pub fn debian(name: &str) -> PathBuf {
    found(name).unwrap_or_else(|| {
        install(name);
        found(name).unwrap_or_else(|| panic!("the package {name} brings {name}"))
    })
}

/// `promtool`, which judges Prometheus' rules.
pub fn promtool() -> PathBuf {
    found("promtool").unwrap_or_else(|| {
        install("prometheus");
        found("promtool").expect("the package prometheus brings promtool")
    })
}

fn found(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.exists())
}

fn install(package: &str) {
    run_ok(Command::new(workspace().join("tests/cluster/packages")).arg(package));
}
