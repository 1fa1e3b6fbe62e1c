//! The audit log of the Kubernetes API server.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

/// The audit log of one control plane.
#[derive(Debug)]
pub struct AuditLog(PathBuf);

/// One write request.
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
    /// The HTTP status of the response.
    pub code: u64,
}

impl Write {
    /// Whether the API server refused the write for a reason that remains. After a conflict (409) the writer reads the
    /// object again and repeats the write: someone else wrote since it had read, such as a test that applies the next spec.
    pub fn is_refused(&self) -> bool {
        self.code >= 400 && self.code != 409
    }
}

/// One request that reads Secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRead {
    /// `get`, `list` or `watch`.
    pub verb: String,
    /// The name of the Secret; empty in a request for several.
    pub name: String,
    /// Whether a label selector limits the request.
    pub selected: bool,
    /// The kind of the response to a list: a `PartialObjectMetadataList` contains no data.
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

    /// Every write by `user` so far that was sent from this address, oldest first, except to Leases; each with the time
    /// at which the API server received it, as in the log.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub fn writes_from(&self, user: &str, source: &str) -> Vec<(String, Write)> {
        let was_sent_from_there = |entry: &Value| {
            entry["sourceIPs"].as_array().into_iter().flatten().any(|address| address == source)
        };
        let entries = self.entries_by(user).into_iter().filter(was_sent_from_there);
        let writes = entries.map(|entry| {
            (entry["requestReceivedTimestamp"].as_str().unwrap_or_default().to_owned(), write(&entry))
        });
        writes.filter(|(_, w)| !READS.contains(&w.verb.as_str()) && w.resource != "leases").collect()
    }

    /// Whether a complete line contains this text.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub fn contains(&self, text: &str) -> bool {
        let log = fs::read_to_string(&self.0).expect("the audit log");
        log.split_inclusive('\n').any(|line| line.ends_with('\n') && line.contains(text))
    }

    /// The number of reads of the ConfigMap of this name by `user`, which is a service account, so far.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub fn config_map_gets_by(&self, user: &str, name: &str) -> usize {
        let reads = self.entries_by(user).into_iter().map(|entry| write(&entry));
        reads.filter(|read| read.verb == "get" && read.resource == "configmaps" && read.name == name).count()
    }

    /// Every read of Secrets by `user`, which is a service account, so far, oldest first.
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
        // The API server may not have written the last line completely.
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete
            .lines()
            // Cheaper than to parse each line.
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
