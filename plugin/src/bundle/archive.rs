//! A tar archive, compressed with gzip.

use std::fs::{File, OpenOptions};
use std::io::{Error, Result, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;

/// The folder of all files.
const FOLDER: &str = "latchkey-support/";
const BLOCK: usize = 512;

/// An archive that is being written.
pub struct Archive<W: Write = File> {
    gzip: GzEncoder<W>,
    time: u64,
}

impl Archive {
    /// Creates the file, which must not exist. Only its owner can read it.
    pub fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self::new(file))
    }
}

impl<W: Write> Archive<W> {
    fn new(target: W) -> Self {
        let time =
            SystemTime::now().duration_since(UNIX_EPOCH).map(|time| time.as_secs()).unwrap_or_default();
        Self { gzip: GzEncoder::new(target, Compression::default()), time }
    }

    /// Adds a file.
    pub fn add(&mut self, path: &str, text: &str) -> Result<()> {
        self.gzip.write_all(&header(path, text.len(), self.time)?)?;
        self.gzip.write_all(text.as_bytes())?;
        let rest = text.len() % BLOCK;
        if rest > 0 {
            self.gzip.write_all(&vec![0; BLOCK - rest])?;
        }
        Ok(())
    }

    /// Ends the archive.
    pub fn finish(mut self) -> Result<()> {
        self.gzip.write_all(&[0; 2 * BLOCK])?;
        self.gzip.finish()?.flush()
    }
}

/// The header of a file (POSIX.1-1988 ustar).
fn header(path: &str, size: usize, time: u64) -> Result<[u8; BLOCK]> {
    let path = format!("{FOLDER}{path}");
    let (prefix, name) = split(&path).ok_or_else(|| Error::other(format!("the path {path} is too long")))?;
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, &format!("{time:011o}\0"));
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\0");
    put(263, "00");
    put(345, prefix);
    let sum: u64 = block.iter().copied().map(u64::from).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

/// A prefix of at most 155 bytes and a name of at most 100, with a slash between them.
fn split(path: &str) -> Option<(&str, &str)> {
    if path.len() <= 100 {
        return Some(("", path));
    }
    let slashes = path.rmatch_indices('/').map(|(at, _)| path.split_at(at));
    let fits = |(prefix, name): &(&str, &str)| prefix.len() <= 155 && name.len() <= 101;
    slashes.into_iter().find(fits).map(|(prefix, name)| (prefix, &name[1..]))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn tar_reads_what_was_written() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        let long = format!("{}/{}.yaml", "folder".repeat(12), "name".repeat(15));
        archive.add("a.txt", "hello\n").expect("added");
        archive.add(&long, &"x".repeat(BLOCK)).expect("added");
        assert!(archive.add(&"x".repeat(300), "").is_err());
        archive.finish().expect("finished");
        let mut tar = Command::new("tar");
        tar.args(["--gzip", "--list", "--verbose"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = tar.spawn().expect("tar");
        child.stdin.take().expect("its input").write_all(&bytes).expect("written");
        let output = child.wait_with_output().expect("its output");
        let listed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{listed}");
        assert!(listed.contains("latchkey-support/a.txt") && listed.contains(&long), "{listed}");
    }
}
