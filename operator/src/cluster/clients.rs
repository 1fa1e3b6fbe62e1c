//! The clients for the API server. Every request has a timeout, because a silently dropped connection looks like an
//! idle one.

use std::sync::Arc;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config};
use tower::util::MapRequestLayer;

use crate::cluster::fence::Fence;
use crate::cluster::instrumentation::Instrumentation;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The timeout for a response. An admission webhook has at most thirty seconds
/// (<https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#timeouts>), after
/// which the API server's error is worth reporting.
const ANSWER_WITHIN: Duration = Duration::from_secs(35);
/// The idle timeout of a watch. The API server sends a bookmark about once a minute; without one, the watch continues
/// on a new connection from its last version.
const SILENT_FOR: Duration = Duration::from_mins(2);

/// The clients for the API server.
#[derive(Clone)]
pub(crate) struct Clients {
    /// For requests with a prompt response.
    pub(crate) requests: Client,
    /// For watches, which may be idle.
    pub(crate) watches: Client,
    /// For the Lease of the leader election only. It is the only client that may write while this replica does not
    /// lead.
    pub(crate) election: Client,
}

impl Clients {
    /// Clients that count their requests. All except the one for the election write only if the fence permits it.
    ///
    /// # Errors
    /// When certificates in the configuration cannot be read.
    pub(crate) fn new(
        config: &Config,
        metrics: &Arc<dyn Instrumentation>,
        fence: &Fence,
    ) -> Result<Self, kube::Error> {
        let client = |silent_for, fence: &Fence| {
            counting(with_timeouts(config.clone(), silent_for), metrics.clone(), fence)
        };
        Ok(Self {
            requests: client(ANSWER_WITHIN, fence)?,
            watches: client(SILENT_FOR, fence)?,
            election: client(ANSWER_WITHIN, &Fence::open())?,
        })
    }
}

/// The configuration with all timeouts.
fn with_timeouts(mut config: Config, silent_for: Duration) -> Config {
    config.connect_timeout = Some(CONNECT_WITHIN);
    config.read_timeout = Some(silent_for);
    config.write_timeout = Some(silent_for);
    // Measured from the request, not from the previous use of the connection.
    config.reset_reader_on_write = true;
    config
}

/// A client that counts its requests.
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
    async fn a_request_without_a_response_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let config = with_timeouts(Config::new(url), Duration::from_millis(50));
        let client = counting(config, Arc::new(Uncounted), &Fence::open()).unwrap();
        let secrets: Api<Secret> = Api::namespaced(client, "a");
        let result = tokio::time::timeout(Duration::from_secs(20), secrets.get("b"));
        assert!(result.await.expect("an end").is_err());
    }
}
