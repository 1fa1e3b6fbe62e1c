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
    assert!(!pool.verify(password("correct horsf"), Some(stored)).await.unwrap());
    assert!(!pool.verify(password("correct horse"), None).await.unwrap());
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
async fn a_full_queue_has_no_capacity() {
    let pool = HashPool::for_one().unwrap();
    assert_eq!(pool.check_capacity(), Ok(()));
    let hashes: Vec<_> = (0..2_000)
        .map(|_| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move { pool.hash(password("correct horse")).await })
        })
        .collect();
    // The tasks share this thread: each of them takes its place in the queue until it is full.
    while pool.check_capacity().is_ok() && hashes.iter().any(|hash| !hash.is_finished()) {
        tokio::task::yield_now().await;
    }
    let refused = pool.check_capacity();
    assert!(
        matches!(refused, Err(HashError::Overloaded(wait)) if wait > Duration::from_secs(1)),
        "{refused:?}"
    );
    for hash in hashes {
        hash.abort();
    }
}
