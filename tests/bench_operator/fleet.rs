//! The AuthServices of the benchmark, which are applied concurrently.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use latchkey_crds::AuthService;
use latchkey_tests::control_plane::{FIELD_MANAGER, apply};
use latchkey_tests::operator::Operator;
use latchkey_tests::wait;
use serde_json::{Value, json};

const CONCURRENCY: usize = 16;
const PER_NAMESPACE: usize = 20;
/// The deadline until all are Ready, for each thousand.
const PATIENCE: Duration = Duration::from_mins(10);
/// The deadline until all objects are correct, after all are Ready.
const CORRECT_WITHIN: Duration = Duration::from_secs(30);
/// The objects of each AuthService, by kind: two replicas, external stores, e-mail.
const OWNED: [(&str, &str, &str, usize); 8] = [
    ("", "v1", "ServiceAccount", 1),
    ("", "v1", "ConfigMap", 2),
    ("", "v1", "Secret", 2),
    ("", "v1", "Service", 2),
    ("batch", "v1", "Job", 1),
    ("apps", "v1", "Deployment", 1),
    ("policy", "v1", "PodDisruptionBudget", 1),
    ("monitoring.coreos.com", "v1", "ServiceMonitor", 1),
];

/// The name of an AuthService.
pub fn name(number: usize) -> String {
    format!("auth-{number}")
}

/// Its namespace.
pub fn namespace(number: usize) -> String {
    format!("team-{}", number / PER_NAMESPACE)
}

/// All of them.
#[derive(Clone)]
pub struct Fleet {
    client: Client,
    count: usize,
}

impl Fleet {
    /// Creates the namespaces, and the Secrets that the AuthServices reference.
    pub async fn prepare(client: Client, count: usize) -> Self {
        let fleet = Self { client, count };
        for number in (0..count).step_by(PER_NAMESPACE) {
            let metadata = json!({"name": namespace(number)});
            apply(&fleet.client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))
                .await;
            fleet.secret(number, "redis", &json!({"url": "rediss://redis.example.com:6380"})).await;
            fleet.secret(number, "smtp", &json!({"username": "mailer", "password": "hunter22"})).await;
        }
        let secrets = stream::iter(0..count).for_each_concurrent(CONCURRENCY, async |number| {
            let url = format!("postgres://auth:secret@db.example.com/{}", name(number));
            fleet.secret(number, &format!("database-{number}"), &json!({"url": url})).await;
        });
        secrets.await;
        fleet
    }

    async fn secret(&self, number: usize, name: &str, data: &Value) {
        let metadata = json!({"name": name, "namespace": namespace(number)});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data});
        apply(&self.client, &secret).await;
    }

    fn patience(&self) -> Duration {
        PATIENCE * u32::try_from(self.count.div_ceil(1000)).unwrap_or(1)
    }

    /// The number of namespaces.
    pub fn namespaces(&self) -> usize {
        self.count.div_ceil(PER_NAMESPACE)
    }

    /// A description of each AuthService.
    pub fn description(&self) -> &'static str {
        "each with two replicas, mail, and external stores by Secrets"
    }

    /// Applies all.
    pub async fn apply_all(&self) {
        let applied = stream::iter(0..self.count).for_each_concurrent(CONCURRENCY, async |number| {
            let name = name(number);
            let object = json!({
                "apiVersion": "latchkey.dev/v1alpha1",
                "kind": "AuthService",
                "metadata": {"name": name, "namespace": namespace(number)},
                "spec": {
                    "replicas": 2,
                    "database": {"urlSecretRef": {"name": format!("database-{number}")}},
                    "redis": {"urlSecretRef": {"name": "redis"}},
                    "email": {
                        "enabled": true,
                        "from": {"address": "no-reply@example.com"},
                        "smtp": {"host": "smtp.example.com", "credentialsSecretRef": {"name": "smtp"}},
                    },
                },
            });
            let api: Api<AuthService> = Api::namespaced(self.client.clone(), &namespace(number));
            let parameters = PatchParams::apply(FIELD_MANAGER).force();
            api.patch(&name, &parameters, &Patch::Apply(object)).await.expect("the API server accepts it");
        });
        applied.await;
    }

    /// Waits until all are Ready, and prints the progress. Returns the time until each had all its objects, which is
    /// before its pods are ready, and the number of objects.
    pub async fn wait_until_ready(&self, begun: Instant, operator: &Operator) -> (Duration, usize) {
        let mut correct = None;
        let api: Api<AuthService> = Api::all(self.client.clone());
        let changes = watcher(api, watcher::Config::default()).default_backoff().applied_objects();
        let mut changes = std::pin::pin!(changes);
        let mut ready = HashSet::new();
        let mut reported = Instant::now();
        let mut states: HashMap<String, String> = HashMap::new();
        while ready.len() < self.count {
            if reported.elapsed() > Duration::from_secs(10) {
                reported = Instant::now();
                let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
                for reason in states.values() {
                    *reasons.entry(reason).or_default() += 1;
                }
                let reconciles = operator.metric("latchkey_operator_reconcile_total", &[]).await;
                crate::say(&format!(
                    "  after {:.0} s: {reasons:?}; {reconciles} reconciles, {} MB",
                    begun.elapsed().as_secs_f64(),
                    operator.memory().resident / 1_048_576
                ));
            }
            assert!(
                begun.elapsed() < self.patience(),
                "waited {:?} for {} AuthServices; last seen: {} are Ready",
                self.patience(),
                self.count,
                ready.len()
            );
            let Ok(Some(Ok(object))) = tokio::time::timeout(Duration::from_secs(5), changes.next()).await
            else {
                continue;
            };
            let status = object.status.clone().unwrap_or_default();
            let condition = status.conditions.iter().find(|condition| condition.type_ == "Ready");
            let name = object.name_any();
            if name.starts_with(crate::broken::PREFIX) {
                continue;
            }
            states.insert(name.clone(), condition.map(|c| c.reason.clone()).unwrap_or_default());
            // The last object of each is created when its schema is migrated.
            let made = |reason: &String| matches!(reason.as_str(), "ReplicasNotReady" | "Available");
            if correct.is_none() && states.len() == self.count && states.values().all(made) {
                let fleet = self.clone();
                let check = async move {
                    let objects = fleet.wait_until_correct().await;
                    (begun.elapsed(), objects)
                };
                correct = Some(tokio::spawn(check));
            }
            if condition.is_some_and(|condition| {
                condition.status == "True" && condition.observed_generation == object.metadata.generation
            }) {
                ready.insert(name);
            } else {
                ready.remove(&name);
            }
        }
        correct.expect("all had their objects before they were Ready").await.expect("a check")
    }

    /// Waits until each has exactly its objects; returns their number.
    pub async fn wait_until_correct(&self) -> usize {
        wait::until_within(CORRECT_WITHIN, Duration::from_millis(10), "all objects to be correct", || {
            self.check()
        })
        .await
    }

    /// The number of objects, or the first fault.
    async fn check(&self) -> Result<usize, String> {
        let mut objects = 0;
        for (group, version, kind, wanted) in OWNED {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
            let ours = ListParams::default().labels("app.kubernetes.io/managed-by=latchkey-operator");
            let mut owned: HashMap<(String, String), usize> = HashMap::new();
            // All are equal except for their names, so that one shows whether another is as rendered.
            let mut contents: HashMap<String, usize> = HashMap::new();
            for object in api.list(&ours).await.expect("a list") {
                let owner = object.owner_references().first().map(|owner| owner.name.clone());
                let owner = owner.ok_or_else(|| format!("{kind} {} has no owner", object.name_any()))?;
                if owner.starts_with(crate::broken::PREFIX) {
                    continue;
                }
                if kind != "Secret" {
                    *contents.entry(content(&object, &owner)).or_default() += 1;
                }
                *owned.entry((object.namespace().unwrap_or_default(), owner)).or_default() += 1;
            }
            for number in 0..self.count {
                let found = owned.get(&(namespace(number), name(number))).copied().unwrap_or(0);
                if found != wanted {
                    return Err(format!("{} has {found} of kind {kind}, not {wanted}", name(number)));
                }
            }
            if kind != "Secret" && contents.len() != wanted {
                let first: Vec<_> = contents.keys().take(wanted + 1).collect();
                return Err(format!("{} differing {kind}s: {first:?}", contents.len()));
            }
            objects += owned.values().sum::<usize>();
        }
        Ok(objects)
    }

    /// Waits until the operator has been idle for some seconds.
    pub async fn wait_until_quiet(&self, operator: &Operator) {
        let before = Cell::new(f64::MIN);
        wait::until_within(
            self.patience(),
            Duration::from_secs(5),
            "no write for five seconds",
            async || {
                let writes = operator.metric("latchkey_operator_applied_objects_total", &[]).await
                    + operator.metric("latchkey_operator_status_updates_total", &[]).await;
                let new = writes - before.replace(writes);
                wait::check(new.abs() < 0.5, format!("{new} writes"))
            },
        )
        .await;
    }
}

/// The parts that another client could have changed, without those that differ between AuthServices.
fn content(object: &DynamicObject, owner: &str) -> String {
    let mut data = object.data.clone();
    if let Some(members) = data.as_object_mut() {
        members.remove("status");
    }
    if let Some(keys) = data.pointer_mut("/data/jwks.json") {
        // Public keys, of which none is equal to another.
        *keys = json!(keys.as_str().map(|keys| keys.matches("\"kid\"").count()));
    }
    let spec = &mut data["spec"];
    for own in ["clusterIP", "clusterIPs"] {
        if spec.get(own).is_some_and(|value| *value != json!("None") && *value != json!(["None"])) {
            spec[own] = Value::Null;
        }
    }
    let number = owner.rsplit('-').next().unwrap_or_default();
    let mut labels = object.labels().clone();
    labels.retain(|key, _| key.starts_with("app.kubernetes.io/"));
    let text = format!("{labels:?} {data}");
    // Names, Jobs' and pods' hashes.
    let text = text.replace(&format!("database-{number}\""), "DATABASE\"").replace(owner, "NAME");
    let text = text.replace(&object.namespace().unwrap_or_default(), "NAMESPACE");
    ["uid\":\"", "checksum\":\"", "-migrate-"].iter().fold(text, |text, mark| mask(&text, mark))
}

/// Removes the text between each `mark` and the next quotation mark.
fn mask(text: &str, mark: &str) -> String {
    let mut parts = text.split(mark);
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        masked.push_str(mark);
        masked.push_str(part.find('"').map_or("", |end| &part[end..]));
    }
    masked
}
