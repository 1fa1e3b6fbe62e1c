//! Trying the commands that the server needs, so that a missing permission, a full memory or failing snapshots are found
//! before a revocation is written.

use redis::Value;
use redis::aio::MultiplexedConnection;

use super::identity::Unusable;

/// How long the key of an attempt lives.
const LIFETIME_SECONDS: u64 = 60;

/// Writes a key. In a Redis Cluster this finds the node of the keys.
pub(super) async fn try_write(stream: &mut MultiplexedConnection, prefix: &str) -> Result<(), Unusable> {
    redis::cmd("SET")
        .arg(probe_key(prefix))
        .arg(1)
        .arg("EX")
        .arg(LIFETIME_SECONDS)
        .query_async::<()>(stream)
        .await?;
    Ok(())
}

/// Runs every command that revocation and rate limits use.
pub(super) async fn try_all_commands(
    stream: &mut MultiplexedConnection,
    prefix: &str,
) -> Result<(), Unusable> {
    try_write(stream, prefix).await?;
    let key = probe_key(prefix);
    redis::cmd("GET").arg(&key).query_async::<Value>(stream).await?;
    redis::cmd("MGET").arg(&key).arg(&key).query_async::<Value>(stream).await?;
    redis::cmd("DEL").arg(&key).query_async::<Value>(stream).await?;
    // Loaded each time: the permission is needed after a restart of Redis, when it has no scripts.
    let script = "return redis.call('GET', KEYS[1])";
    let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg(script).query_async(stream).await?;
    redis::cmd("EVALSHA").arg(sha).arg(1).arg(&key).query_async::<Value>(stream).await?;
    Ok(())
}

fn probe_key(prefix: &str) -> String {
    format!("{prefix}probe")
}

/// The addresses (`HOST:PORT`) of the nodes of a Redis Cluster; none if it does not list them.
pub(super) async fn known_nodes(stream: &mut MultiplexedConnection) -> Vec<String> {
    let slots: Value = redis::cmd("CLUSTER").arg("SLOTS").query_async(stream).await.unwrap_or(Value::Nil);
    let mut nodes = Vec::new();
    collect_nodes(&slots, &mut nodes);
    nodes.sort();
    nodes.dedup();
    nodes
}

/// A node is an array that begins with a host and a port.
fn collect_nodes(value: &Value, nodes: &mut Vec<String>) {
    let Value::Array(values) = value else { return };
    match values.as_slice() {
        [Value::BulkString(host), Value::Int(port), ..] => {
            if let Ok(host) = str::from_utf8(host) {
                nodes.push(format!("{host}:{port}"));
            }
        }
        _ => values.iter().for_each(|value| collect_nodes(value, nodes)),
    }
}
