//! Queries the status of each server pod: `GET /status` on its management port.

mod bounded;
mod request;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::names::MANAGEMENT_PORT;
use request::Failure;

/// The timeout for connecting and the complete response.
const WITHIN: Duration = Duration::from_secs(2);
/// The maximum number of concurrent requests per AuthService.
const CONCURRENT: usize = 16;
/// The maximum number of concurrent requests, for all AuthServices.
static CONNECTIONS: Semaphore = Semaphore::const_new(512);
/// The maximum size of the head and of the body of a response, in bytes: several times the size of a normal report.
/// It also bounds the memory while reading.
const MOST_BYTES: usize = 16 * 1024;
/// The maximum number of pods queried per AuthService: more than the maximum number of replicas during a rollout.
const MOST_PODS: usize = 150;

/// The report of a server; unknown fields are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Report {
    #[serde(default, deserialize_with = "bounded::optional_name")]
    pub(crate) version: Option<String>,
    /// The schema version that it found.
    #[serde(default)]
    pub(crate) schema_version: Option<i64>,
    /// The schema version that it requires.
    #[serde(default)]
    pub(crate) required_schema_version: Option<i64>,
    /// The oldest server that is compatible with its schema.
    #[serde(default)]
    pub(crate) oldest_tolerated_server: Option<i64>,
    /// The signing keys it has loaded.
    #[serde(default, deserialize_with = "bounded::keys")]
    pub(crate) signing_keys: Vec<LoadedKey>,
    /// Its clock, in seconds since the epoch.
    #[serde(default)]
    pub(crate) time: Option<i64>,
    /// The `max-age` of its key set, in seconds.
    #[serde(default)]
    pub(crate) jwks_max_age: Option<u32>,
    /// The longest lifetime of its tokens, in seconds.
    #[serde(default)]
    pub(crate) longest_token_lifetime: Option<i64>,
    /// Where it looks up revocations.
    #[serde(default)]
    pub(crate) revocation: Option<Revocation>,
    /// The client registry that it has loaded.
    #[serde(default)]
    pub(crate) clients: LoadedClients,
    #[serde(default)]
    pub(crate) database_pool: Option<DatabasePool>,
    #[serde(default, deserialize_with = "bounded::dependencies")]
    pub(crate) dependencies: BTreeMap<String, Dependency>,
}

/// A signing key that a server has loaded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct LoadedKey {
    #[serde(deserialize_with = "bounded::name")]
    pub(crate) kid: String,
    /// Its phase in a rotation.
    #[serde(default, deserialize_with = "bounded::optional_name")]
    pub(crate) phase: Option<String>,
}

/// The client registry that a server has loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "Option<Serial>")]
pub(crate) enum LoadedClients {
    /// The report has no such member: the release of the server has no registry.
    #[default]
    Unsupported,
    /// It has loaded none.
    Missing,
    /// The one with this serial.
    Serial(u64),
}

#[derive(Deserialize)]
struct Serial {
    serial: u64,
}

impl From<Option<Serial>> for LoadedClients {
    fn from(loaded: Option<Serial>) -> Self {
        loaded.map_or(Self::Missing, |loaded| Self::Serial(loaded.serial))
    }
}

/// Where a server looks up revocations.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Revocation {
    /// `redis` or `postgres`.
    #[serde(deserialize_with = "bounded::name")]
    pub(crate) mode: String,
    /// Why the server uses this mode.
    #[serde(default, deserialize_with = "bounded::message")]
    pub(crate) message: String,
}

/// The pool of database connections of a server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct DatabasePool {
    /// One sentence if the pools of all replicas exceed what the database allows, otherwise empty.
    #[serde(default, deserialize_with = "bounded::message")]
    pub(crate) warning: String,
}

/// A dependency of a server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Dependency {
    /// Whether it can be used.
    pub(crate) ready: bool,
    /// Why it cannot be used.
    #[serde(default, deserialize_with = "bounded::message")]
    pub(crate) message: String,
    /// The reason as one word, if a condition distinguishes it.
    #[serde(default, deserialize_with = "bounded::optional_name")]
    pub(crate) reason: Option<String>,
}

impl Report {
    /// Whether its database has no schema, or one older than required.
    pub(crate) fn misses_schema(&self) -> bool {
        // If the database does not respond, the version is an old one.
        let answers = self.dependencies.get("database").is_some_and(|database| database.ready);
        answers && self.schema_version < self.required_schema_version
    }
}

/// The result of querying one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) pod: String,
    /// Its report; `None` if the pod was not queried or returned no valid report.
    pub(crate) report: Option<Report>,
    /// What is wrong with an invalid response.
    pub(crate) fault: Option<Fault>,
}

/// What is wrong with a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The response is too large.
    #[error("larger than {} KiB", MOST_BYTES / 1024)]
    TooLong,
    /// The response is not complete before the timeout.
    #[error("incomplete after {} seconds", WITHIN.as_secs())]
    TooSlow,
    /// The response is not a report, or exceeds its bounds.
    #[error("not a status report: malformed JSON, too many keys or dependencies, or too long names")]
    NoReport,
    /// The connection ends without an HTTP response, or the request is denied.
    #[error("the connection is closed, or the request is denied")]
    Denied,
}

/// Queries all running pods, with limited concurrency.
pub(crate) async fn query_all(pods: &[Pod]) -> Vec<Answer> {
    let mut count = 0;
    let addresses: Vec<_> = pods
        .iter()
        .map(|pod| {
            let address = address(pod).filter(|_| count < MOST_PODS);
            count += usize::from(address.is_some());
            (pod.name_any(), address)
        })
        .collect();
    futures::stream::iter(addresses)
        .map(|(pod, address)| async move {
            let result = match address {
                Some(address) => {
                    let _connection = CONNECTIONS.acquire().await;
                    query(address).await
                }
                None => Ok(None),
            };
            Answer { pod, fault: result.as_ref().err().copied(), report: result.ok().flatten() }
        })
        .buffered(CONCURRENT)
        .collect()
        .await
}

/// Whether any pod can be queried. No watch announces changes of a report.
pub(crate) fn can_query_any(pods: &[Pod]) -> bool {
    pods.iter().any(|pod| address(pod).is_some())
}

/// The address for queries, if the pod is running. Only an IP address is accepted, so that no name is resolved.
fn address(pod: &Pod) -> Option<SocketAddr> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() != Some("Running") || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let ip: IpAddr = status.pod_ip.as_deref()?.parse().ok()?;
    Some(SocketAddr::new(ip, MANAGEMENT_PORT))
}

/// Queries one pod. `None` if there is no response, or an error response.
async fn query(address: SocketAddr) -> Result<Option<Report>, Fault> {
    let mut responds = false;
    match tokio::time::timeout(WITHIN, request::get_status(address, MOST_BYTES, &mut responds)).await {
        Ok(Ok(body)) => body.map(|body| parse(&body)).transpose(),
        Ok(Err(Failure::TooLarge)) => Err(Fault::TooLong),
        Ok(Err(Failure::Denied)) => Err(Fault::Denied),
        Err(_) if responds => Err(Fault::TooSlow),
        Err(_) => Ok(None),
    }
}

fn parse(body: &[u8]) -> Result<Report, Fault> {
    serde_json::from_slice(body).map_err(|_| Fault::NoReport)
}

#[cfg(test)]
mod tests;
