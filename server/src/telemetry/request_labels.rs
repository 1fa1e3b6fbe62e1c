//! What the log lines of a request have in common. A task-local variable holds it while the request is polled, which costs
//! less than a span.

use std::sync::Arc;

use http::Method;

use crate::domain::Origin;

tokio::task_local! {
    static CURRENT: RequestLabels;
}

/// The request to which a log line belongs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RequestLabels {
    pub origin: Arc<Origin>,
    pub method: Method,
    /// The template of the route, not the path: a path may contain an address, and there are as many as clients like.
    pub route: Arc<str>,
    /// The status of the response, once it is known.
    pub status: Option<u16>,
}

impl RequestLabels {
    /// Runs `work` as a part of this request.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// Runs `work` as a part of this request.
    pub fn sync_scope<T>(self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, work)
    }

    /// Calls `work` with the labels of the current request, if there is one.
    pub(super) fn with_current(work: impl FnOnce(&Self)) {
        // The only error is that the code runs outside of a request.
        let _ = CURRENT.try_with(work);
    }
}
