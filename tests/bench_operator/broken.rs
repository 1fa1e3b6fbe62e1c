//! AuthServices that never become ready, for different reasons and in separate namespaces. They must not delay others.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::DeleteParams;
use kube::{Api, Client, ResourceExt};
use latchkey_crds::AuthService;
use latchkey_tests::blackhole::Blackhole;
use latchkey_tests::control_plane::apply;
use latchkey_tests::wait;
use serde_json::{Value, json};

/// The prefix of all their names.
pub const PREFIX: &str = "broken-";
/// The namespace in which an admission webhook hangs.
const HANGING: &str = "broken-webhook";
const WEBHOOK: &str = "latchkey-bench";

/// The reason why one does not become ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It references a missing Secret.
    SecretMissing,
    /// Its migrations fail, because no database responds.
    Database,
    /// An admission webhook never responds.
    Webhook,
}

const FAULTS: [Fault; 3] = [Fault::SecretMissing, Fault::Database, Fault::Webhook];

impl Fault {
    fn namespace(self) -> &'static str {
        match self {
            Self::SecretMissing => "broken-secret",
            Self::Database => "broken-database",
            Self::Webhook => HANGING,
        }
    }
}

/// All of them.
pub struct Broken {
    client: Client,
    count: usize,
    _webhook: Blackhole,
}

impl Broken {
    /// Creates them.
    pub async fn create(client: Client, count: usize) -> Self {
        for fault in FAULTS {
            let name = fault.namespace();
            let metadata = json!({"name": name, "labels": {"name": name}});
            apply(&client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})).await;
            let secret = json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "urls", "namespace": name},
                "stringData": {"redis": "rediss://redis.example.com:6380"},
            });
            apply(&client, &secret).await;
        }
        let webhook = Blackhole::listen("127.0.0.1:0").await;
        apply(&client, &hanging_webhook(webhook.address(), HANGING)).await;
        let broken = Self { client, count, _webhook: webhook };
        for number in 0..count {
            broken.create_one(number, FAULTS[number % FAULTS.len()]).await;
        }
        broken
    }

    async fn create_one(&self, number: usize, fault: Fault) {
        let (name, namespace) = (format!("{PREFIX}{number}"), fault.namespace());
        let secret = format!("database-{number}");
        if fault != Fault::SecretMissing {
            let url = format!("postgres://auth:secret@db.example.com/{name}");
            let metadata = json!({"name": secret, "namespace": namespace});
            let data = json!({ "url": url });
            apply(
                &self.client,
                &json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}),
            )
            .await;
        }
        let object = json!({
            "apiVersion": "latchkey.dev/v1alpha1",
            "kind": "AuthService",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "database": {"urlSecretRef": {"name": secret}},
                "redis": {"urlSecretRef": {"name": "urls", "key": "redis"}},
            },
        });
        apply(&self.client, &object).await;
    }

    /// The number of AuthServices by the reason of `Ready`.
    pub async fn reasons(&self) -> BTreeMap<String, usize> {
        let mut reasons = BTreeMap::new();
        for service in self.list().await {
            let conditions = service.status.map(|status| status.conditions).unwrap_or_default();
            let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
            *reasons.entry(ready.map(|ready| ready.reason).unwrap_or_default()).or_default() += 1;
        }
        reasons
    }

    /// Deletes them; their objects remain if there is no garbage collector.
    pub async fn remove(self) {
        let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(self.client.clone());
        webhooks.delete(WEBHOOK, &DeleteParams::default()).await.expect("it is deleted");
        for service in self.list().await {
            let api: Api<AuthService> =
                Api::namespaced(self.client.clone(), &service.namespace().unwrap_or_default());
            let parameters = DeleteParams::background();
            api.delete(&service.name_any(), &parameters).await.expect("it is deleted");
        }
        wait::until_equal("the number of broken AuthServices", 0, async || self.list().await.len()).await;
    }

    async fn list(&self) -> Vec<AuthService> {
        let api: Api<AuthService> = Api::all(self.client.clone());
        let all = api.list(&kube::api::ListParams::default()).await.expect("a list");
        let broken: Vec<_> = all.into_iter().filter(|one| one.name_any().starts_with(PREFIX)).collect();
        assert!(broken.len() <= self.count, "more than were created");
        broken
    }
}

/// A webhook for the ConfigMaps of a namespace, at this address.
fn hanging_webhook(address: &str, namespace: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": WEBHOOK},
        "webhooks": [{
            "name": "hangs.latchkey.dev",
            "clientConfig": {"url": format!("https://{address}/")},
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["configmaps"], "scope": "Namespaced",
            }],
            "namespaceSelector": {"matchLabels": {"name": namespace}},
            "objectSelector": {"matchLabels": {"app.kubernetes.io/managed-by": "latchkey-operator"}},
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "timeoutSeconds": 30,
            "admissionReviewVersions": ["v1"],
        }],
    })
}
