//! The ways to the API server. Nothing that is asked of it is waited for without end: a connection that was dropped
//! somewhere in between looks like one on which nothing is said.

use std::sync::Arc;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config};
use tower::util::MapRequestLayer;

use crate::cluster::fence::Fence;
use crate::cluster::instrumentation::Instrumentation;

/// How long making a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long an answer may take. An admission webhook has thirty seconds at most
/// (<https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#timeouts>), and what the
/// API server says when it did not answer is worth hearing.
const ANSWER_WITHIN: Duration = Duration::from_secs(35);
/// How long a watch may say nothing. The API server sends a bookmark every minute or so; where it does not, a watch
/// goes on in a new connection, from where it was.
const SILENT_FOR: Duration = Duration::from_mins(2);

/// The ways to the API server.
#[derive(Clone)]
pub struct Clients {
    /// For what has to be answered soon.
    pub requests: Client,
    /// For watches, which say nothing as long as nothing happens.
    pub watches: Client,
    /// For the lease of the election, and nothing else: the only one that may write while this replica does not lead.
    pub election: Client,
}

impl Clients {
    /// Clients that count what they ask. All but that of the election write only when the fence lets them.
    ///
    /// # Errors
    /// When the configuration names certificates that cannot be read.
    pub fn new(
        config: &Config,
        metrics: &Arc<dyn Instrumentation>,
        fence: &Fence,
    ) -> Result<Self, kube::Error> {
        let client = |silent_for, fence: &Fence| {
            counting(impatient(config.clone(), silent_for), metrics.clone(), fence)
        };
        Ok(Self {
            requests: client(ANSWER_WITHIN, fence)?,
            watches: client(SILENT_FOR, fence)?,
            election: client(ANSWER_WITHIN, &Fence::open())?,
        })
    }
}

/// The same, with an end to all waiting.
fn impatient(mut config: Config, silent_for: Duration) -> Config {
    config.connect_timeout = Some(CONNECT_WITHIN);
    config.read_timeout = Some(silent_for);
    config.write_timeout = Some(silent_for);
    // Counted from the request, not from when its connection was used before.
    config.reset_reader_on_write = true;
    config
}

/// A client that counts what it asks of the API server.
fn counting(config: Config, metrics: Arc<dyn Instrumentation>, fence: &Fence) -> Result<Client, kube::Error> {
    let counting = MapRequestLayer::new(move |request: http::Request<kube::client::Body>| {
        let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        metrics.requested(request.method().as_str(), request.uri().path(), watches);
        request
    });
    Ok(ClientBuilder::try_from(config)?.with_layer(fence).with_layer(&counting).build())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use kube::Api;
    use tokio::net::TcpListener;

    use super::*;

    struct Uncounted;

    impl Instrumentation for Uncounted {
        fn requested(&self, _: &str, _: &str, _: bool) {}
        fn watch_failed(&self, _: &'static str) {}
        fn set_unreadable(&self, _: &'static str, _: usize) {}
    }

    #[tokio::test]
    async fn what_says_nothing_is_not_waited_for_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let config = impatient(Config::new(url), Duration::from_millis(50));
        let client = counting(config, Arc::new(Uncounted), &Fence::open()).unwrap();
        let secrets: Api<Secret> = Api::namespaced(client, "a");
        let asked = tokio::time::timeout(Duration::from_secs(20), secrets.get("b"));
        assert!(asked.await.expect("an end").is_err());
    }
}
