//! Waits for an object of the API server to meet a condition, with a watch.

use std::fmt::Debug;

use futures::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, Resource};
use latchkey_tests::wait::PATIENCE;
use serde::de::DeserializeOwned;

/// Watches an object until `check` succeeds. `None` is an object that does not exist.
///
/// # Panics
/// When that takes longer than [`PATIENCE`]; the message ends with the last error of `check`.
pub async fn wait_for<K, T>(api: Api<K>, name: &str, check: impl Fn(Option<&K>) -> Result<T, String>) -> T
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut last = "nothing".to_owned();
    let found = tokio::time::timeout(PATIENCE, async {
        let mut changes = std::pin::pin!(watch_object(api, name).default_backoff());
        while let Some(seen) = changes.next().await {
            match seen.map_err(|e| e.to_string()).and_then(|object| check(object.as_ref())) {
                Ok(found) => return found,
                Err(seen) => last = seen,
            }
        }
        unreachable!("a watch does not end");
    });
    found.await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for the object {name}; last seen: {last}"))
}
