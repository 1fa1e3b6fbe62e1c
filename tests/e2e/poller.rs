//! A client that sends requests continuously, to check the availability of the Service.

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use latchkey_tests::app::path;
use latchkey_tests::process::{OnParentDeath, Process};

use crate::client::{Client, url_of};
use crate::namespace::Namespace;
use crate::waiting::wait_for;

/// The number of attempts of each request.
#[derive(Debug, Clone, Copy)]
pub enum Tries {
    /// One attempt: no connection may fail.
    One,
    /// Three attempts, like clients that tolerate the failure of a node.
    Three,
}

/// Requests `/.well-known/jwks.json` repeatedly, each time over a new connection. Prints a line `answered`, or the
/// error, for each request.
const SCRIPT: &str = r#"
rm -f /tmp/stop
until [ -e /tmp/stop ]; do
  tries=$2
  until outcome=$(curl -sS -o /dev/null -w '%{http_code}' --max-time 2 "$1" 2>&1) && [ "$outcome" = 200 ]; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || break
    echo "tried again after: $outcome" >&2
  done
  [ $tries -gt 0 ] && echo answered >&2 || echo "failed: $outcome" >&2
  sleep 0.03
done"#;

/// A running client.
pub struct Poller<'a> {
    client: &'a Client<'a>,
    process: Process,
}

impl<'a> Poller<'a> {
    /// Starts one in the client's pod, and waits for the first response.
    pub async fn start(namespace: &Namespace, client: &'a Client<'a>, tries: Tries) -> Self {
        let tries = match tries {
            Tries::One => "1",
            Tries::Three => "3",
        };
        // The address of the Service instead of its name, because a lost packet to the name server of the test cluster
        // would count as a failed request.
        let services: Api<Service> = Api::namespaced(namespace.cluster.client().await, &namespace.name);
        let service = services.get("auth").await.expect("the Service");
        let address = service.spec.and_then(|spec| spec.cluster_ip).expect("the Service's address");
        let mut kubectl = namespace.cluster.kubectl();
        kubectl.args(["-n", &namespace.name, "exec", "client", "--", "sh", "-c", SCRIPT, "sh"]);
        kubectl.args([&format!("{}{}", url_of(&address, 80), path::JWKS), tries]);
        let poller = Self { client, process: Process::start(&kubectl, OnParentDeath::Kill) };
        poller.wait_for_answers(1).await;
        poller
    }

    /// Waits for this number of further responses.
    pub async fn wait_for_answers(&self, count: usize) {
        let answered = || self.process.stderr.all().iter().filter(|line| *line == "answered").count();
        let before = answered();
        wait_for(&format!("{count} responses"), async || {
            let now = answered() - before;
            if now >= count {
                Ok(())
            } else {
                Err(format!("{now} answers: {:?}", self.process.stderr.all().last()))
            }
        })
        .await;
    }

    /// Stops it and asserts that every request succeeded.
    pub async fn stop(mut self) {
        self.wait_for_answers(20).await;
        self.client.exec(&["touch", "/tmp/stop"], "");
        let status = self.process.wait();
        let lines = self.process.stderr.all();
        let failed: Vec<_> = lines.iter().filter(|line| *line != "answered").collect();
        assert!(status.success(), "the client failed: {failed:?}");
        let lost = failed.iter().filter(|line| line.starts_with("failed")).count();
        assert_eq!(lost, 0, "{lost} of {} requests failed: {failed:?}", lines.len() - failed.len() + lost);
    }
}
