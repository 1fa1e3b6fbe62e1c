//! How many passwords a process may hash at the same time, and how much memory they may take.

use std::num::NonZeroUsize;

const MIB: u64 = 1024 * 1024;

/// What one hash with Latchkey's parameters takes: 19 MiB, rounded up.
pub const HASH_MEMORY: u64 = 20 * MIB;
/// What everything else takes: about 30 MiB for the process and up to 64 MiB for its connections.
pub const BASE_MEMORY: u64 = 96 * MIB;

/// The limits of the hash pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashLimits {
    /// The maximum number of concurrent hashes.
    pub workers: NonZeroUsize,
    /// The memory that all concurrent hashes may take together, in bytes; `None` without a limit.
    pub memory: Option<u64>,
}

impl HashLimits {
    /// Derives the limits: one worker for each core, as far as the memory suffices. `workers` is the setting, which
    /// replaces the number of cores; the memory bounds it too, because the kernel kills a process that exceeds its limit.
    ///
    /// `memory_limit` is that of the process, in bytes. A process with too little memory has one worker.
    pub fn derive(cores: NonZeroUsize, memory_limit: Option<u64>, workers: Option<NonZeroUsize>) -> Self {
        let wanted = workers.unwrap_or(cores);
        let memory = memory_limit.map(|limit| limit.saturating_sub(BASE_MEMORY).max(HASH_MEMORY));
        let affordable =
            memory.map_or(usize::MAX, |memory| usize::try_from(memory / HASH_MEMORY).unwrap_or(usize::MAX));
        Self { workers: wanted.min(NonZeroUsize::new(affordable).unwrap_or(NonZeroUsize::MIN)), memory }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(number: usize) -> NonZeroUsize {
        NonZeroUsize::new(number).unwrap()
    }

    #[test]
    fn the_workers_follow_the_cores_as_far_as_the_memory_suffices() {
        for (cores, mib, setting, expected) in [
            (16, None, None, 16),
            (2, Some(256), None, 2),
            (16, Some(256), None, 8),
            (256, Some(256), None, 8),
            (16, Some(128), None, 1),
            (16, Some(16), None, 1),
            (16, Some(1024), None, 16),
            (64, Some(1024), None, 46),
            (4, None, Some(2), 2),
            (4, None, Some(8), 8),
            (4, Some(256), Some(100), 8),
        ] {
            let limits =
                HashLimits::derive(number(cores), mib.map(|mib: u64| mib * MIB), setting.map(number));
            assert_eq!(limits.workers, number(expected), "{cores} cores, {mib:?} MiB, setting {setting:?}");
        }
    }

    proptest! {
        #[test]
        fn all_workers_together_never_exceed_the_limit_unless_it_is_too_small_for_one(
            cores in 1_usize..10_000, limit in 0_u64.., setting in prop::option::of(1_usize..10_000),
        ) {
            let limits = HashLimits::derive(number(cores), Some(limit), setting.map(number));
            let needed = limits.workers.get() as u64 * HASH_MEMORY;
            prop_assert!(needed <= limits.memory.unwrap());
            prop_assert!(limits.workers.get() == 1 || needed + BASE_MEMORY <= limit);
            prop_assert!(limits.workers <= number(setting.unwrap_or(cores)));
        }
    }
}
