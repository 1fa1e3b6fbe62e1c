//! The identity of the Redis process behind a connection.

use std::fmt;

use chrono::{DateTime, Utc};
use redis::RedisError;
use redis::aio::MultiplexedConnection;

use crate::domain::clock::ClockOffset;
use crate::trusted_roots::describe_refusal;

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

/// Why a Redis is not used. The messages contain no address and no credentials.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It does not answer, or is a replica: a temporary state.
    Down(String),
    /// Its configuration forbids using it.
    Refused(String),
    /// Its policy lets it evict keys.
    Evicts(String),
    /// Its clock differs too much from this replica's, so that keys may have expired early.
    ClockOff(String),
}

impl Unusable {
    /// The message, whether only another configuration helps, and which data may be missing.
    pub(super) fn into_parts(self) -> (String, bool, Option<MayForget>) {
        match self {
            Self::Down(reason) => (reason, false, None),
            Self::Refused(reason) => (reason, true, None),
            Self::Evicts(reason) => (reason, true, Some(MayForget::Evicts)),
            Self::ClockOff(reason) => (reason, true, Some(MayForget::ClockOff)),
        }
    }
}

impl From<RedisError> for Unusable {
    fn from(error: RedisError) -> Self {
        Self::Down(describe(&error))
    }
}

/// Reads everything that decides whether the Redis behind `stream` may be used.
pub(super) async fn identify(stream: &mut MultiplexedConnection) -> Result<DataId, Unusable> {
    let asked = Utc::now();
    let mut questions = redis::pipe();
    // One section per command: only Redis 7 accepts several.
    for section in ["server", "replication", "memory", "stats"] {
        questions.cmd("INFO").arg(section);
    }
    questions.cmd("TIME");
    let (server, replication, memory, stats, time): (String, String, String, String, (i64, i64)) =
        questions.query_async(stream).await?;
    let clock = DateTime::from_timestamp(time.0, 0).map(|time| ClockOffset::measure(asked, time, Utc::now()));
    judge(&[server, replication, memory, stats].concat(), clock)
}

/// Decides from the output of `INFO` and the clock difference.
fn judge(info: &str, clock: Option<ClockOffset>) -> Result<DataId, Unusable> {
    let field = |name: &str| {
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        value.filter(|value| !value.is_empty())
    };
    let require = |name: &str, purpose: &str| {
        field(name).map(str::to_owned).ok_or_else(|| {
            Unusable::Refused(format!(
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
        Some(_) => Ok(DataId { run_id, replication_id, evicted_keys }),
        None => Err(Unusable::Refused("Redis does not report its time (TIME)".to_owned())),
    }
}

/// The error without addresses or credentials.
pub(super) fn describe(error: &RedisError) -> String {
    if let Some(reason) = describe_refusal(error) {
        format!("Redis cannot be talked to: {reason}")
    } else if error.is_timeout() {
        "Redis does not answer in time".to_owned()
    } else if error.is_connection_refusal() {
        "Redis refuses the connection".to_owned()
    } else if error.kind() == redis::ErrorKind::AuthenticationFailed {
        "Redis refuses the user or the password".to_owned()
    } else if error.is_io_error() || error.is_connection_dropped() {
        "the connection to Redis was lost or could not be made".to_owned()
    } else {
        format!("Redis answered with an error ({})", error.code().unwrap_or("unknown"))
    }
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
            | Unusable::Refused(reason)
            | Unusable::Evicts(reason)
            | Unusable::ClockOff(reason) => reason,
        }
    }

    #[test]
    fn what_it_holds_is_named_by_process_and_replication() {
        let named = |info: &str| judge(info, Some(offset(0))).expect("it is used").to_string();
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
