//! Autoscaling: replicas are added under login load, and removed afterwards.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use latchkey_crds::conditions;
use latchkey_tests::app::path;
use latchkey_tests::cluster::note;
use latchkey_tests::logs::secret;
use latchkey_tests::process::{OnParentDeath, Process};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::client::{Client, Request};
use crate::namespace::{NAME, Namespace};
use crate::poller::{Poller, Tries};
use crate::stores;
use crate::waiting::wait_for;

/// Logs in repeatedly, one login after the other, about ten per second. It ends after a fixed number of logins at the
/// latest.
const LOGINS: &str = r"
for login in $(seq 1500); do
  [ -e /tmp/enough ] && exit
  curl -sS -o /dev/null -w '%{http_code}\n' --max-time 10 -K /tmp/login
  sleep 0.05
done >&2";

/// The successive values of `spec.replicas` of the Deployment.
struct History {
    seen: Arc<Mutex<Vec<i32>>>,
    task: JoinHandle<()>,
}

impl History {
    fn follow(namespace: &Namespace) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let config = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
        let changes = watcher(namespace.api::<Deployment>(), config).default_backoff().applied_objects();
        let writer = seen.clone();
        let task = tokio::spawn(async move {
            let mut changes = std::pin::pin!(changes);
            while let Some(change) = changes.next().await {
                let replicas = change.ok().and_then(|deployment| deployment.spec.replicas);
                let mut seen = writer.lock().expect("the history");
                if let Some(replicas) = replicas
                    && seen.last() != Some(&replicas)
                {
                    seen.push(replicas);
                }
            }
        });
        Self { seen, task }
    }

    fn end(self) -> Vec<i32> {
        self.task.abort();
        self.seen.lock().expect("the history").clone()
    }
}

/// The operator's entries in the managed fields of the Deployment, with the time of its last write.
async fn written_by_the_operator(deployments: &Api<Deployment>) -> Vec<ManagedFieldsEntry> {
    let deployment = deployments.get(NAME).await.expect("the Deployment");
    let mut entries = deployment.metadata.managed_fields.expect("managed fields");
    entries.retain(|entry| entry.manager.as_deref() == Some("latchkey-operator"));
    entries
}

#[tokio::test]
async fn replicas_follow_the_load_without_a_failed_request() {
    let namespace = Namespace::new("autoscaling").await;
    let password = secret("admin");
    stores::apply_admin(&namespace, &password).await;
    let client = Client::start(&namespace).await;
    let autoscaling = json!({
        "minReplicas": 1,
        "maxReplicas": 2,
        "targetCPUUtilization": 100,
        "scaleDownAfterSeconds": 0,
    });
    let spec = json!({
        "autoscaling": autoscaling,
        "bootstrapAdmin": {"secretRef": {"name": "admin"}},
        // One account logs in more often than the limits allow.
        "rateLimits": {"enabled": false},
        // A small request, so that a small load exceeds it.
        "pod": {"resources": {"requests": {"cpu": "60m", "memory": "64Mi"}}},
    });
    namespace.bring_up("embedded stores, autoscaled", spec).await;
    client.wait_until_routed().await;
    let deployments = namespace.api::<Deployment>();
    let before = written_by_the_operator(&deployments).await;
    assert!(!before.is_empty());
    let history = History::follow(&namespace);

    let login = Request::post(client.url(path::LOGIN)).field("username", "root.admin");
    client.leave(&login.field("password", &password), "/tmp/login");
    let mut kubectl = namespace.cluster.kubectl();
    kubectl.args(["-n", &namespace.name, "exec", "client", "--", "sh", "-c", LOGINS]);
    let begun = Instant::now();
    let mut logins = Process::start(&kubectl, OnParentDeath::Kill);
    namespace.wait_for_server_pods(2, &[]).await;
    note(&format!("logins to a second replica: {:.1} s", begun.elapsed().as_secs_f64()));
    namespace.wait_for_condition(conditions::AUTOSCALING_ACTIVE, "True").await;
    let poller = Poller::start(&namespace, &client, Tries::One).await;
    client.exec(&["touch", "/tmp/enough"], "");
    assert!(logins.wait().success());
    let answers = logins.stderr.all();
    assert!(answers.len() > 20 && answers.iter().all(|status| status == "200"), "{answers:?}");

    let begun = Instant::now();
    namespace.wait_for_server_pods(1, &[]).await;
    note(&format!("from the end of the logins to one replica: {:.1} s", begun.elapsed().as_secs_f64()));
    poller.stop().await;
    // Ready stays True while the service is scaled.
    wait_for("the status to show one replica", async || {
        let status = namespace.wait_until_ready().await.status.expect("a status");
        if status.ready_replicas == 1 { Ok(()) } else { Err(status.ready_replicas) }
    })
    .await;

    let history = history.end();
    assert_eq!(history, [1, 2, 1], "another client has changed the replicas");
    assert_eq!(
        written_by_the_operator(&deployments).await,
        before,
        "the operator has written to the Deployment"
    );
}
