//! Redis with a replica: behind Sentinel, or with a proxy for each replica of the server.

use std::time::Duration;

use latchkey_tests::redis::Redis;
use latchkey_tests::{logs, wait};
use tokio::task::block_in_place;

use crate::proxy::{Mode, Proxy};
use crate::sentinel::Sentinels;

/// How the server reaches Redis.
#[derive(Debug)]
enum Access {
    /// Each replica of the server has its own proxy, so that it can lose Redis alone.
    Direct,
    /// Sentinel names one of two proxies, one for each Redis.
    Sentinel(Sentinels),
}

/// A primary and a replica.
#[derive(Debug)]
pub struct Caches {
    servers: [Redis; 2],
    primary: usize,
    access: Access,
    pub proxies: Vec<Proxy>,
}

impl Caches {
    pub async fn start(replicas: usize, with_sentinel: bool) -> Self {
        let password = logs::secret("redis");
        if with_sentinel {
            let (servers, proxies, sentinels) = Sentinels::start(&password).await;
            return Self { servers, primary: 0, access: Access::Sentinel(sentinels), proxies };
        }
        let settings = format!("masterauth {password}\nrepl-diskless-sync-delay 0\n");
        let servers = [(); 2].map(|()| Redis::start_with_settings(&settings, &password));
        servers[1].follow(&servers[0]).await;
        let proxies = (0..replicas).map(|_| Proxy::to(servers[0].port())).collect();
        Self { servers, primary: 0, access: Access::Direct, proxies }
    }

    pub fn url(&self, replica: usize) -> String {
        match &self.access {
            Access::Direct => self.servers[0].url_through(self.proxies[replica].port()),
            Access::Sentinel(sentinels) => sentinels.url(self.servers[0].password()),
        }
    }

    pub fn has_sentinel(&self) -> bool {
        matches!(self.access, Access::Sentinel(_))
    }

    pub fn set_all(&self, mode: Mode) {
        for proxy in &self.proxies {
            proxy.set(mode);
        }
    }

    /// The server that is the primary now.
    pub async fn primary(&mut self) -> &mut Redis {
        if let Access::Sentinel(sentinels) = &self.access
            && let Some(named) = sentinels.primary(&self.proxies).await
        {
            self.primary = named;
        }
        &mut self.servers[self.primary]
    }

    /// Kills the primary and starts it again: empty, or with the data of a snapshot that was made before `older`.
    pub async fn restart(&mut self, pause: Duration, with_old_data: bool, older: Duration) {
        let redis = self.primary().await;
        if with_old_data {
            command(redis, "SAVE").await;
            tokio::time::sleep(older).await;
        }
        redis.stop();
        tokio::time::sleep(pause).await;
        block_in_place(|| redis.start_again());
        redis.forget_dump();
    }

    /// Promotes the replica without the last writes of the primary.
    pub async fn fail_over(&mut self, lag: Duration) {
        self.primary().await;
        let (old, new) = (self.primary, 1 - self.primary);
        self.servers[new].pause();
        tokio::time::sleep(lag).await;
        self.servers[old].stop();
        self.servers[new].resume();
        if let Access::Direct = self.access {
            command(&self.servers[new], "REPLICAOF NO ONE").await;
            for proxy in &self.proxies {
                proxy.set(Mode::Refuse);
                proxy.lead_to(self.servers[new].port());
                proxy.set(Mode::Forward);
            }
            self.primary = new;
        } else {
            // Longer than the Sentinels take to notice and to elect.
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        block_in_place(|| self.servers[old].start_again());
        if let Access::Direct = self.access {
            let follow = format!("REPLICAOF 127.0.0.1 {}", self.servers[new].port());
            command(&self.servers[old], &follow).await;
        }
    }
}

/// Runs a command of an administrator, again if Redis does not respond in time.
pub async fn command(redis: &Redis, text: &str) {
    wait::until(text, || async {
        let mut words = text.split_whitespace();
        let mut command = ::redis::cmd(words.next().unwrap_or_default());
        command.arg(words.collect::<Vec<_>>());
        let client = ::redis::Client::open(redis.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        command.query_async::<::redis::Value>(&mut connection).await
    })
    .await;
}
