//! The identity of the Redis process behind a connection.

use std::fmt;

use chrono::{DateTime, Utc};
use redis::RedisError;
use redis::aio::MultiplexedConnection;

use crate::domain::clock::ClockOffset;
use crate::trusted_roots::{describe_refusal, requires_client_certificate};

/// Why a Redis must not be used although it answers and holds the expected data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MayForget {
    /// Its policy lets it evict keys.
    Evicts,
    /// Its clock differs too much from this replica's, so that keys may have expired early.
    ClockOff,
}

/// Identifies the data of one Redis process. A restarted process has a new run id. A process that was demoted, took over the
/// data of another one and was promoted again keeps its run id, but each promotion and each resynchronization gives it a
/// new replication id. A process that evicted keys has counted them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataId {
    run_id: String,
    replication_id: String,
    evicted_keys: String,
}

impl fmt::Display for DataId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.run_id, self.replication_id, self.evicted_keys)
    }
}

/// The data of a Redis, and whether it is a node of a Redis Cluster.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) data_id: DataId,
    pub(super) is_cluster: bool,
}

/// The kinds of reasons for which a Redis is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It does not answer, or another server has to take over: a temporary state.
    Down,
    /// It answers and refuses commands that the server needs.
    Limited,
    /// Its configuration forbids using it.
    Refused,
}

/// Why a Redis is not used. The messages contain no address and no credentials.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// See [`Fault::Down`].
    Down(String),
    /// See [`Fault::Limited`].
    Limited(String),
    /// See [`Fault::Refused`].
    Refused(String),
    /// Its policy lets it evict keys.
    Evicts(String),
    /// Its clock differs too much from this replica's, so that keys may have expired early.
    ClockOff(String),
    /// Another node of the Redis Cluster, `HOST:PORT`, owns the slot of the keys.
    Elsewhere(String),
}

impl Unusable {
    /// The message, its kind, and which data may be missing.
    pub(super) fn into_parts(self) -> (String, Fault, Option<MayForget>) {
        match self {
            Self::Down(reason) => (reason, Fault::Down, None),
            Self::Limited(reason) => (reason, Fault::Limited, None),
            Self::Refused(reason) => (reason, Fault::Refused, None),
            Self::Evicts(reason) => (reason, Fault::Refused, Some(MayForget::Evicts)),
            Self::ClockOff(reason) => (reason, Fault::Refused, Some(MayForget::ClockOff)),
            Self::Elsewhere(_) => {
                let reason = "the keys have moved to another node of the Redis Cluster";
                (reason.to_owned(), Fault::Down, None)
            }
        }
    }
}

impl From<RedisError> for Unusable {
    fn from(error: RedisError) -> Self {
        Self::from(&error)
    }
}

impl From<&RedisError> for Unusable {
    fn from(error: &RedisError) -> Self {
        if let Some((node, _)) = error.redirect_node().filter(|_| error.code() == Some("MOVED")) {
            return Self::Elsewhere(node.to_owned());
        }
        match limitation(error) {
            Some(reason) => Self::Limited(reason),
            None => Self::Down(describe(error)),
        }
    }
}

/// The answers to `INFO` of four sections and to `TIME`.
type Answers = (String, String, String, String, (i64, i64));

/// Reads everything that decides whether the Redis behind `stream` may be used.
pub(super) async fn identify(stream: &mut MultiplexedConnection) -> Result<Identity, Unusable> {
    let asked = Utc::now();
    let mut questions = redis::pipe();
    // One section per command: only Redis 7 accepts several.
    for section in ["server", "replication", "memory", "stats"] {
        questions.cmd("INFO").arg(section);
    }
    questions.cmd("TIME");
    let answer: Result<Answers, RedisError> = questions.query_async(stream).await;
    let (server, replication, memory, stats, time) = match answer {
        Ok(answer) => answer,
        Err(error) if error.code().is_some() => {
            // The error of a pipeline does not tell which command was refused.
            redis::cmd("INFO").arg("server").query_async::<String>(stream).await?;
            redis::cmd("TIME").query_async::<(i64, i64)>(stream).await?;
            return Err(error.into());
        }
        Err(error) => return Err(error.into()),
    };
    let clock = DateTime::from_timestamp(time.0, 0).map(|time| ClockOffset::measure(asked, time, Utc::now()));
    judge(&[server, replication, memory, stats].concat(), clock)
}

/// Decides from the output of `INFO` and the clock difference.
fn judge(info: &str, clock: Option<ClockOffset>) -> Result<Identity, Unusable> {
    let field = |name: &str| {
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        value.filter(|value| !value.is_empty())
    };
    let require = |name: &str, purpose: &str| {
        field(name).map(str::to_owned).ok_or_else(|| {
            Unusable::Limited(format!(
                "Redis does not report its {name} (INFO), without which {purpose} cannot be detected"
            ))
        })
    };
    let run_id = require("run_id", "a restart")?;
    let replication_id = require("master_replid", "a failover")?;
    let evicted_keys = require("evicted_keys", "an eviction")?;
    match require("role", "a failover")?.as_str() {
        "master" => {}
        "slave" => {
            let reason = "Redis is a read-only replica; REDIS_URL must lead to the primary";
            return Err(Unusable::Down(reason.to_owned()));
        }
        _ => {
            let reason =
                "Redis is no primary (INFO reports another role); REDIS_URL must lead to the primary";
            return Err(Unusable::Refused(reason.to_owned()));
        }
    }
    match field("maxmemory_policy") {
        Some("noeviction") | None => {}
        Some(policy) => {
            return Err(Unusable::Evicts(format!(
                "Redis may evict revocations (maxmemory-policy is {policy}); set it to noeviction"
            )));
        }
    }
    match clock {
        Some(offset) if offset.exceeds_margin() => Err(Unusable::ClockOff(format!(
            "{}, so that revocations may expire early; synchronize both",
            offset.describe("this replica's clock", "that of Redis")
        ))),
        Some(_) => Ok(Identity {
            data_id: DataId { run_id, replication_id, evicted_keys },
            is_cluster: field("redis_mode") == Some("cluster") || field("server_mode") == Some("cluster"),
        }),
        None => Err(Unusable::Refused("Redis does not report its time (TIME)".to_owned())),
    }
}

/// What Redis refuses to do although it is reachable, if that is the error.
fn limitation(error: &RedisError) -> Option<String> {
    let detail = error.detail().unwrap_or_default();
    Some(match error.code()? {
        "NOPERM" => match quoted_command(detail) {
            Some("info") => "the Redis user may not run INFO, without which a restart, a failover or an eviction cannot be detected; grant it this permission (docs/how-to/use-external-stores.md)".to_owned(),
            Some(command) => format!(
                "the Redis user may not run {}; grant it this permission (docs/how-to/use-external-stores.md)",
                command.to_ascii_uppercase()
            ),
            None => "the Redis user may not access the keys latchkey:*; grant it this permission (docs/how-to/use-external-stores.md)".to_owned(),
        },
        "ERR" if detail.starts_with("unknown command") => format!(
            "Redis does not offer the command {}, which the server needs",
            quoted_command(detail).unwrap_or("that was sent").to_ascii_uppercase()
        ),
        "MISCONF" => "Redis refuses writes because it cannot save a snapshot to its disk (MISCONF); repair its persistence".to_owned(),
        "OOM" => "Redis refuses writes because its memory is full (OOM); raise maxmemory".to_owned(),
        "NOREPLICAS" => "Redis refuses writes because it has too few replicas (NOREPLICAS)".to_owned(),
        _ => return None,
    })
}

/// The command that an error message names in quotation marks. Nothing else of the message is repeated: it may name the
/// user.
fn quoted_command(detail: &str) -> Option<&str> {
    let (_, rest) = detail.split_once('\'')?;
    let (command, _) = rest.split_once('\'')?;
    let plain = command.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'|' || byte == b'-');
    (plain && !command.is_empty() && command.len() <= 32).then_some(command)
}

/// The error without addresses or credentials.
pub(super) fn describe(error: &RedisError) -> String {
    if let Some(limitation) = limitation(error) {
        return limitation;
    }
    if requires_client_certificate(error) {
        return "Redis requires a client certificate, or does not accept the one of REDIS_CLIENT_CERT_FILE"
            .to_owned();
    }
    if let Some(reason) = describe_refusal(error) {
        return format!("Redis cannot be talked to: {reason}");
    }
    let sentence = match error.code() {
        Some("READONLY") => "Redis is a read-only replica; REDIS_URL must lead to the primary",
        Some("MOVED") => "the keys have moved to another node of the Redis Cluster",
        Some("ASK" | "TRYAGAIN") => "the Redis Cluster is moving the keys to another node",
        Some("CLUSTERDOWN") => "the Redis Cluster is down",
        Some("LOADING") => "Redis is loading its data",
        Some("NOAUTH") => "Redis requires a password",
        Some("WRONGPASS") => "Redis refuses the user or the password",
        Some("ERR") if error.detail().is_some_and(|detail| detail.contains("SELECT is not allowed")) => {
            "a Redis Cluster has no database numbers; remove the number from REDIS_URL"
        }
        _ if error.is_timeout() => "Redis does not answer in time",
        _ if error.is_connection_refusal() => "Redis refuses the connection",
        _ if error.kind() == redis::ErrorKind::AuthenticationFailed => {
            "Redis refuses the user or the password"
        }
        _ if error.is_io_error() || error.is_connection_dropped() => {
            "the connection to Redis was lost or could not be made"
        }
        code => return format!("Redis answered with an error ({})", code.unwrap_or("unknown")),
    };
    sentence.to_owned()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:aa\r\n# Replication\r\nrole:master\r\nmaster_replid:bb\r\n# Memory\r\nmaxmemory_policy:noeviction\r\n# Stats\r\nevicted_keys:0\r\n";

    fn offset(seconds: i64) -> ClockOffset {
        let now = Utc::now();
        ClockOffset::measure(now, now + TimeDelta::seconds(seconds), now)
    }

    fn refusal(info: &str, seconds: i64) -> String {
        match judge(info, Some(offset(seconds))).expect_err("it is not used") {
            Unusable::Down(reason)
            | Unusable::Limited(reason)
            | Unusable::Refused(reason)
            | Unusable::Evicts(reason)
            | Unusable::ClockOff(reason)
            | Unusable::Elsewhere(reason) => reason,
        }
    }

    #[test]
    fn what_it_holds_is_named_by_process_and_replication() {
        let named = |info: &str| judge(info, Some(offset(0))).expect("it is used").data_id.to_string();
        assert_eq!(named(INFO), "aa:bb:0");
        assert_eq!(named(&INFO.replace("run_id:aa", "run_id:cc")), "cc:bb:0");
        assert_eq!(named(&INFO.replace("replid:bb", "replid:cc")), "aa:cc:0");
        assert_eq!(named(&INFO.replace("evicted_keys:0", "evicted_keys:7")), "aa:bb:7");
    }

    #[test]
    fn what_cannot_be_told_apart_or_trusted_is_not_used() {
        for name in ["run_id", "role", "master_replid", "evicted_keys"] {
            let without: String = INFO.split_inclusive('\n').filter(|line| !line.starts_with(name)).collect();
            assert!(refusal(&without, 0).contains(name), "{name}");
            let empty = INFO.replace(&format!("{name}:"), &format!("{name}:\r\nother:"));
            assert!(refusal(&empty, 0).contains(name), "{name}");
        }
        assert!(refusal(&INFO.replace("role:master", "role:slave"), 0).contains("replica"));
        assert!(refusal(&INFO.replace("role:master", "role:sentinel"), 0).contains("no primary"));
        assert!(refusal(&INFO.replace("noeviction", "allkeys-lru"), 0).contains("allkeys-lru"));
        assert!(refusal(INFO, 301).contains("301 seconds behind"));
        assert!(refusal(INFO, -301).contains("301 seconds ahead"));
    }
}
