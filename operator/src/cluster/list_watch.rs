//! Lists and watches objects one at a time, so that the memory does not depend on the size of a list: any user can
//! create objects of more than a megabyte.

use std::fmt::Debug;
use std::future::ready;

use futures::{Stream, StreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

/// The page size for an API server without streaming lists; a page is held in memory as a whole.
const PAGE: u32 = 25;

/// The events of a watch that begins with a streaming list, or with a list in small pages if the API server does not
/// support that (before Kubernetes 1.32, and in 1.33).
pub(crate) fn list_watch<K>(
    api: Api<K>,
    config: watcher::Config,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let paged = watcher(api.clone(), config.clone().page_size(PAGE)).default_backoff();
    let streamed = watcher(api, config.streaming_lists()).default_backoff();
    streamed.take_while(|event| ready(!is_unsupported(event))).chain(paged)
}

fn is_unsupported<K>(event: &watcher::Result<Event<K>>) -> bool {
    let Err(watcher::Error::WatchStartFailed(kube::Error::Api(status))) = event else { return false };
    status.code == 422 && status.message.contains("sendInitialEvents")
}
