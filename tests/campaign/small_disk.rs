//! A small file system in memory for the tables of a database, which can be filled.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use latchkey_tests::process::{run, temporary_folder};
use tempfile::TempDir;

/// Far more than the tables of a run.
const SIZE: &str = "400m";

/// It is unmounted when it is dropped, and at the latest when the test process has ended.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one that belongs to the user of PostgreSQL. `None` where the test may not mount.
    pub fn mount() -> Option<Self> {
        let folder = temporary_folder("disk-");
        let user = run(Command::new("id").args(["-u", "postgres"]));
        let user = String::from_utf8_lossy(&user.stdout).trim().to_owned();
        let options = format!("size={SIZE},mode=0700,uid={user},gid=0");
        let disk = Self { folder };
        fs::create_dir(disk.path()).ok()?;
        let mounted =
            run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(disk.path()));
        if !mounted.status.success() {
            return None;
        }
        disk.unmount_after_this_process();
        Some(disk)
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("tables")
    }

    /// A destructor is not sufficient: a killed process drops nothing.
    #[expect(clippy::zombie_processes, reason = "it has to outlive this process")]
    fn unmount_after_this_process(&self) {
        let script = "tail --pid=\"$1\" -s 0.1 -f /dev/null; umount -l -- \"$2\" 2>/dev/null";
        let watcher = Command::new("sh")
            .args(["-c", script, "sh", &std::process::id().to_string()])
            .arg(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        watcher.expect("sh");
    }

    /// Uses up the space.
    pub fn fill(&self) {
        let Ok(mut file) = File::create(self.filler()) else { return };
        let block = vec![0; 1 << 20];
        while file.write_all(&block).is_ok() {}
        // The rest that is smaller than a block.
        while file.write_all(&block[..512]).is_ok() {}
    }

    pub fn clear(&self) {
        // It does not exist if the disk was never filled.
        let _ = fs::remove_file(self.filler());
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("-l").arg(self.path()));
    }
}
