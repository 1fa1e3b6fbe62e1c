//! Permission to write to the API server. All clients except the one for the election pass the fence, so that a
//! replica whose lease may have expired sends no further write, even within a running reconcile. Reads pass.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, poll_fn};
use http::{Request, Response};
use kube::client::Body;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower::{BoxError, Layer, Service};

/// A write was not sent, or its response was not awaited.
#[derive(Debug, thiserror::Error)]
#[error("this replica may not lead any more; the write was stopped")]
pub(crate) struct Fenced;

/// How long writes are permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Always: there is no leader election.
    Forever,
    /// Until this time; before the lease is held, no writes are permitted.
    Instant(Option<Instant>),
    /// Permanently closed. Responses to writes that were sent are awaited until this time.
    Finishing(Option<Instant>),
}

impl Until {
    fn permits_new_writes(self, now: Instant) -> bool {
        match self {
            Self::Forever => true,
            Self::Instant(end) => end.is_some_and(|end| now < end),
            Self::Finishing(_) => false,
        }
    }

    fn awaits_responses(self, now: Instant) -> bool {
        match self {
            Self::Forever => true,
            Self::Instant(end) | Self::Finishing(end) => end.is_some_and(|end| now < end),
        }
    }

    fn end(self) -> Option<Instant> {
        match self {
            Self::Forever => None,
            Self::Instant(end) | Self::Finishing(end) => end,
        }
    }
}

/// The fence. Clones share their state.
#[derive(Debug, Clone)]
pub(crate) struct Fence {
    until: Arc<watch::Sender<Until>>,
    writes: TaskTracker,
    /// When a write was last abandoned without a response. The API server may still carry it out.
    unanswered: Arc<Mutex<Option<Instant>>>,
}

impl Fence {
    /// Permits everything: there is no leader election.
    pub(crate) fn open() -> Self {
        Self::new(Until::Forever)
    }

    /// Permits no writes until the lease is held.
    pub(crate) fn closed() -> Self {
        Self::new(Until::Instant(None))
    }

    fn new(until: Until) -> Self {
        Self {
            until: Arc::new(watch::Sender::new(until)),
            writes: TaskTracker::new(),
            unanswered: Arc::default(),
        }
    }

    /// Permits writes until `end`, unless the fence is permanently closed.
    pub(crate) fn extend(&self, end: Instant) {
        self.until.send_modify(|until| {
            if let Until::Instant(current) = until {
                *current = (*current).max(Some(end));
            }
        });
    }

    /// Until when writes are permitted, if there is an end.
    pub(crate) fn end(&self) -> Option<Instant> {
        self.until.borrow().end()
    }

    /// Closes the fence permanently, without waiting for responses to writes that were sent.
    pub(crate) fn close(&self) {
        self.until.send_replace(Until::Finishing(None));
    }

    /// Closes the fence permanently and waits for the responses to writes that were sent. Returns whether the API
    /// server has certainly carried out every write: none was abandoned now, or within `margin` before.
    pub(crate) async fn finish(&self, within: Duration, margin: Duration) -> bool {
        let end = Instant::now() + within;
        self.until.send_modify(|until| {
            *until = Until::Finishing(Some(until.end().map_or(end, |own| own.min(end))));
        });
        self.writes.close();
        self.writes.wait().await;
        let unanswered = *self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        unanswered.is_none_or(|abandoned| abandoned.elapsed() > margin)
    }

    fn begin(&self) -> Result<Write, Fenced> {
        // Counted before the check, so that a concurrent close waits for it.
        let write = Write { fence: self.clone(), _counted: self.writes.token(), answered: true };
        if self.until.borrow().permits_new_writes(Instant::now()) { Ok(write) } else { Err(Fenced) }
    }

    /// Resolves when responses to writes are no longer awaited.
    async fn ended(&self) {
        let mut changes = self.until.subscribe();
        loop {
            let until = *changes.borrow_and_update();
            if !until.awaits_responses(Instant::now()) {
                return;
            }
            let end = until.end();
            let passes = async {
                match end {
                    Some(end) => tokio::time::sleep_until(end.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = passes => {}
                open = changes.changed() => if open.is_err() { return },
            }
        }
    }
}

/// A write that was permitted.
struct Write {
    fence: Fence,
    _counted: TaskTrackerToken,
    answered: bool,
}

impl Write {
    async fn send<T>(mut self, sending: impl Future<Output = Result<T, BoxError>>) -> Result<T, BoxError> {
        let fence = self.fence.clone();
        let (mut sending, mut ended) = (pin!(sending), pin!(fence.ended()));
        poll_fn(|context| {
            // The clock is read every time: in a process that was suspended, the timer may not have fired yet.
            let may_continue = fence.until.borrow().awaits_responses(Instant::now());
            if !may_continue || ended.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(Fenced.into()));
            }
            self.answered = false;
            let result = sending.as_mut().poll(context);
            self.answered = matches!(result, Poll::Ready(Ok(_)));
            result
        })
        .await
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        if !self.answered {
            *self.fence.unanswered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }
}

impl<S> Layer<S> for Fence {
    type Service = FencedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        FencedService { inner, fence: self.clone() }
    }
}

/// A service behind the fence.
#[derive(Debug, Clone)]
pub(crate) struct FencedService<S> {
    inner: S,
    fence: Fence,
}

impl<S, B> Service<Request<Body>> for FencedService<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.method().is_safe() {
            return self.inner.call(request).boxed();
        }
        match self.fence.begin() {
            Ok(write) => write.send(self.inner.call(request)).boxed(),
            Err(fenced) => std::future::ready(Err(fenced.into())).boxed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::Method;
    use tower::{ServiceExt, service_fn};

    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    /// A service behind the fence that counts its requests and responds immediately, or never.
    async fn send(
        fence: &Fence,
        method: Method,
        sent: &Arc<AtomicUsize>,
        answers: bool,
    ) -> Result<(), BoxError> {
        let sent = sent.clone();
        let inner = service_fn(move |_: Request<Body>| {
            let sent = sent.clone();
            async move {
                sent.fetch_add(1, Ordering::SeqCst);
                if !answers {
                    std::future::pending::<()>().await;
                }
                Ok::<_, BoxError>(Response::new(()))
            }
        });
        let request = Request::builder().method(method).body(Body::empty()).unwrap();
        fence.layer(inner).oneshot(request).await.map(drop)
    }

    #[tokio::test]
    async fn writes_pass_only_while_the_lease_is_valid_and_reads_always() {
        let (fence, sent) = (Fence::closed(), Arc::default());
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let refused = send(&fence, method, &sent, true).await.unwrap_err();
            assert!(refused.is::<Fenced>());
        }
        assert_eq!(sent.load(Ordering::SeqCst), 0);
        send(&fence, Method::GET, &sent, true).await.unwrap();
        fence.extend(Instant::now() + LONG);
        send(&fence, Method::PATCH, &sent, true).await.unwrap();
        // An earlier renewal does not shorten the permission.
        fence.extend(Instant::now());
        send(&fence, Method::PATCH, &sent, true).await.unwrap();
        fence.close();
        fence.extend(Instant::now() + LONG);
        send(&fence, Method::PATCH, &sent, true).await.unwrap_err();
        send(&Fence::open(), Method::PATCH, &sent, true).await.unwrap();
    }

    #[tokio::test]
    async fn a_write_without_a_response_is_abandoned_when_the_lease_ends() {
        let (fence, sent) = (Fence::closed(), Arc::default());
        fence.extend(Instant::now() + Duration::from_millis(50));
        let write = send(&fence, Method::PATCH, &sent, false);
        let abandoned = tokio::time::timeout(Duration::from_secs(20), write).await.expect("an end");
        assert!(abandoned.unwrap_err().is::<Fenced>());
        assert_eq!(sent.load(Ordering::SeqCst), 1);
        assert!(!fence.finish(LONG, LONG).await, "the API server may still carry it out");
    }

    #[tokio::test]
    async fn a_renewal_keeps_a_write_going() {
        let (fence, sent) = (Fence::closed(), Arc::default());
        fence.extend(Instant::now() + Duration::from_millis(20));
        let write = send(&fence, Method::PATCH, &sent, false);
        fence.extend(Instant::now() + LONG);
        assert!(tokio::time::timeout(Duration::from_millis(100), write).await.is_err(), "it was abandoned");
    }

    #[tokio::test]
    async fn finishing_waits_for_responses_and_returns_whether_all_arrived() {
        let (fence, sent) = (Fence::open(), Arc::default());
        send(&fence, Method::PATCH, &sent, true).await.unwrap();
        assert!(fence.finish(LONG, LONG).await);
        send(&fence, Method::PATCH, &sent, true).await.unwrap_err();

        let fence = Fence::open();
        let finishing = async {
            while sent.load(Ordering::SeqCst) < 2 {
                tokio::task::yield_now().await;
            }
            fence.finish(Duration::from_millis(20), LONG).await
        };
        let (abandoned, finished) = tokio::join!(send(&fence, Method::PATCH, &sent, false), finishing);
        assert!(!finished && abandoned.unwrap_err().is::<Fenced>());
    }
}
