//! What the clients and watches report about themselves; the operator's metrics implement it.

/// Counts the requests and the faults of the clients and watches.
pub(crate) trait Instrumentation: Send + Sync {
    /// A request is sent to the API server, with its method and path; `watches` marks the start of a watch.
    fn requested(&self, method: &str, path: &str, watches: bool);
    /// The watch of a kind failed and is retried.
    fn watch_failed(&self, kind: &'static str);
    /// The number of objects of a kind that cannot be read.
    fn set_unreadable(&self, kind: &'static str, count: usize);
}
