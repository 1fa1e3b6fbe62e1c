//! Redis with Sentinel: a primary, a replica and three Sentinels.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::authority::Authority;
use crate::process::{OnParentDeath, Process, free_port, temporary_folder};
use crate::redis::{Redis, tls_settings};
use crate::{logs, programs, wait};

/// The name of the primary in the configuration of the Sentinels.
pub const NAME: &str = "latchkey-primary";

/// Three Sentinels. The processes end when it is dropped.
#[derive(Debug)]
pub struct Sentinels {
    processes: Vec<(Process, u16)>,
    password: Option<String>,
    authority: Option<String>,
    _folder: TempDir,
}

impl Sentinels {
    /// Starts them for the primary at this port of 127.0.0.1, whose password is `password`, and waits until they know its
    /// replica and each other.
    pub async fn start(primary: u16, password: &str) -> Self {
        Self::begin(primary, password, None, None).await
    }

    async fn begin(primary: u16, password: &str, own: Option<String>, authority: Option<&Authority>) -> Self {
        let folder = temporary_folder("sentinel-");
        let mut processes = Vec::new();
        for number in 0..3 {
            let port = free_port();
            let file = folder.path().join(format!("sentinel-{number}.conf"));
            let own = own
                .as_ref()
                .map_or(String::new(), |own| format!("requirepass {own}\nsentinel sentinel-pass {own}\n"));
            let listen = match authority {
                None => format!("port {port}"),
                Some(authority) => {
                    let own = authority.issue();
                    format!(
                        "port 0\ntls-port {port}\ntls-auth-clients no\ntls-cert-file {}\ntls-key-file {}\n{}",
                        own.certificate.display(),
                        own.key.display(),
                        tls_settings(&authority.bundle())
                    )
                }
            };
            let text = format!(
                "bind 127.0.0.1\n{listen}\ndir {}\n{own}sentinel monitor {NAME} 127.0.0.1 {primary} 2\n\
                 sentinel auth-pass {NAME} {password}\nsentinel down-after-milliseconds {NAME} 1000\n\
                 sentinel failover-timeout {NAME} 10000\n",
                folder.path().display(),
            );
            fs::write(&file, text).expect("the configuration of a Sentinel");
            let mut command = Command::new(programs::redis_server());
            command.arg(file).arg("--sentinel");
            processes.push((Process::start(&command, OnParentDeath::Kill), port));
        }
        let sentinels =
            Self { processes, password: own, authority: authority.map(Authority::text), _folder: folder };
        sentinels.wait_for_all("the Sentinels to know each other", "slaves=1,sentinels=3").await;
        sentinels
    }

    /// `127.0.0.1:<port>` of each, with commas between them.
    pub fn addresses(&self) -> String {
        let addresses: Vec<_> = self.processes.iter().map(|(_, port)| format!("127.0.0.1:{port}")).collect();
        addresses.join(",")
    }

    async fn wait_for_all(&self, what: &str, text: &str) {
        wait::until(what, || async {
            for number in 0..self.processes.len() {
                let info = self.info(number).await;
                wait::check(info.as_ref().is_some_and(|info| info.contains(text)), info)?;
            }
            Ok::<_, Option<String>>(())
        })
        .await;
    }

    /// What one of them knows; nothing if it does not respond.
    ///
    /// # Panics
    /// When there is no Sentinel of this number.
    pub async fn info(&self, number: usize) -> Option<String> {
        let login = self.password.as_ref().map_or(String::new(), |own| format!(":{own}@"));
        let address = format!("{login}127.0.0.1:{}", self.processes[number].1);
        let client = match &self.authority {
            None => redis::Client::open(format!("redis://{address}")),
            Some(authority) => redis::Client::build_with_tls(
                format!("rediss://{address}"),
                redis::TlsCertificates { client_tls: None, root_cert: Some(authority.clone().into_bytes()) },
            ),
        };
        let client = client.expect("a Redis URL");
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        redis::cmd("INFO").arg("sentinel").query_async(&mut connection).await.ok()
    }
}

/// A primary, a replica and their Sentinels. The processes end when it is dropped.
#[derive(Debug)]
pub struct SentinelSetup {
    /// The Redis servers; the first one is the primary at first.
    pub servers: [Redis; 2],
    sentinels: Sentinels,
}

impl SentinelSetup {
    /// Starts everything and waits until the Sentinels know the replica and each other. `sentinel_password`: the
    /// Sentinels require one of their own instead of none.
    pub async fn start(sentinel_password: bool) -> Self {
        Self::begin(sentinel_password, None).await
    }

    /// The same with TLS for every connection, with certificates of `authority`.
    pub async fn start_with_tls(authority: &Authority) -> Self {
        Self::begin(false, Some(authority)).await
    }

    async fn begin(sentinel_password: bool, authority: Option<&Authority>) -> Self {
        let password = logs::secret("redis");
        let settings = format!("masterauth {password}\nrepl-diskless-sync-delay 0\n");
        let servers = [(); 2].map(|()| match authority {
            None => Redis::start_with_settings(&settings, &password),
            Some(authority) => Redis::start_with_tls_and_settings(
                &authority.issue(),
                &authority.bundle(),
                &settings,
                &password,
            ),
        });
        servers[1].follow(&servers[0]).await;
        let own = sentinel_password.then(|| logs::secret("sentinel"));
        let sentinels = Sentinels::begin(servers[0].port(), &password, own, authority).await;
        Self { servers, sentinels }
    }

    /// The URL for the server. The first Sentinel in it does not exist.
    pub fn url(&self) -> String {
        let own = self.sentinels.password.as_ref();
        let query = own.map_or(String::new(), |own| format!("?sentinel_password={own}"));
        let scheme = if self.sentinels.authority.is_some() { "rediss+sentinel" } else { "redis+sentinel" };
        let (password, addresses) = (self.servers[0].password(), self.sentinels.addresses());
        format!("{scheme}://:{password}@127.0.0.1:1,{addresses}/{NAME}{query}")
    }

    /// Waits until the Sentinels name this server as the primary.
    ///
    /// # Panics
    /// When they do not.
    pub async fn wait_for_primary(&self, server: usize) {
        let address = format!("address=127.0.0.1:{}", self.servers[server].port());
        self.sentinels.wait_for_all("the Sentinels to agree on the primary", &address).await;
    }
}
