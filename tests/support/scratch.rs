//! Folders that are removed after the test process has ended, even if it was killed.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, process};

/// Creates a folder for a program that runs as long as the test process, such as a shared API server.
///
/// A destructor is not sufficient: the value of a `static` is never dropped, and a killed process drops nothing.
/// Therefore another process waits for the end of this one and then removes the folder. With `KEEP_TEST_FILES` set
/// the folder remains, with the logs in it.
///
/// # Panics
/// When the folder cannot be created.
pub fn folder(name: &str) -> PathBuf {
    folder_in(&env::temp_dir(), name)
}

/// The same below another folder.
///
/// # Panics
/// When the folder cannot be created.
pub fn folder_in(place: &Path, name: &str) -> PathBuf {
    let folder = tempfile::Builder::new()
        .prefix(&format!("latchkey-{name}-"))
        .tempdir_in(place)
        .expect("a folder for the files of a test")
        .keep();
    if env::var_os("KEEP_TEST_FILES").is_none() {
        remove_after_this_process(&folder);
    }
    folder
}

#[expect(clippy::zombie_processes, reason = "it has to outlive this process")]
fn remove_after_this_process(folder: &Path) {
    // The programs that write into the folder are killed at the same moment, so that one of them may still write
    // during the first attempt.
    let script =
        "tail --pid=\"$1\" -s 0.2 -f /dev/null; for _ in 1 2 3 4 5; do rm -rf -- \"$2\" && exit; done";
    Command::new("sh")
        .args(["-c", script, "sh", &process::id().to_string()])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // In another process group than the test, because Ctrl-C must not end it.
        .process_group(0)
        .spawn()
        .expect("sh");
}
