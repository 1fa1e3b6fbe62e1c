use super::*;

fn password(text: &str) -> Password {
    Password::presented(text)
}

#[tokio::test]
async fn a_hash_verifies_only_its_password() {
    let pool = HashPool::for_one().unwrap();
    let stored = pool.hash(password("correct horse")).await.unwrap();
    assert!(stored.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", stored.expose());
    assert!(pool.verify(password("correct horse"), Some(stored.clone())).await.unwrap());
    assert!(!pool.verify(password("correct horsf"), Some(stored.clone())).await.unwrap());
    assert!(!pool.verify(password("correct horse"), None).await.unwrap());
    assert!(pool.verify_again(password("correct horse"), stored.clone()).await.unwrap());
    assert!(!pool.verify_again(password("correct horsf"), stored).await.unwrap());
}

#[tokio::test]
async fn weaker_parameters_need_a_rehash() {
    let limits = HashLimits { workers: NonZeroUsize::MIN, memory: None };
    let weak = HashPool::with_params(limits, Params::new(8192, 1, 1, None).unwrap()).unwrap();
    let pool = HashPool::for_one().unwrap();
    let stored = weak.hash(password("correct horse")).await.unwrap();
    assert!(pool.needs_rehash(&stored));
    assert!(pool.verify(password("correct horse"), Some(stored)).await.unwrap());
    let own = pool.hash(password("correct horse")).await.unwrap();
    assert!(!pool.needs_rehash(&own));
}

#[tokio::test]
async fn any_other_parameter_needs_a_rehash() {
    let pool = HashPool::for_one().unwrap();
    let own = pool.hash(password("correct horse")).await.unwrap();
    let own = own.expose();
    for other in [
        own.replace("argon2id", "argon2i"),
        own.replace("v=19", "v=16"),
        own.replace("m=19456", "m=19457"),
        own.replace("t=2", "t=3"),
        own.replace("p=1", "p=2"),
        // 24 of the 32 bytes.
        own[..own.len() - 11].to_owned(),
        // The form of Django.
        format!("argon2{own}"),
    ] {
        let other = PasswordHash::new(&*other);
        assert!(parse_stored(other.expose()).is_ok(), "{}", other.expose());
        assert!(pool.needs_rehash(&other), "{}", other.expose());
    }
}

/// 256 characters may have four bytes each.
#[tokio::test]
async fn the_longest_password_verifies_and_a_longer_one_with_the_same_beginning_does_not() {
    let pool = HashPool::for_one().unwrap();
    for longest in ["a".repeat(256), "🐎".repeat(256)] {
        let stored = pool.hash(password(&longest)).await.unwrap();
        assert!(pool.verify(password(&longest), Some(stored.clone())).await.unwrap());
        for wrong in [format!("{longest}a"), longest.chars().skip(1).collect()] {
            assert!(!pool.verify(password(&wrong), Some(stored.clone())).await.unwrap());
        }
    }
}

#[tokio::test]
async fn buffers_are_reused_until_a_hash_is_large_or_none_runs_for_a_while() {
    let pool = HashPool::for_one().unwrap();
    let free = || pool.memory.lock().unwrap().free.iter().map(Vec::len).collect::<Vec<_>>();
    let verify = async |kib: u32| {
        let params = Params::new(kib, 1, 1, None).unwrap();
        let limits = HashLimits { workers: NonZeroUsize::MIN, memory: None };
        let stored = HashPool::with_params(limits, params).unwrap().hash(password("x")).await.unwrap();
        assert!(pool.verify(password("x"), Some(stored)).await.unwrap());
    };
    for _ in 0..2 {
        pool.hash(password("x")).await.unwrap();
        assert_eq!(free(), [19_456]);
    }
    verify(256).await;
    assert_eq!(free(), [19_456]);
    // A large hash frees all of them: they would take memory beside it.
    pool.memory.lock().unwrap().free.push(Vec::new());
    verify(40_000).await;
    assert_eq!(free(), [0_usize; 0]);
    pool.hash(password("x")).await.unwrap();
    // One tick, while the buffer was just used and when that was a while ago.
    let tick = || tokio::time::timeout(Duration::ZERO, Arc::clone(&pool).release_idle_memory());
    assert!(tick().await.is_err());
    assert_eq!(free(), [19_456]);
    pool.memory.lock().unwrap().used_at -= IDLE_MEMORY_LIFETIME;
    assert!(tick().await.is_err());
    assert_eq!(free(), [0_usize; 0]);
}

/// A hash takes 19 MiB.
#[tokio::test]
async fn as_many_hashes_run_as_there_are_workers_and_as_the_memory_suffices_for() {
    const MIB: u64 = 1024 * 1024;
    for (memory, running) in [(None, 2), (Some(64 * MIB), 2), (Some(30 * MIB), 1)] {
        let pool = HashPool::new(HashLimits { workers: NonZeroUsize::new(2).unwrap(), memory }).unwrap();
        let dummy = pool.dummy.clone().unwrap();
        // Each runs until the sender is dropped.
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let ended = Arc::new(Mutex::new(ended));
        for _ in 0..3 {
            let (pool, ended) = (Arc::clone(&pool), Arc::clone(&ended));
            let (kind, kib) = (dummy.kind(), dummy.memory_kib());
            tokio::spawn(async move {
                pool.run(Duration::from_mins(10), kind, kib, move |_| {
                    Ok(ended.lock().unwrap().recv().is_err())
                })
                .await
            });
        }
        while pool.state().running + pool.state().waiting < 3 {
            tokio::task::yield_now().await;
        }
        let state = pool.state();
        assert_eq!((state.workers, state.running, state.waiting), (2, running, 3 - running), "{memory:?}");
        drop(end);
    }
}

#[tokio::test]
async fn a_full_queue_has_no_capacity() {
    let pool = HashPool::for_one().unwrap();
    let begun = Instant::now();
    let refused = loop {
        if let Err(refused) = pool.check_capacity() {
            break refused;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "all hashes found a place");
        let pool = Arc::clone(&pool);
        // Some are refused while there is capacity: until a hash is measured, the expected wait can be exactly the longest.
        tokio::spawn(async move { pool.hash(password("correct horse")).await });
        tokio::task::yield_now().await;
    };
    // The slower the machine, the less of the time is left for waiting.
    assert!(matches!(refused, HashError::Overloaded(wait) if wait > MIN_WAIT), "{refused:?}");
}
