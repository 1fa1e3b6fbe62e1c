//! Password hashing with argon2id on a bounded pool (OWASP Password Storage Cheat Sheet, ASVS 5.0 §11.4).
//!
//! One hash occupies a core for about 15 ms and takes 19 MiB. The pool therefore runs at most one hash per core, as far as
//! the memory suffices ([`HashLimits`]), and reuses the memory. A hash that cannot be done within [`MAX_TIME`] fails with
//! [`HashError::Overloaded`], immediately if the measured durations of the waiting hashes make that foreseeable. Slow hashes
//! of imported accounts wait in a lane of their own (`hash_queue.rs`).

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use argon2::password_hash::phc::{self, Output, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use latchkey_config::{HashLimits, SecretText};
use tokio::sync::oneshot;
use tracing::Instrument as _;

use super::foreign_hash::{ForeignHash, ForeignKind};
use super::hash_durations::HashDurations;
use super::hash_formats::parse_stored;
use super::hash_functions::FastHash;
use super::hash_queue::{Demand, HashQueue, Lane};
use super::hash_threads::HashThreads;
use super::stored_hash::{Argon2Hash, StoredHash};
use crate::domain::{Password, PasswordHash};
use crate::telemetry::detail_span;

/// The longest time until a hash is expected to be done. A request waits for as much of it as the hash itself leaves.
const MAX_TIME: Duration = Duration::from_millis(1_500);
/// The same for a further hash of a request that has already waited for one.
const MAX_FURTHER_TIME: Duration = Duration::from_millis(500);
/// What a hash that alone takes longer may wait.
const MIN_WAIT: Duration = Duration::from_millis(250);
/// How long free buffers are reused; allocating a new one costs a tenth of a hash.
const IDLE_MEMORY_LIFETIME: Duration = Duration::from_secs(5);
/// A hash that needs more KiB than this is large: one at a time runs.
const LARGE: u64 = 33 * 1024;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// The queue is too long; the client may try again after this time.
    #[error("too many passwords are being checked")]
    Overloaded(Duration),
    /// The stored hash has an unknown format, or the system returned no randomness or memory.
    #[error("a password could not be hashed")]
    Failed,
    /// The system refused a thread when the pool was created.
    #[error("a thread that hashes passwords cannot be started")]
    NoThread,
}

#[derive(Debug, Clone, Copy)]
pub struct HashPoolState {
    /// The maximum number of concurrent hashes.
    pub workers: usize,
    pub running: usize,
    pub waiting: usize,
}

/// The free buffers.
struct Memory {
    free: Vec<Vec<Block>>,
    used_at: Instant,
}

pub struct HashPool {
    params: Params,
    queue: Arc<HashQueue>,
    threads: HashThreads,
    durations: HashDurations,
    memory: Mutex<Memory>,
    /// A hash of no password. Verifying against it makes a login with an unknown account as slow as with a known one.
    dummy: Option<StoredHash>,
    /// The text that another system appended to each password before bcrypt.
    pepper: Option<SecretText>,
}

impl HashPool {
    /// Creates a pool with OWASP's parameters (m=19456 KiB, t=2, p=1).
    ///
    /// # Errors
    /// [`HashError::Failed`] if the system returns no randomness, [`HashError::NoThread`].
    pub fn new(limits: HashLimits) -> Result<Arc<Self>, HashError> {
        Self::with_params(limits, Params::DEFAULT)
    }

    /// Creates a pool for a command, which hashes one password at a time.
    ///
    /// # Errors
    /// See [`HashPool::new`].
    pub fn for_one() -> Result<Arc<Self>, HashError> {
        Self::new(HashLimits { workers: NonZeroUsize::MIN, memory: None })
    }

    /// Creates a pool that also verifies imported bcrypt hashes of the password followed by `pepper`.
    ///
    /// # Errors
    /// See [`HashPool::new`].
    pub fn with_pepper(limits: HashLimits, pepper: Option<SecretText>) -> Result<Arc<Self>, HashError> {
        let pool = Arc::into_inner(Self::new(limits)?).ok_or(HashError::Failed)?;
        Ok(Arc::new(Self { pepper, ..pool }))
    }

    fn with_params(limits: HashLimits, params: Params) -> Result<Arc<Self>, HashError> {
        let mut pool = Self {
            params,
            threads: HashThreads::start(limits.workers.get()).map_err(|_| HashError::NoThread)?,
            queue: HashQueue::new(limits.workers.get(), limits.memory.map(|bytes| bytes / 1024)),
            durations: HashDurations::default(),
            memory: Mutex::new(Memory { free: Vec::new(), used_at: Instant::now() }),
            dummy: None,
            pepper: None,
        };
        let mut random = [0_u8; HASH_BYTES];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| HashError::Failed)?;
        let dummy = pool.phc(&random[..SALT_BYTES], &random)?;
        let dummy = parse_stored(&dummy).map_err(|_| HashError::Failed)?;
        pool.durations = HashDurations::new(dummy.kind());
        pool.dummy = Some(dummy);
        Ok(Arc::new(pool))
    }

    /// Fails if a hash of this pool's own kind would have to wait too long now. A hash of another kind may still be possible.
    ///
    /// # Errors
    /// [`HashError::Overloaded`]
    pub fn check_capacity(&self) -> Result<(), HashError> {
        let Some(dummy) = &self.dummy else { return Err(HashError::Failed) };
        let estimate = self.durations.estimate(&dummy.kind());
        self.queue.check_capacity(longest_wait(MAX_TIME, estimate.duration)).map_err(HashError::Overloaded)
    }

    /// Hashes a new password into a PHC string.
    ///
    /// # Errors
    /// [`HashError`]
    pub async fn hash(self: &Arc<Self>, password: Password) -> Result<PasswordHash, HashError> {
        self.hash_within(MAX_TIME, password).await
    }

    /// Hashes the password of a request that has already verified it: waits for a short time only.
    ///
    /// # Errors
    /// [`HashError`]
    pub async fn rehash(self: &Arc<Self>, password: Password) -> Result<PasswordHash, HashError> {
        self.hash_within(MAX_FURTHER_TIME, password).await
    }

    async fn hash_within(
        self: &Arc<Self>,
        time: Duration,
        password: Password,
    ) -> Result<PasswordHash, HashError> {
        let dummy = self.dummy.as_ref().ok_or(HashError::Failed)?;
        self.run(time, dummy.kind(), dummy.memory_kib(), move |pool| {
            pool.compute_new(password.expose().as_bytes())
        })
        .await
    }

    /// Returns the hash to store for an imported one: a fast digest is stored below argon2id.
    ///
    /// # Errors
    /// [`HashError`]
    pub async fn protect(self: &Arc<Self>, hash: ForeignHash) -> Result<PasswordHash, HashError> {
        match hash.0 {
            ForeignKind::Stored(hash) => Ok(hash),
            ForeignKind::Fast(FastHash { how, digest }) => {
                let dummy = self.dummy.as_ref().ok_or(HashError::Failed)?;
                let (kind, kib) = (dummy.kind(), dummy.memory_kib());
                let argon2id = self.run(MAX_TIME, kind, kib, move |pool| pool.compute_new(&digest)).await?;
                Ok(PasswordHash::new(format!("{{layered:{}}}{}", how.describe(), argon2id.expose())))
            }
        }
    }

    /// Whether `password` matches `stored`, which may be a hash of another system. Without a `stored` hash, or with a
    /// password that is too long for any account, it returns `false` after the same time.
    ///
    /// # Errors
    /// [`HashError`]
    pub async fn verify(
        self: &Arc<Self>,
        password: Password,
        stored: Option<PasswordHash>,
    ) -> Result<bool, HashError> {
        self.verify_within(MAX_TIME, password, stored).await
    }

    /// The same for a request that has already verified the password against another hash: waits for a short time only.
    ///
    /// # Errors
    /// [`HashError`]
    pub async fn verify_again(
        self: &Arc<Self>,
        password: Password,
        stored: PasswordHash,
    ) -> Result<bool, HashError> {
        self.verify_within(MAX_FURTHER_TIME, password, Some(stored)).await
    }

    async fn verify_within(
        self: &Arc<Self>,
        time: Duration,
        password: Password,
        stored: Option<PasswordHash>,
    ) -> Result<bool, HashError> {
        let known = stored.is_some() && !password.exceeds_limit();
        let stored = match stored {
            Some(text) => parse_stored(text.expose()).map_err(|_| HashError::Failed)?,
            None => self.dummy.clone().ok_or(HashError::Failed)?,
        };
        self.run(time, stored.kind(), stored.memory_kib(), move |pool| {
            // A password that is too long is truncated and hashed: the time must not reveal whether the account exists.
            let bytes = password.expose().as_bytes();
            let matches = pool.compute_verify(&bytes[..bytes.len().min(4 * 256)], &stored)?;
            Ok(matches && known)
        })
        .await
    }

    /// Whether `stored` has another algorithm or other parameters than this pool's. This includes more expensive
    /// hashes, because their login time would distinguish such accounts.
    pub fn needs_rehash(&self, stored: &PasswordHash) -> bool {
        match parse_stored(stored.expose()) {
            Ok(StoredHash::Argon2(argon2)) => {
                let costs = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
                !stored.expose().starts_with("$argon2id$")
                    || argon2.version != Version::V0x13
                    || argon2.hash.len() != HASH_BYTES
                    || costs(&argon2.params) != costs(&self.params)
            }
            Ok(_) => true,
            Err(_) => false,
        }
    }

    /// Periodically frees the buffers if no hash used them for [`IDLE_MEMORY_LIFETIME`]. It never returns.
    pub async fn release_idle_memory(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(IDLE_MEMORY_LIFETIME);
        loop {
            ticks.tick().await;
            if let Ok(mut memory) = self.memory.lock()
                && memory.used_at.elapsed() >= IDLE_MEMORY_LIFETIME
            {
                memory.free = Vec::new();
            }
        }
    }

    pub fn state(&self) -> HashPoolState {
        let state = self.queue.state();
        HashPoolState { workers: self.queue.workers(), running: state.running, waiting: state.waiting }
    }

    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        time: Duration,
        kind: String,
        kib: u64,
        work: impl FnOnce(&Self) -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let estimate = self.durations.estimate(&kind);
        let lane = if estimate.is_slow { Lane::Slow } else { Lane::Ordinary };
        let is_large = kib > LARGE;
        let wait = longest_wait(time, estimate.duration);
        let demand = Demand { lane, duration: estimate.duration, kib, is_large };
        let permit = self
            .queue
            .acquire(demand, tokio::time::Instant::now() + wait)
            .instrument(detail_span("wait for the hash pool"))
            .await
            .map_err(HashError::Overloaded)?;
        let pool = Arc::clone(self);
        let span = detail_span("hash the password");
        let (done, finished) = oneshot::channel();
        // The permit moves into the job, because the hash continues to run after its request is cancelled.
        self.threads.run(move || {
            let _permit = permit;
            let _entered = span.enter();
            if is_large {
                // The buffers that wait to be reused are not counted in the memory of running hashes.
                pool.release_memory();
            }
            let started = Instant::now();
            let result = work(&pool);
            pool.durations.record(kind, started.elapsed());
            // The receiver of a cancelled request is gone.
            let _ = done.send(result);
        });
        finished.await.map_err(|_| HashError::Failed)?
    }

    fn release_memory(&self) {
        if let Ok(mut memory) = self.memory.lock() {
            memory.free = Vec::new();
        }
    }

    fn compute_new(&self, password: &[u8]) -> Result<PasswordHash, HashError> {
        let mut salt = [0_u8; SALT_BYTES];
        aws_lc_rs::rand::fill(&mut salt).map_err(|_| HashError::Failed)?;
        let mut output = [0_u8; HASH_BYTES];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone());
        self.fill(&argon2, password, &salt, &mut output)?;
        Ok(PasswordHash::new(self.phc(&salt, &output)?))
    }

    fn phc(&self, salt: &[u8], output: &[u8]) -> Result<String, HashError> {
        let hash = phc::PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: (&self.params).try_into().map_err(|_| HashError::Failed)?,
            salt: Some(Salt::new(salt).map_err(|_| HashError::Failed)?),
            hash: Some(Output::new(output).map_err(|_| HashError::Failed)?),
        };
        Ok(hash.to_string())
    }

    fn compute_verify(&self, password: &[u8], stored: &StoredHash) -> Result<bool, HashError> {
        match stored {
            StoredHash::Argon2(argon2) => self.verify_argon2(password, argon2),
            StoredHash::Layered { digest, argon2 } => {
                digest.compute(password).map_or(Ok(false), |digest| self.verify_argon2(&digest, argon2))
            }
            other => {
                let pepper = self.pepper.as_ref().map(|pepper| pepper.expose().as_bytes());
                other.verify_without_argon2(password, pepper).ok_or(HashError::Failed)
            }
        }
    }

    fn verify_argon2(&self, password: &[u8], stored: &Argon2Hash) -> Result<bool, HashError> {
        let Argon2Hash { algorithm, version, params, salt, hash } = stored;
        let argon2 = Argon2::new(*algorithm, *version, params.clone());
        let mut output = vec![0_u8; hash.len()];
        self.fill(&argon2, password, salt, &mut output)?;
        Ok(verify_slices_are_equal(&output, hash).is_ok())
    }

    fn fill(
        &self,
        argon2: &Argon2<'_>,
        password: &[u8],
        salt: &[u8],
        output: &mut [u8],
    ) -> Result<(), HashError> {
        let params = argon2.params();
        let free = self.memory.lock().ok().and_then(|mut memory| memory.free.pop());
        let mut blocks = free.unwrap_or_else(|| Vec::with_capacity(params.block_count()));
        blocks.resize(params.block_count().max(blocks.len()), Block::default());
        let result = argon2.hash_password_into_with_memory(
            password,
            salt,
            output,
            &mut blocks[..params.block_count()],
        );
        // Larger buffers are not reused, so that an imported hash with huge parameters does not pin its memory.
        if blocks.len() <= self.params.block_count()
            && let Ok(mut memory) = self.memory.lock()
        {
            memory.free.push(blocks);
            memory.used_at = Instant::now();
        }
        result.map_err(|_| HashError::Failed)
    }
}

/// How long a hash that takes `duration` may wait so that it is done within `time`.
fn longest_wait(time: Duration, duration: Duration) -> Duration {
    time.saturating_sub(duration).max(MIN_WAIT)
}

#[cfg(test)]
#[path = "hashing_tests.rs"]
mod tests;
