//! Three Sentinels that know Redis only by the ports of proxies, so that every connection leads through one.

use std::fs;
use std::process::Command;
use std::time::Duration;

use latchkey_tests::process::{OnParentDeath, Process, free_port, temporary_folder};
use latchkey_tests::redis::Redis;
use latchkey_tests::{programs, wait};
use tempfile::TempDir;

use crate::proxy::Proxy;

const NAME: &str = "latchkey-primary";

/// The processes end when it is dropped.
#[derive(Debug)]
pub struct Sentinels {
    ports: Vec<u16>,
    _processes: Vec<Process>,
    _folder: TempDir,
}

impl Sentinels {
    /// Starts a primary and a replica with a proxy for each, and the Sentinels.
    pub async fn start(password: &str) -> ([Redis; 2], Vec<Proxy>, Self) {
        // The proxies exist first, because each server announces the port of its proxy.
        let proxies = vec![Proxy::to(1), Proxy::to(1)];
        let servers = [0, 1].map(|number: usize| {
            let port = proxies[number].port();
            let settings = format!(
                "masterauth {password}\nrepl-diskless-sync-delay 0\nreplica-announce-ip 127.0.0.1\n\
                 replica-announce-port {port}\n"
            );
            let settings = if number == 0 {
                settings
            } else {
                format!("{settings}replicaof 127.0.0.1 {}\n", proxies[0].port())
            };
            Redis::start_with_settings(&settings, password)
        });
        for (proxy, server) in proxies.iter().zip(&servers) {
            proxy.lead_to(server.port());
        }
        let folder = temporary_folder("sentinel-");
        let (mut processes, mut ports) = (Vec::new(), Vec::new());
        for number in 0..3 {
            let port = free_port();
            let file = folder.path().join(format!("sentinel-{number}.conf"));
            let text = format!(
                "bind 127.0.0.1\nport {port}\ndir {}\nsentinel monitor {NAME} 127.0.0.1 {} 2\n\
                 sentinel auth-pass {NAME} {password}\nsentinel down-after-milliseconds {NAME} 1000\n\
                 sentinel failover-timeout {NAME} 10000\n",
                folder.path().display(),
                proxies[0].port()
            );
            fs::write(&file, text).expect("the configuration of a Sentinel");
            let mut command = Command::new(programs::redis_server());
            command.arg(file).arg("--sentinel");
            processes.push(Process::start(&command, OnParentDeath::Kill));
            ports.push(port);
        }
        let sentinels = Self { ports, _processes: processes, _folder: folder };
        wait::until("the Sentinels to know each other", || async {
            for port in &sentinels.ports {
                let info = info(*port).await;
                wait::check(info.as_ref().is_some_and(|info| info.contains("slaves=1,sentinels=3")), info)?;
            }
            Ok::<_, Option<String>>(())
        })
        .await;
        (servers, proxies, sentinels)
    }

    pub fn url(&self, password: &str) -> String {
        let ports: Vec<_> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://:{password}@{}/{NAME}", ports.join(","))
    }

    /// The number of the proxy that the Sentinels name.
    pub async fn primary(&self, proxies: &[Proxy]) -> Option<usize> {
        let info = info(self.ports[0]).await?;
        proxies.iter().position(|proxy| info.contains(&format!("address=127.0.0.1:{}", proxy.port())))
    }
}

async fn info(port: u16) -> Option<String> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).ok()?;
    let asking = async {
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        redis::cmd("INFO").arg("sentinel").query_async(&mut connection).await.ok()
    };
    tokio::time::timeout(Duration::from_secs(2), asking).await.ok()?
}
