//! The key set file of a server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{run_ok, temporary_folder};
use crate::programs;

/// A key set file that the server reads (`JWT_KEYS_FILE`).
#[derive(Debug)]
pub struct KeyFile {
    folder: TempDir,
}

impl KeyFile {
    /// A file with these keys.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn new(keys: &[Value]) -> Self {
        let folder = temporary_folder("keys-");
        let file = Self { folder };
        file.replace(keys);
        file
    }

    /// Its path.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("keys.json")
    }

    /// Puts other keys in its place, in one step, as a mounted Secret changes.
    pub fn replace(&self, keys: &[Value]) {
        self.replace_text(&json!({ "keys": keys }).to_string());
    }

    /// Puts any text in its place, in one step.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn replace_text(&self, text: &str) {
        let new = self.folder.path().join("keys.json.new");
        fs::write(&new, text).expect("the new key set");
        fs::rename(new, self.path()).expect("the new key set in its place");
    }

    /// The folder it lies in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A new key, `active`, made by `latchkey-server keygen`.
///
/// # Panics
/// When the command fails or prints something else than a key set of one key.
pub fn generate(algorithm: &str) -> Value {
    let mut keygen = Command::new(programs::latchkey_server());
    let printed = run_ok(keygen.args(["keygen", "--algorithm", algorithm]));
    let mut set: Value = serde_json::from_str(&printed).expect("a JSON key set");
    let keys = set["keys"].as_array_mut().expect("a list of keys");
    assert_eq!(keys.len(), 1, "one key");
    keys.remove(0)
}

/// An ES256 key that all tests share to which it does not matter.
pub fn of_this_process() -> &'static Value {
    static KEY: LazyLock<Value> = LazyLock::new(|| generate("ES256"));
    &KEY
}

/// The same key in another phase (`published`, `active`, `retiring`).
#[must_use]
pub fn in_phase(key: &Value, phase: &str) -> Value {
    let mut key = key.clone();
    key["latchkey_phase"] = phase.into();
    key
}
