//! The hosts of the stores and of the SMTP server: whether their names resolve and whether they accept connections.
//!
//! A Service of this cluster is looked up by the API. Any other host is tried from this machine, which may have another
//! network than the pods; a failure there is a warning.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use latchkey_config::{PostgresAddress, PostgresUrl, SecretText, SentinelUrl};
use latchkey_crds::AuthService;
use latchkey_crds::auth_service::SecretKeyRef;
use tokio::net::{TcpStream, lookup_host};
use url::Url;

use super::findings::{Findings, Outcome};
use crate::cluster::Cluster;
use crate::exec;

const AREA: &str = "stores";
const TIMEOUT: Duration = Duration::from_secs(5);

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    host: String,
    port: u16,
}

/// Checks the stores of the spec.
pub async fn check(cluster: &Cluster, service: &AuthService, connects: bool, findings: &mut Findings) {
    let spec = &service.spec;
    let stores: [(&str, &Option<SecretKeyRef>, Parse); 2] = [
        ("PostgreSQL", &spec.database.url_secret_ref, postgres),
        ("Redis", &spec.redis.url_secret_ref, redis),
    ];
    for (title, reference, parse) in stores {
        let Some(reference) = reference else { continue };
        // A missing Secret is reported with the references.
        let Some(url) = read(cluster, reference).await else {
            findings.add(
                AREA,
                title,
                Outcome::Unknown,
                format!("its URL in the Secret {} cannot be read", reference.name),
            );
            continue;
        };
        match parse(url.expose()) {
            Ok(addresses) => {
                for address in addresses {
                    reach(cluster, title, &address, connects, findings).await;
                }
            }
            Err(why) => {
                let message = format!(
                    "the URL in the Secret {}, key {}, is refused: {why}",
                    reference.name, reference.key
                );
                findings.add(AREA, title, Outcome::Failed, message);
            }
        }
    }
    from_pod(cluster, service, findings).await;
    if let Some(host) = spec.email.smtp.host.clone().filter(|_| spec.email.enabled) {
        let port = u16::try_from(spec.email.smtp.port).unwrap_or_default();
        reach(cluster, "SMTP", &Address { host, port }, connects, findings).await;
    }
}

/// The server's own check, if a replica runs: it connects from the network of the pods.
async fn from_pod(cluster: &Cluster, service: &AuthService, findings: &mut Findings) {
    let subject = "latchkey-server check in a pod";
    match exec::check(cluster, &service.name_any()).await {
        None => {}
        Some(Ok(())) => findings.add(AREA, subject, Outcome::Passed, "every dependency answers"),
        Some(Err((true, message))) => findings.add(AREA, subject, Outcome::Failed, message),
        Some(Err((false, message))) => findings.add(AREA, subject, Outcome::Unknown, message),
    }
}

type Parse = fn(&str) -> Result<Vec<Address>, String>;

async fn read(cluster: &Cluster, reference: &SecretKeyRef) -> Option<SecretText> {
    let secret = cluster.api::<Secret>().get_opt(&reference.name).await.ok()??;
    let value = secret.data?.remove(&reference.key)?;
    String::from_utf8(value.0).ok().map(|text| SecretText::new(text.trim_end()))
}

fn postgres(url: &str) -> Result<Vec<Address>, String> {
    let parsed = PostgresUrl::parse(url)?;
    let hosts = parsed.hosts.into_iter();
    let addresses = hosts.filter_map(|host| match host.address {
        PostgresAddress::Tcp(name) => Some(Address { host: name, port: host.port }),
        PostgresAddress::Socket(_) => None,
    });
    Ok(addresses.collect())
}

fn redis(url: &str) -> Result<Vec<Address>, String> {
    if let Some(sentinel) = SentinelUrl::parse(url) {
        let sentinels = sentinel.map_err(str::to_owned)?.sentinels.into_iter();
        return Ok(sentinels.map(|(host, port)| Address { host, port }).collect());
    }
    let url = Url::parse(url).map_err(|_| "it is not a URL such as rediss://host:6380".to_owned())?;
    if !["redis", "rediss"].contains(&url.scheme()) {
        return Err("it must start with redis:// or rediss://".to_owned());
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    Ok(vec![Address { host, port: url.port().unwrap_or(6379) }])
}

async fn reach(cluster: &Cluster, title: &str, address: &Address, connects: bool, findings: &mut Findings) {
    let Address { host, port } = address;
    let subject = format!("{title} {host}:{port}");
    if let Some((name, namespace)) = in_cluster(host, &cluster.namespace) {
        let (outcome, message) = service_of(cluster, &name, &namespace).await;
        // A name without dots may also be a host outside the cluster.
        if outcome != Outcome::Failed || host.contains('.') {
            findings.add(AREA, subject, outcome, message);
            return;
        }
    }
    if !connects {
        findings.add(AREA, subject, Outcome::Unknown, "not tried (--no-connections)");
        return;
    }
    let target = (host.as_str(), *port);
    let resolved = tokio::time::timeout(TIMEOUT, lookup_host(target)).await;
    let addresses: Vec<_> = match resolved {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => {
            findings.add(
                AREA,
                subject,
                Outcome::Warning,
                format!("its name does not resolve from this machine: {error}"),
            );
            return;
        }
        Err(_) => {
            findings.add(
                AREA,
                subject,
                Outcome::Warning,
                "its name does not resolve from this machine within 5 s",
            );
            return;
        }
    };
    let (outcome, message) =
        match tokio::time::timeout(TIMEOUT, TcpStream::connect(addresses.as_slice())).await {
            Ok(Ok(_)) => (Outcome::Passed, "accepts connections from this machine".to_owned()),
            Ok(Err(error)) => (Outcome::Warning, format!("refuses connections from this machine: {error}")),
            Err(_) => (Outcome::Warning, "does not answer from this machine within 5 s".to_owned()),
        };
    findings.add(AREA, subject, outcome, message);
}

/// The Service and its namespace that a host names, if it is a name of the cluster.
fn in_cluster(host: &str, namespace: &str) -> Option<(String, String)> {
    if host.parse::<IpAddr>().is_ok() || host == "localhost" {
        return None;
    }
    let parts: Vec<&str> = host.trim_end_matches('.').split('.').collect();
    match parts.as_slice() {
        [name] => Some(((*name).to_owned(), namespace.to_owned())),
        [name, place, "svc", ..] | [_, name, place, "svc", ..] => {
            Some(((*name).to_owned(), (*place).to_owned()))
        }
        _ => None,
    }
}

async fn service_of(cluster: &Cluster, name: &str, namespace: &str) -> (Outcome, String) {
    let services: Api<Service> = Api::namespaced(cluster.client.clone(), namespace);
    match services.get_opt(name).await {
        Ok(Some(_)) => {}
        Ok(None) => return (Outcome::Failed, format!("the namespace {namespace} has no Service {name}")),
        Err(error) => return (Outcome::Unknown, error.to_string()),
    }
    let slices: Api<EndpointSlice> = Api::namespaced(cluster.client.clone(), namespace);
    let labels = ListParams::default().labels(&format!("kubernetes.io/service-name={name}"));
    match slices.list(&labels).await {
        Ok(slices) => {
            let ready = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten()).filter(|endpoint| {
                let conditions = endpoint.conditions.as_ref();
                conditions.and_then(|conditions| conditions.ready).unwrap_or(true)
            });
            match ready.count() {
                0 => (Outcome::Warning, format!("the Service {namespace}/{name} has no ready endpoint")),
                count => {
                    (Outcome::Passed, format!("the Service {namespace}/{name} has {count} ready endpoints"))
                }
            }
        }
        Err(error) => (Outcome::Unknown, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_in_every_url_without_its_password() {
        let address = |host: &str, port| Address { host: host.to_owned(), port };
        assert_eq!(
            postgres("postgres://u:p@one,two:6432/auth"),
            Ok(vec![address("one", 5432), address("two", 6432)])
        );
        assert_eq!(
            redis("rediss://:secret@cache.example.com:6380"),
            Ok(vec![address("cache.example.com", 6380)])
        );
        assert_eq!(redis("redis://[::1]"), Ok(vec![address("::1", 6379)]));
        for wrong in [postgres("mysql://u:secret@host"), redis("http://:secret@host")] {
            assert!(!wrong.expect_err("refused").contains("secret"));
        }
    }

    #[test]
    fn names_of_services_are_told_from_other_hosts() {
        let place =
            |host: &str| in_cluster(host, "here").map(|(name, namespace)| format!("{namespace}/{name}"));
        assert_eq!(place("db").as_deref(), Some("here/db"));
        assert_eq!(place("db.apps.svc").as_deref(), Some("apps/db"));
        assert_eq!(place("db-0.db.apps.svc.cluster.local").as_deref(), Some("apps/db"));
        assert_eq!(place("db.example.com"), None);
        assert_eq!(place("10.0.0.1"), None);
    }
}
