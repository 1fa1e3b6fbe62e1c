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

/// The processes end when it is dropped.
#[derive(Debug)]
pub struct SentinelSetup {
    /// The Redis servers; the first one is the primary at first.
    pub servers: [Redis; 2],
    sentinels: Vec<(Process, u16)>,
    sentinel_password: Option<String>,
    authority: Option<String>,
    _folder: TempDir,
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
        let folder = temporary_folder("sentinel-");
        let sentinel_password = sentinel_password.then(|| logs::secret("sentinel"));
        let mut sentinels = Vec::new();
        for number in 0..3 {
            let port = free_port();
            let file = folder.path().join(format!("sentinel-{number}.conf"));
            let own = sentinel_password
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
                "bind 127.0.0.1\n{listen}\ndir {}\n{own}sentinel monitor {NAME} 127.0.0.1 {} 2\n\
                 sentinel auth-pass {NAME} {password}\nsentinel down-after-milliseconds {NAME} 1000\n\
                 sentinel failover-timeout {NAME} 10000\n",
                folder.path().display(),
                servers[0].port()
            );
            fs::write(&file, text).expect("the configuration of a Sentinel");
            let mut command = Command::new(programs::redis_server());
            command.arg(file).arg("--sentinel");
            sentinels.push((Process::start(&command, OnParentDeath::Kill), port));
        }
        let authority = authority.map(Authority::text);
        let setup = Self { servers, sentinels, sentinel_password, authority, _folder: folder };
        wait::until("the Sentinels to know each other", || async {
            for (_, port) in &setup.sentinels {
                let info = setup.info(*port).await;
                wait::check(info.as_ref().is_some_and(|info| info.contains("slaves=1,sentinels=3")), info)?;
            }
            Ok::<_, Option<String>>(())
        })
        .await;
        setup
    }

    /// The URL for the server. The first Sentinel in it does not exist.
    pub fn url(&self) -> String {
        let ports: Vec<_> = self.sentinels.iter().map(|(_, port)| format!("127.0.0.1:{port}")).collect();
        let query =
            self.sentinel_password.as_ref().map_or(String::new(), |own| format!("?sentinel_password={own}"));
        let scheme = if self.authority.is_some() { "rediss+sentinel" } else { "redis+sentinel" };
        format!("{scheme}://:{}@127.0.0.1:1,{}/{NAME}{query}", self.servers[0].password(), ports.join(","))
    }

    /// Waits until the Sentinels name this server as the primary.
    ///
    /// # Panics
    /// When they do not.
    pub async fn wait_for_primary(&self, server: usize) {
        let address = format!("address=127.0.0.1:{}", self.servers[server].port());
        wait::until("the Sentinels to agree on the primary", || async {
            for (_, port) in &self.sentinels {
                let info = self.info(*port).await;
                wait::check(info.as_ref().is_some_and(|info| info.contains(&address)), info)?;
            }
            Ok::<_, Option<String>>(())
        })
        .await;
    }

    async fn info(&self, port: u16) -> Option<String> {
        let login = self.sentinel_password.as_ref().map_or(String::new(), |own| format!(":{own}@"));
        let client = match &self.authority {
            None => redis::Client::open(format!("redis://{login}127.0.0.1:{port}")),
            Some(authority) => redis::Client::build_with_tls(
                format!("rediss://{login}127.0.0.1:{port}"),
                redis::TlsCertificates { client_tls: None, root_cert: Some(authority.clone().into_bytes()) },
            ),
        };
        let client = client.expect("a Redis URL");
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        redis::cmd("INFO").arg("sentinel").query_async(&mut connection).await.ok()
    }
}
