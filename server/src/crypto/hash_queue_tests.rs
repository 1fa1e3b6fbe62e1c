use super::*;

const DURATION: Duration = Duration::from_millis(250);

fn demand(lane: Lane) -> Demand {
    Demand { lane, duration: DURATION, kib: 20 * 1024, is_large: false }
}

fn in_(wait: Duration) -> Instant {
    Instant::now() + wait
}

/// The waiting requests, in the order in which they came.
struct Waiting(Vec<(Lane, tokio::task::JoinHandle<Result<Permit, Duration>>)>);

impl Waiting {
    async fn add(&mut self, queue: &Arc<HashQueue>, demand: Demand) {
        let (waiting, queue_) = (queue.state().waiting, Arc::clone(queue));
        let task = tokio::spawn(async move { queue_.acquire(demand, in_(Duration::from_mins(1))).await });
        while queue.state().waiting == waiting && !task.is_finished() {
            tokio::task::yield_now().await;
        }
        self.0.push((demand.lane, task));
    }

    /// The lane and the permit of one that has started.
    async fn take_started(&mut self) -> Option<(Lane, Permit)> {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let at = self.0.iter().position(|(_, task)| task.is_finished())?;
        let (lane, task) = self.0.remove(at);
        Some((lane, task.await.unwrap().ok().unwrap()))
    }
}

#[tokio::test]
async fn a_request_waits_until_its_deadline_and_no_longer() {
    let queue = HashQueue::new(1, None);
    let held = queue.acquire(demand(Lane::Ordinary), in_(Duration::ZERO)).await.ok().unwrap();
    let begun = Instant::now();
    let refused = queue.acquire(demand(Lane::Ordinary), in_(Duration::from_millis(50))).await.err();
    assert_eq!(refused, Some(DURATION));
    assert!(begun.elapsed() >= Duration::from_millis(50), "{:?}", begun.elapsed());
    assert_eq!(queue.state(), QueueState { running: 1, waiting: 0 });
    drop(held);
    assert!(queue.acquire(demand(Lane::Ordinary), in_(Duration::ZERO)).await.is_ok());
    assert_eq!(queue.state(), QueueState { running: 0, waiting: 0 });
}

#[tokio::test]
async fn a_request_that_would_wait_too_long_is_refused_immediately() {
    let queue = HashQueue::new(1, None);
    let _held = queue.acquire(demand(Lane::Ordinary), in_(Duration::ZERO)).await.ok().unwrap();
    let mut waiting = Waiting(Vec::new());
    for _ in 0..9 {
        waiting.add(&queue, demand(Lane::Slow)).await;
    }
    let begun = Instant::now();
    let refused = queue.acquire(demand(Lane::Slow), in_(Duration::from_secs(2))).await.err();
    assert_eq!(refused, Some(9 * DURATION));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(queue.state().waiting, 9);
    // The slow ones do not stand in the way of an ordinary one.
    waiting.add(&queue, demand(Lane::Ordinary)).await;
    assert_eq!(queue.state().waiting, 10);
    for (wait, expected) in [(2 * DURATION, Ok(())), (DURATION, Ok(())), (DURATION / 2, Err(DURATION))] {
        assert_eq!(queue.check_capacity(wait), expected, "{wait:?}");
    }
}

#[tokio::test]
async fn a_request_that_ends_leaves_the_queue() {
    let queue = HashQueue::new(1, None);
    let held = queue.acquire(demand(Lane::Ordinary), in_(Duration::ZERO)).await.ok().unwrap();
    let mut waiting = Waiting(Vec::new());
    waiting.add(&queue, demand(Lane::Slow)).await;
    waiting.add(&queue, demand(Lane::Ordinary)).await;
    for (_, task) in waiting.0 {
        task.abort();
        assert!(task.await.err().unwrap().is_cancelled());
    }
    drop(held);
    assert_eq!(queue.state(), QueueState { running: 0, waiting: 0 });
}

#[tokio::test]
async fn slow_hashes_use_idle_workers_and_yield_half_of_them_to_ordinary_ones() {
    let queue = HashQueue::new(4, None);
    let mut running = Vec::new();
    for _ in 0..4 {
        running.push(queue.acquire(demand(Lane::Slow), in_(Duration::ZERO)).await.ok().unwrap());
    }
    let mut waiting = Waiting(Vec::new());
    for lane in [Lane::Slow, Lane::Slow, Lane::Slow, Lane::Ordinary, Lane::Ordinary, Lane::Ordinary] {
        waiting.add(&queue, demand(lane)).await;
    }
    let mut order = Vec::new();
    for permit in running {
        drop(permit);
        let (lane, permit) = waiting.take_started().await.unwrap();
        order.push((lane, permit));
    }
    let lanes: Vec<_> = order.iter().map(|(lane, _)| *lane).collect();
    // Two slow hashes are left when the first two end; from then on each that ends is replaced by another slow one.
    assert_eq!(lanes, [Lane::Ordinary, Lane::Ordinary, Lane::Slow, Lane::Slow]);
    drop(order);
    assert_eq!(queue.state(), QueueState { running: 2, waiting: 0 });
}

#[tokio::test]
async fn a_single_worker_runs_ten_ordinary_hashes_for_each_slow_one() {
    let queue = HashQueue::new(1, None);
    let mut permit = queue.acquire(demand(Lane::Slow), in_(Duration::ZERO)).await.ok().unwrap();
    let mut waiting = Waiting(Vec::new());
    for _ in 0..3 {
        waiting.add(&queue, demand(Lane::Slow)).await;
    }
    for _ in 0..15 {
        waiting.add(&queue, Demand { duration: DURATION / 10, ..demand(Lane::Ordinary) }).await;
    }
    let mut slow_at = Vec::new();
    for at in 0..18 {
        drop(permit);
        let (lane, next) = waiting.take_started().await.unwrap();
        permit = next;
        if lane == Lane::Slow {
            slow_at.push(at);
        }
    }
    assert_eq!(slow_at, [10, 16, 17]);
}

#[tokio::test]
async fn running_hashes_never_take_more_memory_than_there_is() {
    let queue = HashQueue::new(8, Some(160 * 1024));
    let large = Demand { kib: 128 * 1024, is_large: true, ..demand(Lane::Slow) };
    let small = queue.acquire(demand(Lane::Ordinary), in_(Duration::ZERO)).await.ok().unwrap();
    let other = queue.acquire(demand(Lane::Ordinary), in_(Duration::ZERO)).await.ok().unwrap();
    let mut waiting = Waiting(Vec::new());
    waiting.add(&queue, large).await;
    assert_eq!(queue.state(), QueueState { running: 2, waiting: 1 });
    // An ordinary one does not overtake it: it might never get the memory.
    waiting.add(&queue, demand(Lane::Ordinary)).await;
    assert_eq!(queue.state(), QueueState { running: 2, waiting: 2 });
    drop(small);
    let (lane, _large) = waiting.take_started().await.unwrap();
    assert_eq!((lane, queue.state()), (Lane::Slow, QueueState { running: 2, waiting: 1 }));
    drop(other);
    assert_eq!(waiting.take_started().await.unwrap().0, Lane::Ordinary);
}

#[tokio::test]
async fn a_hash_that_needs_more_than_all_memory_runs_alone_and_large_ones_run_one_at_a_time() {
    let huge = Demand { kib: 128 * 1024, is_large: true, ..demand(Lane::Slow) };
    let tight = HashQueue::new(8, Some(20 * 1024));
    let _alone = tight.acquire(huge, in_(Duration::ZERO)).await.ok().unwrap();
    assert!(tight.acquire(demand(Lane::Ordinary), in_(Duration::from_millis(20))).await.is_err());

    let roomy = HashQueue::new(8, None);
    let _large = roomy.acquire(huge, in_(Duration::ZERO)).await.ok().unwrap();
    assert!(roomy.acquire(huge, in_(Duration::from_millis(20))).await.is_err());
    assert!(roomy.acquire(demand(Lane::Ordinary), in_(Duration::ZERO)).await.is_ok());
}

#[tokio::test]
async fn an_ordinary_hash_overtakes_a_large_one_that_waits_for_another_large_one() {
    let queue = HashQueue::new(8, Some(160 * 1024));
    let large = Demand { kib: 128 * 1024, is_large: true, ..demand(Lane::Slow) };
    let running = queue.acquire(large, in_(Duration::ZERO)).await.ok().unwrap();
    let mut waiting = Waiting(Vec::new());
    waiting.add(&queue, large).await;
    assert!(queue.acquire(demand(Lane::Ordinary), in_(Duration::ZERO)).await.is_ok());
    drop(running);
    assert_eq!(waiting.take_started().await.unwrap().0, Lane::Slow);
}

#[test]
fn the_expected_wait_is_that_of_the_lane_on_its_share_of_the_workers() {
    let waiters = |lane, number| -> VecDeque<Waiter> {
        (0..number).map(|id| Waiter { id, demand: demand(lane), start: oneshot::channel().0 }).collect()
    };
    let wait = |workers, running_slow, [ordinary, slow]: [u64; 2], lane| {
        let queue = HashQueue::new(workers, None);
        assert_eq!(queue.workers(), workers);
        let (ordinary, slow) = (waiters(Lane::Ordinary, ordinary), waiters(Lane::Slow, slow));
        let state = State { running: workers, running_slow, ordinary, slow, ..State::default() };
        queue.expected_wait(&state, lane)
    };
    // Hashes that take 250 ms each.
    for (workers, running_slow, waiting, lane, expected) in [
        (4, 0, [0, 0], Lane::Ordinary, 0),
        (4, 0, [0, 0], Lane::Slow, 0),
        (4, 0, [8, 0], Lane::Ordinary, 500),
        // Slow hashes that run or wait may occupy half of the workers.
        (4, 1, [8, 0], Lane::Ordinary, 1000),
        (4, 0, [8, 1], Lane::Ordinary, 1000),
        (8, 1, [8, 0], Lane::Ordinary, 500),
        (4, 0, [0, 8], Lane::Slow, 500),
        (4, 0, [1, 8], Lane::Slow, 1000),
        (4, 4, [0, 8], Lane::Slow, 500),
        (1, 1, [8, 0], Lane::Ordinary, 2000),
        (1, 0, [1, 8], Lane::Slow, 2000),
    ] {
        let found = wait(workers, running_slow, waiting, lane);
        assert_eq!(found, Duration::from_millis(expected), "{workers} {running_slow} {waiting:?} {lane:?}");
    }
}
