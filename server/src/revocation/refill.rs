//! Refilling Redis from PostgreSQL; PostgreSQL's trust comes last.

use std::time::Instant;

use futures::StreamExt as _;
use redis::RedisError;
use uuid::Uuid;

use super::keys::Keys;
use super::{CHUNK, Revocation, add_account, write_chunk};
use crate::redis_connection::Connection;
use crate::store::{StoreError, SweepCursor};

pub(super) enum Outcome {
    NothingToDo,
    AnotherReplica,
    /// A revocation was not written to this Redis meanwhile: the refill has to be repeated.
    Interrupted,
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
    /// Refills Redis when its marker does not hold the epoch that PostgreSQL trusts.
    pub(super) async fn refill_if_needed(&self, connection: &Connection) -> Result<Outcome, RefillError> {
        if self.is_complete(connection).await? {
            return Ok(Outcome::NothingToDo);
        }
        let Some(_right) = self.store.try_refill_right().await? else { return Ok(Outcome::AnotherReplica) };
        // Another replica may have done it between the question and the right.
        if self.is_complete(connection).await? {
            return Ok(Outcome::NothingToDo);
        }
        self.refill(connection).await
    }

    /// Whether the marker of Redis holds the epoch that PostgreSQL trusts.
    pub(super) async fn is_complete(&self, connection: &Connection) -> Result<bool, RefillError> {
        let state = self.fetch_state().await?;
        let keys = Keys::new(&self.issuer, &state);
        let marker: Option<String> =
            redis::cmd("GET").arg(&keys.marker).query_async(&mut connection.stream()).await?;
        Ok(state.record().is_trusted_copy(marker.as_deref(), connection.link()))
    }

    /// The order of the steps is what makes it safe: the models of `latchkey-protocol` show for each what happens otherwise.
    async fn refill(&self, connection: &Connection) -> Result<Outcome, RefillError> {
        // 1. No replica trusts any Redis once the trust has expired. Until then a replica may still answer a revocation
        //    because it is in the Redis of the old epoch, which need not be this one; after the wait all of those are
        //    committed, and step 4 reads them.
        tracing::info!("Redis lacks revocations; refilling it");
        let withdrawn = self.store.distrust_redis().await?;
        let keys = Keys::new(&self.issuer, &withdrawn);
        let until = self.trust.expired_everywhere_at(&withdrawn.record(), Instant::now());
        tokio::time::sleep_until(until.into()).await;
        // 2. What Redis loses from here on, it loses together with the marker.
        let epoch = format!("{}{}", connection.link().epoch_prefix, Uuid::new_v4());
        redis::cmd("SET").arg(&keys.marker).arg(&epoch).query_async::<()>(&mut connection.stream()).await?;
        // 3. From here on a revocation is written to the Redis that has this marker, or it withdraws the candidate and step 5
        //    fails. Another replica may have finished a refill during the wait, if the right to refill was lost with a
        //    connection.
        if !self.store.begin_refill(&epoch, &withdrawn.record()).await? {
            return Ok(Outcome::Interrupted);
        }
        // 4. Everything that PostgreSQL knows.
        let (begun_at, cursor) = (Instant::now(), self.store.sweep_cursor().await?);
        let count = self.copy_revocations(connection, &keys, None).await?;
        // 5. PostgreSQL trusts the epoch, if it is still the candidate.
        if self.store.trust_redis(&epoch).await? {
            self.record_sweep(connection, begun_at, cursor);
            Ok(Outcome::Filled(count))
        } else {
            Ok(Outcome::Interrupted)
        }
    }
}

impl Revocation {
    /// Copies the accounts with a cutoff and revocations to Redis, all of them or those made by transactions from `since` on; returns how many.
    pub(super) async fn copy_revocations(
        &self,
        connection: &Connection,
        keys: &Keys,
        since: Option<i64>,
    ) -> Result<u64, RefillError> {
        // Read before the revocations: when a cutoff is removed, they have been recorded.
        for user_id in self.store.accounts_with_cutoff().await? {
            let mut pipeline = redis::pipe();
            add_account(&mut pipeline, keys, user_id);
            pipeline.query_async::<()>(&mut connection.stream()).await?;
        }
        let mut count: u64 = 0;
        let mut reading = self.store.read_revocations().await?;
        let mut batches = reading.active(since).chunks(CHUNK);
        while let Some(batch) = batches.next().await {
            let batch: Vec<_> = batch.into_iter().collect::<Result<_, _>>()?;
            write_chunk(connection, keys, batch.iter()).await?;
            count += batch.len() as u64;
        }
        Ok(count)
    }

    /// Everything that `cursor` covers is in the Redis behind `connection`.
    pub(super) fn record_sweep(&self, connection: &Connection, begun_at: Instant, cursor: SweepCursor) {
        if let Ok(mut last) = self.cursor.lock() {
            *last = Some(cursor);
        }
        self.trust.sweep(connection, begun_at);
    }
}
