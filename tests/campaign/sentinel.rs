//! Three Sentinels that know Redis only by the ports of proxies, so that every connection leads through one.

use std::time::Duration;

use latchkey_tests::redis::Redis;
use latchkey_tests::redis_sentinel::{self, NAME};

use crate::proxy::Proxy;

/// The processes end when it is dropped.
#[derive(Debug)]
pub struct Sentinels(redis_sentinel::Sentinels);

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
        let sentinels = redis_sentinel::Sentinels::start(proxies[0].port(), password).await;
        (servers, proxies, Self(sentinels))
    }

    pub fn url(&self, password: &str) -> String {
        format!("redis+sentinel://:{password}@{}/{NAME}", self.0.addresses())
    }

    /// The number of the proxy that the Sentinels name.
    pub async fn primary(&self, proxies: &[Proxy]) -> Option<usize> {
        let info = tokio::time::timeout(Duration::from_secs(2), self.0.info(0)).await.ok()??;
        proxies.iter().position(|proxy| info.contains(&format!("address=127.0.0.1:{}", proxy.port())))
    }
}
