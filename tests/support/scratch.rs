//! Folders that go when the test process has gone, however it ended.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, process};

/// Makes a folder for something that lives as long as the test process, such as a shared API server.
///
/// A destructor would not do: what a `static` holds is never dropped, and a killed process drops nothing. So
/// a process of its own waits for this one to end and then removes the folder. With `KEEP_TEST_FILES` set it
/// stays, for reading the logs in it.
///
/// # Panics
/// When the folder cannot be made.
pub fn folder(name: &str) -> PathBuf {
    folder_in(&env::temp_dir(), name)
}

/// The same in a place of one's choice.
///
/// # Panics
/// When the folder cannot be made.
pub fn folder_in(place: &Path, name: &str) -> PathBuf {
    let folder = tempfile::Builder::new()
        .prefix(&format!("latchkey-{name}-"))
        .tempdir_in(place)
        .expect("a folder in the temporary folder")
        .keep();
    if env::var_os("KEEP_TEST_FILES").is_none() {
        remove_after_this_process(&folder);
    }
    folder
}

#[expect(clippy::zombie_processes, reason = "it outlives this process, which is what it is for")]
fn remove_after_this_process(folder: &Path) {
    // The programs that write into the folder are killed in the same moment, so the first try may find one
    // of them still writing.
    let script =
        "tail --pid=\"$1\" -s 0.2 -f /dev/null; for _ in 1 2 3 4 5; do rm -rf -- \"$2\" && exit; done";
    Command::new("sh")
        .args(["-c", script, "sh", &process::id().to_string()])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Out of the terminal's group: Ctrl-C ends the test, and then this has work to do.
        .process_group(0)
        .spawn()
        .expect("sh");
}
