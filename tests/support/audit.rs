//! The API server's audit log: who changed what.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

/// The audit log of one control plane.
#[derive(Debug)]
pub struct AuditLog(PathBuf);

/// One request that would change something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// The resource, with its subresource: `deployments`, `authservices/status`.
    pub resource: String,
    /// The namespace, or empty.
    pub namespace: String,
    /// The object's name; empty where the API server chose it.
    pub name: String,
    /// The HTTP status it was answered with.
    pub code: u64,
}

impl AuditLog {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Every write by `user` so far, oldest first.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub fn writes_by(&self, user: &str) -> Vec<Write> {
        let text = fs::read_to_string(&self.0).expect("the audit log");
        // The API server may be writing the last line just now.
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete
            .lines()
            // Cheap, before each line is parsed.
            .filter(|line| line.contains(user))
            .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"))
            .filter(|entry| entry.pointer("/user/username").and_then(Value::as_str) == Some(user))
            .map(|entry| write(&entry))
            .collect()
    }
}

fn write(entry: &Value) -> Write {
    let text = |path: &str| entry.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut resource = text("/objectRef/resource");
    let subresource = text("/objectRef/subresource");
    if !subresource.is_empty() {
        resource = format!("{resource}/{subresource}");
    }
    Write {
        verb: text("/verb"),
        resource,
        namespace: text("/objectRef/namespace"),
        name: text("/objectRef/name"),
        code: entry.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default(),
    }
}
