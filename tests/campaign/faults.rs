//! The faults: what each does to the surroundings of the server, and what it excuses.

use std::sync::Arc;
use std::time::Duration;

use crate::history::Op;
use crate::postgres::Databases;
use crate::proxy::{COMMITS, MAIL_ACCEPTED, Mode};
use crate::random::Random;
use crate::redis::command;
use crate::world::World;
use crate::{load, trickle};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    ReplicaKilled,
    ReplicasRolled,
    ReplicaFrozen,
    RedisRestartedEmpty,
    RedisRestartedWithOldData,
    RedisFlushed,
    RedisFailedOver,
    RedisSlow,
    RedisFrozen,
    RedisFrozenForOne,
    RedisCutInResponse,
    RedisFull,
    PostgresRestarted,
    PostgresCrashed,
    PostgresFailedOver,
    PostgresFrozen,
    PostgresFrozenForOne,
    PostgresSlow,
    PostgresCutInResponse,
    PostgresCutAtCommit,
    PostgresOutOfConnections,
    PostgresDiskFull,
    ReplicationStopped,
    SmtpHanging,
    SmtpRefusing,
    SmtpDropping,
    KeyFileCorrupt,
    RegistryFileCorrupt,
    ClientsCutInResponse,
    TricklingClients,
    TenTimesTheLoad,
}

/// Faults of one group are never combined, because both would use the same switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Replicas,
    Redis,
    Postgres,
    Smtp,
    Keys,
    Registry,
    Clients,
}

/// The standard durations of a form of the campaign.
#[derive(Debug, Clone, Copy)]
pub struct Durations {
    pub least: Duration,
    pub most: Duration,
    /// For silence, which is the fault that deadlines are for.
    pub longest_silence: Duration,
}

impl Fault {
    pub const ALL: [Self; 31] = [
        Self::ReplicaKilled,
        Self::ReplicasRolled,
        Self::ReplicaFrozen,
        Self::RedisRestartedEmpty,
        Self::RedisRestartedWithOldData,
        Self::RedisFlushed,
        Self::RedisFailedOver,
        Self::RedisSlow,
        Self::RedisFrozen,
        Self::RedisFrozenForOne,
        Self::RedisCutInResponse,
        Self::RedisFull,
        Self::PostgresRestarted,
        Self::PostgresCrashed,
        Self::PostgresFailedOver,
        Self::PostgresFrozen,
        Self::PostgresFrozenForOne,
        Self::PostgresSlow,
        Self::PostgresCutInResponse,
        Self::PostgresCutAtCommit,
        Self::PostgresOutOfConnections,
        Self::PostgresDiskFull,
        Self::ReplicationStopped,
        Self::SmtpHanging,
        Self::SmtpRefusing,
        Self::SmtpDropping,
        Self::KeyFileCorrupt,
        Self::RegistryFileCorrupt,
        Self::ClientsCutInResponse,
        Self::TricklingClients,
        Self::TenTimesTheLoad,
    ];

    pub fn group(self) -> Group {
        match self {
            Self::ReplicaKilled | Self::ReplicasRolled | Self::ReplicaFrozen => Group::Replicas,
            Self::RedisRestartedEmpty
            | Self::RedisRestartedWithOldData
            | Self::RedisFlushed
            | Self::RedisFailedOver
            | Self::RedisSlow
            | Self::RedisFrozen
            | Self::RedisFrozenForOne
            | Self::RedisCutInResponse
            | Self::RedisFull => Group::Redis,
            Self::PostgresRestarted
            | Self::PostgresCrashed
            | Self::PostgresFailedOver
            | Self::PostgresFrozen
            | Self::PostgresFrozenForOne
            | Self::PostgresSlow
            | Self::PostgresCutInResponse
            | Self::PostgresCutAtCommit
            | Self::PostgresOutOfConnections
            | Self::PostgresDiskFull
            | Self::ReplicationStopped => Group::Postgres,
            Self::SmtpHanging | Self::SmtpRefusing | Self::SmtpDropping => Group::Smtp,
            Self::KeyFileCorrupt => Group::Keys,
            Self::RegistryFileCorrupt => Group::Registry,
            Self::ClientsCutInResponse | Self::TricklingClients | Self::TenTimesTheLoad => Group::Clients,
        }
    }

    /// Whether a request may be answered with 503. PostgreSQL decides without Redis, so the loss of Redis excuses nothing.
    pub fn excuses_unavailability(self, op: Op) -> bool {
        match self {
            // The deadlines of its requests pass while it does not run.
            Self::ReplicaFrozen => true,
            // The queue of password hashes is bounded.
            Self::TenTimesTheLoad => {
                matches!(op, Op::Register | Op::Login { .. } | Op::ChangePassword { .. } | Op::Reset { .. })
            }
            // A replica that starts meanwhile knows no clients.
            Self::RegistryFileCorrupt => op.credential().is_some(),
            other => other.group() == Group::Postgres,
        }
    }

    /// Whether the connection to a client may end without a response.
    pub fn excuses_lost_responses(self) -> bool {
        self.group() == Group::Replicas || self == Self::ClientsCutInResponse
    }

    /// Whether a mail may be sent twice: the confirmation was lost, or the database could not record it.
    pub fn excuses_duplicate_mail(self) -> bool {
        matches!(self.group(), Group::Postgres | Group::Smtp | Group::Replicas)
    }

    fn duration(self, random: &mut Random, durations: Durations) -> Duration {
        let Durations { least, most, longest_silence } = durations;
        match self {
            Self::RedisFrozen | Self::RedisFrozenForOne | Self::PostgresFrozen | Self::SmtpHanging => {
                random.between(least, longest_silence)
            }
            // The lifetime of a lease is a second.
            Self::ReplicaFrozen => random.between(Duration::from_millis(300), Duration::from_secs(4)),
            _ => random.between(least, most),
        }
    }
}

impl World {
    /// Whether the fault is possible with these programs.
    pub async fn can(&self, fault: Fault) -> bool {
        match fault {
            Fault::PostgresFailedOver | Fault::ReplicationStopped => {
                self.databases.lock().await.has_standby()
            }
            Fault::PostgresDiskFull => self.databases.lock().await.has_small_disk(),
            Fault::RedisFrozenForOne => !self.caches.lock().await.has_sentinel(),
            _ => true,
        }
    }

    /// Causes a fault, waits, and repairs it.
    pub async fn suffer(self: &Arc<Self>, fault: Fault, random: &mut Random, durations: Durations) {
        let duration = fault.duration(random, durations);
        let start = self.recorder.now();
        let one = random.below(self.replicas.len());
        match fault.group() {
            Group::Replicas => self.disturb_replicas(fault, one, duration).await,
            Group::Redis => self.disturb_redis(fault, one, duration, random).await,
            Group::Postgres => self.disturb_postgres(fault, one, duration, random).await,
            Group::Smtp => {
                self.mail_proxy.set(match fault {
                    Fault::SmtpHanging => Mode::Freeze,
                    Fault::SmtpRefusing => Mode::Refuse,
                    _ => Mode::CutAt { texts: MAIL_ACCEPTED, one_in: 1 },
                });
                tokio::time::sleep(duration).await;
                self.mail_proxy.set(Mode::Forward);
            }
            Group::Keys => {
                self.keys.replace_text("{ \"keys\": [ { \"kty\"");
                tokio::time::sleep(duration).await;
                self.keys.replace(&self.key_set);
            }
            Group::Registry => {
                // The lock delays changes of the registry, as an absent operator would.
                let registry = self.registry.lock().await;
                for file in &self.client_files {
                    file.replace_bytes(b"{ \"format\": 1, \"clients\": [");
                }
                tokio::time::sleep(duration).await;
                for file in &self.client_files {
                    file.replace_bytes(&registry);
                }
            }
            Group::Clients => self.disturb_clients(fault, duration).await,
        }
        self.recorder.push_fault(crate::history::FaultWindow { fault, start, end: self.recorder.now() });
    }

    async fn disturb_replicas(&self, fault: Fault, one: usize, duration: Duration) {
        match fault {
            Fault::ReplicaKilled => self.replicas[one].kill(duration).await,
            Fault::ReplicaFrozen => self.replicas[one].freeze(duration).await,
            _ => {
                for replica in &self.replicas {
                    replica.roll().await;
                    // A Deployment waits for the new pod.
                    let ready = async {
                        while !replica.is_ready() {
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                    };
                    let _ = tokio::time::timeout(Duration::from_secs(30), ready).await;
                }
            }
        }
    }

    async fn disturb_redis(&self, fault: Fault, one: usize, duration: Duration, random: &mut Random) {
        let mut caches = self.caches.lock().await;
        let mode = match fault {
            Fault::RedisRestartedEmpty => return caches.restart(duration, false, Duration::ZERO).await,
            Fault::RedisRestartedWithOldData => {
                return caches.restart(duration / 2, true, duration / 2).await;
            }
            Fault::RedisFailedOver => return caches.fail_over(duration.min(Duration::from_secs(5))).await,
            Fault::RedisFlushed => {
                for _ in 0..=random.below(4) {
                    command(caches.primary().await, "FLUSHALL").await;
                    tokio::time::sleep(duration / 4).await;
                }
                return;
            }
            Fault::RedisFull => {
                command(caches.primary().await, "CONFIG SET maxmemory 1").await;
                tokio::time::sleep(duration).await;
                command(caches.primary().await, "CONFIG SET maxmemory 0").await;
                return;
            }
            Fault::RedisFrozenForOne => {
                caches.proxies[one].set(silence(random));
                tokio::time::sleep(duration).await;
                caches.proxies[one].set(Mode::Forward);
                return;
            }
            Fault::RedisSlow => {
                Mode::Delay(random.between(Duration::from_millis(5), Duration::from_millis(300)))
            }
            Fault::RedisFrozen => silence(random),
            _ => Mode::CutResponses { one_in: 7 },
        };
        caches.set_all(mode);
        tokio::time::sleep(duration).await;
        caches.set_all(Mode::Forward);
    }

    async fn disturb_postgres(&self, fault: Fault, one: usize, duration: Duration, random: &mut Random) {
        let mut databases = self.databases.lock().await;
        let mode = match fault {
            Fault::PostgresRestarted | Fault::PostgresCrashed => {
                let crash = fault == Fault::PostgresCrashed;
                return databases.restart(duration / 2, crash).await;
            }
            Fault::PostgresFailedOver => return databases.fail_over().await,
            Fault::PostgresDiskFull => return databases.fill_disk(duration).await,
            Fault::PostgresOutOfConnections => {
                databases.use_up_connections().await;
                tokio::time::sleep(duration).await;
                return databases.release_connections();
            }
            Fault::ReplicationStopped => {
                let stopped = databases.stop_replication().await;
                tokio::time::sleep(duration).await;
                // A standby that has not received what was committed meanwhile takes over.
                if random.happens(50) {
                    databases.fail_over().await;
                }
                return Databases::resume_replication(&stopped);
            }
            Fault::PostgresFrozenForOne => {
                databases.proxies[one].set(silence(random));
                tokio::time::sleep(duration).await;
                databases.proxies[one].set(Mode::Forward);
                return;
            }
            Fault::PostgresSlow => {
                Mode::Delay(random.between(Duration::from_millis(5), Duration::from_millis(100)))
            }
            Fault::PostgresFrozen => silence(random),
            Fault::PostgresCutAtCommit => Mode::CutAt { texts: COMMITS, one_in: 2 },
            _ => Mode::CutResponses { one_in: 9 },
        };
        databases.set_all(mode);
        tokio::time::sleep(duration).await;
        databases.set_all(Mode::Forward);
    }

    async fn disturb_clients(self: &Arc<Self>, fault: Fault, duration: Duration) {
        match fault {
            Fault::TricklingClients => trickle::run(self, duration).await,
            Fault::TenTimesTheLoad => load::run(self, duration).await,
            _ => {
                for replica in &self.replicas {
                    replica.proxy.set(Mode::CutResponses { one_in: 5 });
                }
                tokio::time::sleep(duration).await;
                for replica in &self.replicas {
                    replica.proxy.set(Mode::Forward);
                }
            }
        }
    }
}

/// Silence in both directions, or of the responses only.
fn silence(random: &mut Random) -> Mode {
    if random.happens(50) { Mode::Freeze } else { Mode::HoldResponses }
}
