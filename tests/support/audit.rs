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

/// One request that reads Secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRead {
    /// `get`, `list` or `watch`.
    pub verb: String,
    /// The Secret's name; empty where several are asked for.
    pub name: String,
    /// Whether only Secrets with certain labels are asked for.
    pub selected: bool,
    /// The kind of what a list was answered with: `PartialObjectMetadataList` holds no content.
    pub answer: String,
}

const READS: [&str; 3] = ["get", "list", "watch"];

impl AuditLog {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Every write by `user` so far, oldest first.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub fn writes_by(&self, user: &str) -> Vec<Write> {
        let entries = self.entries_by(user);
        entries.iter().map(write).filter(|write| !READS.contains(&write.verb.as_str())).collect()
    }

    /// Every write by `user` so far that came from this address, oldest first, but for Leases; with the moment at which
    /// the API server received it, as the log writes it.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub fn writes_from(&self, user: &str, source: &str) -> Vec<(String, Write)> {
        let came_from_there = |entry: &Value| {
            entry["sourceIPs"].as_array().into_iter().flatten().any(|address| address == source)
        };
        let entries = self.entries_by(user).into_iter().filter(came_from_there);
        let writes = entries.map(|entry| {
            (entry["requestReceivedTimestamp"].as_str().unwrap_or_default().to_owned(), write(&entry))
        });
        writes.filter(|(_, w)| !READS.contains(&w.verb.as_str()) && w.resource != "leases").collect()
    }

    /// How often `user`, which is a service account, has read the ConfigMap of this name so far.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub fn config_map_gets_by(&self, user: &str, name: &str) -> usize {
        let reads = self.entries_by(user).into_iter().map(|entry| write(&entry));
        reads.filter(|read| read.verb == "get" && read.resource == "configmaps" && read.name == name).count()
    }

    /// Every read of Secrets by `user` so far, which is a service account, oldest first.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub fn secrets_read_by(&self, user: &str) -> Vec<SecretRead> {
        let entries = self.entries_by(user);
        let reads = entries.iter().map(|entry| (write(entry), entry));
        reads
            .filter(|(read, _)| READS.contains(&read.verb.as_str()) && read.resource == "secrets")
            .map(|(read, entry)| {
                let text = |path: &str| entry.pointer(path).and_then(Value::as_str).unwrap_or_default();
                SecretRead {
                    selected: text("/requestURI").contains("labelSelector="),
                    answer: text("/responseObject/kind").to_owned(),
                    verb: read.verb,
                    name: read.name,
                }
            })
            .collect()
    }

    fn entries_by(&self, user: &str) -> Vec<Value> {
        let text = fs::read_to_string(&self.0).expect("the audit log");
        // The API server may be writing the last line just now.
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete
            .lines()
            // Cheap, before each line is parsed.
            .filter(|line| line.contains(user))
            .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"))
            .filter(|entry| entry.pointer("/user/username").and_then(Value::as_str) == Some(user))
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
