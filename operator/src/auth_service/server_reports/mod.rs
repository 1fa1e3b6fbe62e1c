//! Asks each server pod what it sees: `GET /status` on its management port.

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
/// How many connections there are at once, whosever pods are asked.
static CONNECTIONS: Semaphore = Semaphore::const_new(512);
/// The longest answer, in bytes: several times what a server has to say. While it is read, that is all that it takes.
const MOST_BYTES: usize = 16 * 1024;
/// How many pods of an AuthService are asked: more than it may have replicas, with those of a rollout.
const MOST_PODS: usize = 150;

/// What a server says about itself; fields that this operator does not know are left out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Report {
    /// Version of the server.
    #[serde(default, deserialize_with = "bounded::optional_name")]
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
    #[serde(default, deserialize_with = "bounded::keys")]
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

/// Where a server looks revocations up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Revocation {
    /// `redis` or `postgres`.
    #[serde(deserialize_with = "bounded::name")]
    pub mode: String,
    /// Why.
    #[serde(default, deserialize_with = "bounded::message")]
    pub message: String,
}

/// Something a server depends on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Dependency {
    /// Whether it can be used.
    pub ready: bool,
    /// Why not.
    #[serde(default, deserialize_with = "bounded::message")]
    pub message: String,
    /// The same in one word, where a condition tells this fault from others.
    #[serde(default, deserialize_with = "bounded::optional_name")]
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
    /// What is wrong with its answer, if it gave one that is not a report.
    pub fault: Option<Fault>,
}

/// What is wrong with a pod's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It does not end where a report has ended long since.
    #[error("with more than {} KiB", MOST_BYTES / 1024)]
    TooLong,
    /// It comes too slowly.
    #[error("with what was not complete after {} seconds", WITHIN.as_secs())]
    TooSlow,
    /// It is no report, or one with more in it than a server has to say.
    #[error(
        "with what is no report of a server: no JSON of that form, or too many keys, dependencies or too long names"
    )]
    NoReport,
}

/// Asks all pods that run, some at a time.
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

/// Whether there is a pod that can be asked. What it says changes without a watch's status.
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

/// Asks one pod, which has so long for all of its answer. Nothing when there is none, or it is an error.
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

/// One request of HTTP/1.0, whose answer ends with the connection (RFC 1945 §7.2.2) and is neither compressed nor in
/// chunks: no client library is needed for it. No more is read than one byte too many.
async fn read(address: SocketAddr, answer: &mut Vec<u8>) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /status HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.take(MOST_BYTES as u64 + 1).read_to_end(answer).await.map(drop)
}

/// The report in an HTTP answer; nothing in an answer that says itself that it is none.
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
