//! A client that sends requests continuously, to check the availability of the Service.

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use latchkey_tests::app::path;
use latchkey_tests::process::{OnParentDeath, Process};

use crate::client::Client;
use crate::namespace::Namespace;
use crate::waiting::wait_for;

/// How often a call may be tried.
#[derive(Debug, Clone, Copy)]
pub enum Tries {
    /// Once: not a single connection may fail.
    One,
    /// Three times, as callers do that expect machines to break.
    Three,
}

/// Calls `/.well-known/jwks.json` again and again, each time over a new connection. A line `answered`, or what
/// went wrong, for each call.
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

/// A caller at work.
pub struct Poller<'a> {
    client: &'a Client<'a>,
    process: Process,
}

impl<'a> Poller<'a> {
    /// Starts one in the client's pod, and waits until it has been answered.
    pub async fn start(namespace: &Namespace, client: &'a Client<'a>, tries: Tries) -> Self {
        let tries = match tries {
            Tries::One => "1",
            Tries::Three => "3",
        };
        // By its address, not by its name: what is asked is whether the Service answers, and a lost packet to the
        // name server of the test cluster would count as a lost call.
        let services: Api<Service> = Api::namespaced(namespace.cluster.client().await, &namespace.name);
        let service = services.get("auth").await.expect("the Service");
        let address = service.spec.and_then(|spec| spec.cluster_ip).expect("the Service's address");
        let mut kubectl = namespace.cluster.kubectl();
        kubectl.args(["-n", &namespace.name, "exec", "client", "--", "sh", "-c", SCRIPT, "sh"]);
        kubectl.args([&format!("http://{address}{}", path::JWKS), tries]);
        let poller = Self { client, process: Process::start(&kubectl, OnParentDeath::Kill) };
        poller.wait_for_answers(1).await;
        poller
    }

    /// Waits until it has been answered this many times from now on.
    pub async fn wait_for_answers(&self, count: usize) {
        let answered = || self.process.stderr.all().iter().filter(|line| *line == "answered").count();
        let before = answered();
        wait_for("the caller to be answered", async || {
            let now = answered() - before;
            if now >= count {
                Ok(())
            } else {
                Err(format!("{now} answers: {:?}", self.process.stderr.all().last()))
            }
        })
        .await;
    }

    /// Stops it and asserts that every call was answered.
    pub async fn stop(mut self) {
        self.wait_for_answers(20).await;
        self.client.exec(&["touch", "/tmp/stop"], "");
        let status = self.process.wait();
        let lines = self.process.stderr.all();
        let failed: Vec<_> = lines.iter().filter(|line| *line != "answered").collect();
        assert!(status.success(), "the caller ended early: {failed:?}");
        let lost = failed.iter().filter(|line| line.starts_with("failed")).count();
        assert_eq!(
            lost,
            0,
            "of {} calls {lost} were not answered: {failed:?}",
            lines.len() - failed.len() + lost
        );
    }
}
