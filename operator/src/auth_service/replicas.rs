//! Asks each server pod what it sees: `GET /status` on its management port.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::names::MANAGEMENT_PORT;

const WITHIN: Duration = Duration::from_secs(2);
const AT_ONCE: usize = 16;
/// How many connections there are at once, whosever pods are asked.
static CONNECTIONS: Semaphore = Semaphore::const_new(512);
/// Far more than a status takes.
const MOST_BYTES: u64 = 256 * 1024;

/// What a server says about itself; fields that this operator does not know are left out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Report {
    /// Version of the server.
    #[serde(default)]
    pub version: Option<String>,
    /// Version of the schema it found.
    #[serde(default)]
    pub schema_version: Option<i64>,
    /// Version of the schema it cannot do without.
    #[serde(default)]
    pub required_schema_version: Option<i64>,
    /// The oldest server that can live with the schema it makes.
    #[serde(default)]
    pub oldest_tolerated_server: Option<i64>,
    /// The signing keys it has loaded.
    #[serde(default)]
    pub signing_keys: Vec<LoadedKey>,
    /// Its clock, in seconds since the epoch.
    #[serde(default)]
    pub time: Option<i64>,
    /// How long it lets verifiers keep the public keys, in seconds.
    #[serde(default)]
    pub jwks_max_age: Option<u32>,
    /// The longest lifetime of the tokens it signs, in seconds.
    #[serde(default)]
    pub longest_token_lifetime: Option<i64>,
    /// Where it looks revocations up.
    #[serde(default)]
    pub revocation: Option<Revocation>,
    /// What it depends on, by name.
    #[serde(default)]
    pub dependencies: BTreeMap<String, Dependency>,
}

/// A signing key that a server has loaded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LoadedKey {
    /// Its id.
    pub kid: String,
    /// What it does.
    #[serde(default)]
    pub phase: Option<String>,
}

/// Where a server looks revocations up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Revocation {
    /// `redis` or `postgres`.
    pub mode: String,
    /// Why.
    #[serde(default)]
    pub message: String,
}

/// Something a server depends on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Dependency {
    /// Whether it can be used.
    pub ready: bool,
    /// Why not.
    #[serde(default)]
    pub message: String,
    /// The same in one word, where a condition tells this fault from others.
    #[serde(default)]
    pub reason: Option<String>,
}

impl Report {
    /// Whether it reaches a database whose schema is older than it needs, or that has none.
    pub fn misses_schema(&self) -> bool {
        // Of a database that does not answer it remembers what it saw last.
        let answers = self.dependencies.get("database").is_some_and(|database| database.ready);
        answers && self.schema_version < self.required_schema_version
    }
}

/// What came of asking one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The pod's name.
    pub pod: String,
    /// Its report; `None` when it could not be asked or did not answer well.
    pub report: Option<Report>,
}

/// Asks all pods that run, some at a time.
pub async fn ask_all(pods: &[Pod]) -> Vec<Answer> {
    let questions: Vec<_> = pods.iter().map(|pod| (pod.name_any(), address(pod))).collect();
    futures::stream::iter(questions)
        .map(|(pod, address)| async move {
            let report = match address {
                Some(address) => {
                    let _connection = CONNECTIONS.acquire().await;
                    tokio::time::timeout(WITHIN, ask(address)).await.ok().flatten()
                }
                None => None,
            };
            Answer { pod, report }
        })
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// Whether there is a pod that can be asked. What it says changes without a watch's telling.
pub fn any_to_ask(pods: &[Pod]) -> bool {
    pods.iter().any(|pod| address(pod).is_some())
}

/// Where a pod can be asked, if it runs.
fn address(pod: &Pod) -> Option<SocketAddr> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() != Some("Running") || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let ip: IpAddr = status.pod_ip.as_deref()?.parse().ok()?;
    Some(SocketAddr::new(ip, MANAGEMENT_PORT))
}

/// One request of HTTP/1.0, whose answer ends with the connection (RFC 1945 §7.2.2): no client library is needed
/// for it.
async fn ask(address: SocketAddr) -> Option<Report> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET /status HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut answer).await.ok()?;
    parse(&answer)
}

/// The report in an HTTP answer; `None` unless it is a good one.
fn parse(answer: &[u8]) -> Option<Report> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = (&answer[..end], &answer[end + 4..]);
    let status = head.split(|byte| *byte == b' ').nth(1)?;
    if status != b"200" {
        return None;
    }
    serde_json::from_slice(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_answer_is_understood() {
        let answer = b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{\"version\":\"0.1.0\",\"schema_version\":1,\"signing_keys\":[{\"kid\":\"k\",\"alg\":\"ES256\",\"phase\":\"active\"}],\"revocation\":{\"mode\":\"redis\",\"message\":\"\"},\"dependencies\":{\"database\":{\"ready\":true,\"message\":\"ok\"}}}";
        let report = parse(answer).unwrap();
        assert_eq!(report.version.as_deref(), Some("0.1.0"));
        assert_eq!(report.signing_keys[0].kid, "k");
        assert!(report.dependencies["database"].ready);
    }

    #[test]
    fn only_a_database_that_answers_is_said_to_miss_the_schema() {
        let report = |answers, found, needed| Report {
            version: None,
            schema_version: found,
            required_schema_version: needed,
            oldest_tolerated_server: None,
            signing_keys: Vec::new(),
            time: None,
            jwks_max_age: None,
            longest_token_lifetime: None,
            revocation: None,
            dependencies: [(
                "database".to_owned(),
                Dependency { ready: answers, message: String::new(), reason: None },
            )]
            .into(),
        };
        assert!(report(true, Some(0), Some(1)).misses_schema());
        assert!(!report(false, Some(0), Some(1)).misses_schema());
        assert!(!report(true, Some(2), Some(1)).misses_schema());
        // A server that does not say what it needs.
        assert!(!report(true, Some(1), None).misses_schema());
    }

    #[test]
    fn anything_else_is_no_report() {
        for answer in [b"".as_slice(), b"HTTP/1.0 503 No\r\n\r\n{}", b"HTTP/1.0 200 OK\r\n\r\nno", b"200"] {
            assert_eq!(parse(answer), None);
        }
    }
}
