//! Queries the status of each server pod: `GET /status` on its management port.

mod bounded;

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
/// The maximum number of concurrent connections, for all AuthServices.
static CONNECTIONS: Semaphore = Semaphore::const_new(512);
/// The maximum size of a response, in bytes: several times the size of a normal report. It also bounds the memory
/// while reading.
const MOST_BYTES: usize = 16 * 1024;
/// The maximum number of pods queried per AuthService: more than the maximum number of replicas during a rollout.
const MOST_PODS: usize = 150;

/// The report of a server; unknown fields are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Report {
    /// Version of the server.
    #[serde(default, deserialize_with = "bounded::optional_name")]
    pub version: Option<String>,
    /// The schema version that it found.
    #[serde(default)]
    pub schema_version: Option<i64>,
    /// The schema version that it requires.
    #[serde(default)]
    pub required_schema_version: Option<i64>,
    /// The oldest server that is compatible with its schema.
    #[serde(default)]
    pub oldest_tolerated_server: Option<i64>,
    /// The signing keys it has loaded.
    #[serde(default, deserialize_with = "bounded::keys")]
    pub signing_keys: Vec<LoadedKey>,
    /// Its clock, in seconds since the epoch.
    #[serde(default)]
    pub time: Option<i64>,
    /// The `max-age` of its key set, in seconds.
    #[serde(default)]
    pub jwks_max_age: Option<u32>,
    /// The longest lifetime of its tokens, in seconds.
    #[serde(default)]
    pub longest_token_lifetime: Option<i64>,
    /// Where it looks up revocations.
    #[serde(default)]
    pub revocation: Option<Revocation>,
    /// Its dependencies, by name.
    #[serde(default, deserialize_with = "bounded::dependencies")]
    pub dependencies: BTreeMap<String, Dependency>,
}

/// A signing key that a server has loaded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LoadedKey {
    /// Its id.
    #[serde(deserialize_with = "bounded::name")]
    pub kid: String,
    /// What it does.
    #[serde(default, deserialize_with = "bounded::optional_name")]
    pub phase: Option<String>,
}

/// Where a server looks up revocations.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Revocation {
    /// `redis` or `postgres`.
    #[serde(deserialize_with = "bounded::name")]
    pub mode: String,
    /// Why.
    #[serde(default, deserialize_with = "bounded::message")]
    pub message: String,
}

/// A dependency of a server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Dependency {
    /// Whether it can be used.
    pub ready: bool,
    /// Why not.
    #[serde(default, deserialize_with = "bounded::message")]
    pub message: String,
    /// The reason as one word, if a condition distinguishes it.
    #[serde(default, deserialize_with = "bounded::optional_name")]
    pub reason: Option<String>,
}

impl Report {
    /// Whether its database has no schema, or one older than required.
    pub fn misses_schema(&self) -> bool {
        // If the database does not respond, the version is an old one.
        let answers = self.dependencies.get("database").is_some_and(|database| database.ready);
        answers && self.schema_version < self.required_schema_version
    }
}

/// The result of querying one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The pod's name.
    pub pod: String,
    /// Its report; `None` if the pod was not queried or returned no valid report.
    pub report: Option<Report>,
    /// What is wrong with an invalid response.
    pub fault: Option<Fault>,
}

/// What is wrong with a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The response is too large.
    #[error("larger than {} KiB", MOST_BYTES / 1024)]
    TooLong,
    /// It comes too slowly.
    #[error("incomplete after {} seconds", WITHIN.as_secs())]
    TooSlow,
    /// The response is not a report, or exceeds its bounds.
    #[error("not a status report: malformed JSON, too many keys or dependencies, or too long names")]
    NoReport,
}

/// Queries all running pods, with limited concurrency.
pub async fn ask_all(pods: &[Pod]) -> Vec<Answer> {
    let mut asked = 0;
    let questions: Vec<_> = pods
        .iter()
        .map(|pod| {
            let address = address(pod).filter(|_| asked < MOST_PODS);
            asked += usize::from(address.is_some());
            (pod.name_any(), address)
        })
        .collect();
    futures::stream::iter(questions)
        .map(|(pod, address)| async move {
            let answer = match address {
                Some(address) => {
                    let _connection = CONNECTIONS.acquire().await;
                    ask(address).await
                }
                None => Ok(None),
            };
            Answer { pod, fault: answer.as_ref().err().copied(), report: answer.ok().flatten() }
        })
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// Whether any pod can be queried. No watch announces changes of a report.
pub fn any_to_ask(pods: &[Pod]) -> bool {
    pods.iter().any(|pod| address(pod).is_some())
}

/// The address for queries, if the pod is running.
fn address(pod: &Pod) -> Option<SocketAddr> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() != Some("Running") || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let ip: IpAddr = status.pod_ip.as_deref()?.parse().ok()?;
    Some(SocketAddr::new(ip, MANAGEMENT_PORT))
}

/// Queries one pod, with a timeout for the complete response. `None` if there is no response, or an error response.
async fn ask(address: SocketAddr) -> Result<Option<Report>, Fault> {
    let mut answer = Vec::new();
    match tokio::time::timeout(WITHIN, read(address, &mut answer)).await {
        Ok(Ok(())) if answer.len() > MOST_BYTES => Err(Fault::TooLong),
        Ok(Ok(())) => parse(&answer),
        Ok(Err(_)) => Ok(None),
        Err(_) if answer.is_empty() => Ok(None),
        Err(_) => Err(Fault::TooSlow),
    }
}

/// An HTTP/1.0 request: the response ends with the connection (RFC 1945 §7.2.2) and is neither compressed nor
/// chunked, so that no client library is needed. Reads at most one byte more than allowed.
async fn read(address: SocketAddr, answer: &mut Vec<u8>) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /status HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.take(MOST_BYTES as u64 + 1).read_to_end(answer).await.map(drop)
}

/// The report in an HTTP response; `None` for an error response.
fn parse(answer: &[u8]) -> Result<Option<Report>, Fault> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let (head, body) = (&answer[..end], &answer[end + 4..]);
    if head.split(|byte| *byte == b' ').nth(1) != Some(b"200") {
        return Ok(None);
    }
    serde_json::from_slice(body).map(Some).map_err(|_| Fault::NoReport)
}

#[cfg(test)]
mod tests;
