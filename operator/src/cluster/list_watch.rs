//! Lists and watches objects one at a time, so that the memory does not depend on the size of a list: any user can
//! create objects of more than a megabyte.

use std::fmt::Debug;
use std::future::ready;

use futures::{Stream, StreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use crate::cluster::joint_watch::{Events, join};

/// The page size for an API server without streaming lists; a page is held in memory as a whole.
const PAGE: u32 = 25;

/// The events of a watch on all of these.
pub(crate) fn watch_all<K>(apis: Vec<Api<K>>, config: watcher::Config) -> Events<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    if let [api] = &apis[..] {
        return list_watch(api.clone(), config).boxed();
    }
    let count = apis.len();
    join(count, move |place| list_watch(apis[place].clone(), config.clone()).boxed()).boxed()
}

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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::pin;

    use http::{Request, Response};
    use k8s_openapi::api::core::v1::Secret;
    use kube::Client;
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::*;

    /// An API server without streaming lists, with one Secret.
    fn client() -> Client {
        let service = service_fn(async |request: Request<Body>| {
            let query = request.uri().query().unwrap_or_default();
            let (code, body) = if query.contains("sendInitialEvents") {
                let message = "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
                (
                    422,
                    json!({"kind": "Status", "status": "Failure", "reason": "Invalid", "code": 422, "message": message}),
                )
            } else {
                assert!(query.contains("limit=25"), "{query}");
                let secret = json!({"metadata": {"name": "a", "resourceVersion": "1"}});
                (
                    200,
                    json!({"kind": "SecretList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": [secret]}),
                )
            };
            let response = Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
            Ok::<_, Infallible>(response.unwrap())
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn an_api_server_without_streaming_lists_is_asked_for_pages() {
        let mut events = pin!(list_watch(Api::<Secret>::all(client()), watcher::Config::default()));
        let mut begins = 0;
        loop {
            match events.next().await.unwrap().unwrap() {
                Event::Init => begins += 1,
                Event::InitApply(secret) => assert_eq!(secret.metadata.name.as_deref(), Some("a")),
                Event::InitDone => break,
                Event::Apply(_) | Event::Delete(_) => panic!("no change"),
            }
        }
        assert_eq!(begins, 1);
    }
}
