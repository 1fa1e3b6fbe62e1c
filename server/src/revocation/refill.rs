//! Filling Redis from PostgreSQL, the marker last.

use chrono::TimeDelta;
use futures::StreamExt as _;
use redis::{RedisError, Script};
use uuid::Uuid;

use super::{MARKER_KEY, Revocation, add_revocation};
use crate::redis_link::Connection;
use crate::store::StoreError;

/// Shows that nothing was lost between the first and the last command of a filling.
pub(super) const GUARD_KEY: &str = "latchkey:filling";
/// A filling that takes longer was given up by its replica.
const GUARD_SECONDS: u64 = 600;
const BATCH: usize = 1_000;

pub(super) enum Outcome {
    NothingToDo,
    AnotherReplica,
    /// A revocation went past Redis meanwhile, or Redis was flushed: not complete, to be done again.
    Overtaken,
    /// This many revocations.
    Filled(u64),
}

pub(super) enum RefillError {
    Redis(RedisError),
    Store(StoreError),
}

impl From<RedisError> for RefillError {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl From<StoreError> for RefillError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Revocation {
    /// Fills Redis when its marker is not the one PostgreSQL names.
    pub(super) async fn refill_if_needed(&self, connection: &Connection) -> Result<Outcome, RefillError> {
        let marker: Option<String> =
            redis::cmd("GET").arg(MARKER_KEY).query_async(&mut connection.stream()).await?;
        if is_complete(
            connection,
            marker.as_deref(),
            self.store.revocation_state().await?.redis_epoch.as_deref(),
        ) {
            return Ok(Outcome::NothingToDo);
        }
        let Some(_right) = self.store.try_refill_right().await? else { return Ok(Outcome::AnotherReplica) };
        // Another replica may have done it between the question and the right.
        let marker: Option<String> =
            redis::cmd("GET").arg(MARKER_KEY).query_async(&mut connection.stream()).await?;
        if is_complete(
            connection,
            marker.as_deref(),
            self.store.revocation_state().await?.redis_epoch.as_deref(),
        ) {
            return Ok(Outcome::NothingToDo);
        }
        self.refill(connection).await
    }

    async fn refill(&self, connection: &Connection) -> Result<Outcome, RefillError> {
        // 1. Nobody believes any Redis once the trust has run out. Until then a replica may still answer a
        //    revocation because it stands in the Redis of the old marker, which need not be this one; after
        //    the wait all of those are committed, and the reading below sees them.
        let withdrawn = self.store.distrust_redis().await?;
        tokio::time::sleep_until(self.trust.everybody_knows_at(&withdrawn, std::time::Instant::now()).into())
            .await;
        // 2. From here on a revocation stands in this Redis, written while the guard was there, or it raises the
        //    generation and the last step fails.
        let epoch = format!("{}/{}", connection.run_id(), Uuid::new_v4());
        let Some(generation) = self.store.begin_filling(&epoch).await? else { return Ok(Outcome::Overtaken) };
        redis::cmd("SET")
            .arg(GUARD_KEY)
            .arg(&epoch)
            .arg("EX")
            .arg(GUARD_SECONDS)
            .query_async::<()>(&mut connection.stream())
            .await?;
        // 3. Everything that PostgreSQL knows.
        let count = self.copy_revocations(connection, None).await?;
        // 4. The marker, if nothing was flushed since the guard was set.
        let marked: bool = Script::new(
            "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
             redis.call('SET', KEYS[2], ARGV[1])
             redis.call('DEL', KEYS[1])
             return 1",
        )
        .key(GUARD_KEY)
        .key(MARKER_KEY)
        .arg(&epoch)
        .invoke_async(&mut connection.stream())
        .await?;
        // 5. PostgreSQL's word, if no revocation went past Redis since step 2.
        if marked && self.store.trust_redis(&epoch, generation).await? {
            Ok(Outcome::Filled(count))
        } else {
            Ok(Outcome::Overtaken)
        }
    }
}

impl Revocation {
    /// Copies revocations into Redis, all of them or those made `within` the last while; returns how many.
    ///
    /// Also done from time to time beside the filling: a replica that dies between committing a revocation and
    /// writing it to Redis has answered nobody, but what it ended must end all the same.
    pub(super) async fn copy_revocations(
        &self,
        connection: &Connection,
        within: Option<TimeDelta>,
    ) -> Result<u64, RefillError> {
        let mut count: u64 = 0;
        let mut batches = self.store.active_revocations(within).chunks(BATCH);
        while let Some(batch) = batches.next().await {
            let mut pipeline = redis::pipe();
            for session in batch {
                add_revocation(&mut pipeline, &session?);
                count += 1;
            }
            pipeline.query_async::<()>(&mut connection.stream()).await?;
        }
        Ok(count)
    }
}

fn is_complete(connection: &Connection, marker: Option<&str>, expected: Option<&str>) -> bool {
    marker.is_some()
        && marker == expected
        && expected.is_some_and(|epoch| epoch.starts_with(connection.run_id()))
}
