//! An index of Auth0's export of password hashes. Each key of an account takes 16 bytes of memory; the hashes stay in the
//! file.

use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use serde_json::{Map, Value};

use crate::auth0::keys_of;

/// The longest line, in bytes.
const MAX_LINE: u64 = 1024 * 1024;

/// A file with an object on each line.
#[derive(Debug)]
pub struct PasswordFile {
    file: BufReader<File>,
    hasher: RandomState,
    /// The hash of each key and the offset of its line, sorted.
    index: Vec<(u64, u64)>,
}

impl PasswordFile {
    /// Builds the index.
    ///
    /// # Errors
    /// The file cannot be read or is not JSON lines.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (hasher, index) = (RandomState::new(), Vec::new());
        let mut passwords = Self { file: BufReader::new(File::open(path)?), hasher, index };
        let mut start = 0;
        loop {
            let line = passwords.read_line()?;
            if line.is_empty() {
                break;
            }
            let object: Option<Map<String, Value>> = serde_json::from_slice(&line).ok();
            if object.is_none() && !line.trim_ascii().is_empty() {
                let reason = "the file of password hashes does not have a JSON object on each line";
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            for key in object.as_ref().map(keys_of).unwrap_or_default() {
                passwords.index.push((passwords.hasher.hash_one(&key), start));
            }
            start += u64::try_from(line.len()).unwrap_or(u64::MAX);
        }
        passwords.index.sort_unstable();
        Ok(passwords)
    }

    fn read_line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
        Ok(line)
    }

    /// Returns the first result of `choose` for the entries with these keys.
    pub(crate) fn find<'a, T>(
        &mut self,
        keys: impl Iterator<Item = &'a str>,
        choose: impl Fn(&Map<String, Value>) -> Option<T>,
    ) -> io::Result<Option<T>> {
        for key in keys {
            let hash = self.hasher.hash_one(key);
            let from = self.index.partition_point(|(known, _)| *known < hash);
            let mut place = from;
            while let Some((known, start)) = self.index.get(place)
                && *known == hash
            {
                self.file.seek(SeekFrom::Start(*start))?;
                let object = serde_json::from_slice(&self.read_line()?).unwrap_or_default();
                if let Some(found) = choose(&object) {
                    return Ok(Some(found));
                }
                place += 1;
            }
        }
        Ok(None)
    }
}
