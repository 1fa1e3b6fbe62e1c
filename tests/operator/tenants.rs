//! Services of different namespaces that name one database: none reveals another, and one that never worked holds up no
//! other.

use std::collections::BTreeSet;

use futures::future::join_all;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use latchkey_crds::AuthService;
use latchkey_tests::control_plane::{
    CONTROLLERS, Contents, ControlPlane, FIELD_MANAGER, apply, auth_service_crd,
};
use latchkey_tests::kubelet::{Kubelet, Outcome, is_of_job};
use latchkey_tests::operator::{Installation, Operator};
use latchkey_tests::status_port::StatusPort;
use latchkey_tests::wait;
use serde_json::{Value, json};

use crate::fixture::condition;
use crate::waiting::wait_for;

/// The first number of the management ports that no fixture uses.
const SERVERS: u8 = 200;

/// A control plane of its own with an operator for all namespaces.
struct Cluster {
    installation: Installation,
    client: Client,
    _kubelet: Kubelet,
    _servers: StatusPort,
}

impl Cluster {
    /// The pods of migration Jobs in the namespaces `broken-…` fail, all other pods start.
    async fn start(number: u8) -> Self {
        let contents = Contents { crds: &[auth_service_crd()], controllers: &CONTROLLERS };
        let control_plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start(contents).await));
        let client = control_plane.client().await;
        let installation = Installation::new(control_plane, "latchkey-system", &[]).await;
        let servers = StatusPort::open(SERVERS + number).await;
        servers.answer_healthy(&[]);
        let ip = servers.ip();
        let kubelet = Kubelet::start_in_all_namespaces(client.clone(), move |pod| match is_of_job(pod) {
            true if pod.namespace().is_some_and(|namespace| namespace.starts_with("broken")) => {
                Outcome::Failed
            }
            true => Outcome::Succeeded,
            false => Outcome::Ready(ip.clone()),
        });
        Self { installation, client, _kubelet: kubelet, _servers: servers }
    }

    async fn start_operator(&self) -> Operator {
        let mut operator = self.installation.start("operator-0");
        operator.wait_until_ready().await;
        operator
    }

    async fn create_namespace(&self, name: &str) {
        apply(&self.client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
            .await;
    }

    /// A service of this name whose database has this host.
    async fn apply(&self, namespace: &str, name: &str, host: &str) {
        self.apply_with(namespace, name, host, json!({})).await;
    }

    /// The same with further fields.
    async fn apply_with(&self, namespace: &str, name: &str, host: &str, mut spec: Value) {
        let url = format!("postgres://{name}:x@{host}/accounts");
        let metadata = json!({"name": format!("{name}-database"), "namespace": namespace});
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"url": url}});
        apply(&self.client, &secret).await;
        spec["database"] = json!({"urlSecretRef": {"name": format!("{name}-database")}});
        let object = json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": {"name": name}, "spec": spec,
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        self.auth_services(namespace)
            .patch(name, &parameters, &Patch::Apply(object))
            .await
            .expect("it is accepted");
    }

    fn auth_services(&self, namespace: &str) -> Api<AuthService> {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn wait_for_reason(&self, namespace: &str, name: &str, kind: &str, reason: &str) -> AuthService {
        wait_for(self.auth_services(namespace), name, |object| {
            let object = object.ok_or("there is no AuthService")?;
            let found = condition(object, kind).ok_or_else(|| format!("no condition {kind}"))?;
            (found.reason == reason).then(|| object.clone()).ok_or_else(|| format!("{found:?}"))
        })
        .await
    }

    /// The services with a migration Job.
    async fn migrating(&self) -> BTreeSet<String> {
        let jobs = Api::<Job>::all(self.client.clone()).list(&ListParams::default()).await.expect("the Jobs");
        let owner = |job: &Job| job.owner_references().first().map(|owner| owner.name.clone());
        jobs.iter().filter_map(owner).collect()
    }
}

fn status_text(auth_service: &AuthService) -> String {
    serde_json::to_string(&auth_service.status).expect("JSON")
}

#[tokio::test]
async fn an_older_service_that_cannot_migrate_holds_up_no_other_and_learns_nothing_about_it() {
    let cluster = Cluster::start(0).await;
    let _operator = cluster.start_operator().await;
    for namespace in ["broken-squatters", "owners-space"] {
        cluster.create_namespace(namespace).await;
    }
    cluster.apply("broken-squatters", "squatter", "db.example.com").await;
    let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), "broken-squatters");
    wait::until("a failed attempt of the squatter", async || {
        let jobs = jobs.list(&ListParams::default()).await.expect("the Jobs").items;
        let failed = jobs.iter().any(|job| job.status.as_ref().and_then(|status| status.failed) > Some(0));
        wait::check(failed, jobs)
    })
    .await;
    cluster.apply("owners-space", "rightful", "db.example.com").await;
    cluster.wait_for_reason("owners-space", "rightful", "Ready", "Available").await;
    let owner = cluster.wait_for_reason("owners-space", "rightful", "DatabaseShared", "Exclusive").await;
    assert!(!status_text(&owner).contains("squatter"), "{}", status_text(&owner));

    let squatter =
        cluster.wait_for_reason("broken-squatters", "squatter", "DatabaseShared", "DatabaseShared").await;
    let told = status_text(&squatter);
    assert!(told.contains("of another namespace"), "{told}");
    assert!(!told.contains("owners-space") && !told.contains("rightful"), "{told}");
    let events: Value = serde_json::to_value(
        Api::<k8s_openapi::api::events::v1::Event>::namespaced(cluster.client.clone(), "broken-squatters")
            .list(&ListParams::default())
            .await
            .expect("the events")
            .items,
    )
    .expect("JSON");
    let events = events.to_string();
    assert!(!events.contains("owners-space") && !events.contains("rightful"), "{events}");
}

#[tokio::test]
async fn of_services_that_are_applied_at_the_same_moment_one_migrates() {
    let cluster = Cluster::start(1).await;
    for namespace in ["one-space", "other-space"] {
        cluster.create_namespace(namespace).await;
    }
    // Before the operator starts: it finds both at the same moment.
    cluster.apply("one-space", "early-a", "early.example.com").await;
    cluster.apply("other-space", "early-b", "early.example.com").await;
    let _operator = cluster.start_operator().await;
    // While it runs.
    let pairs = 0..6;
    let applied = pairs.clone().flat_map(|pair| {
        let host = format!("host-{pair}.example.com");
        let cluster = &cluster;
        ["a", "b"].map(|side| {
            let (host, name) = (host.clone(), format!("pair-{pair}-{side}"));
            // The odd pairs are in one namespace.
            let namespace = if side == "b" && pair % 2 == 0 { "other-space" } else { "one-space" };
            async move { cluster.apply(namespace, &name, &host).await }
        })
    });
    join_all(applied).await;

    let pairs = pairs.map(|pair| format!("pair-{pair}")).chain(["early".to_owned()]);
    for pair in pairs {
        let reasons = wait::until(&format!("{pair} to be decided"), async || {
            let all = Api::<AuthService>::all(cluster.client.clone()).list(&ListParams::default()).await;
            let all = all.expect("the AuthServices").items;
            let mut reasons: Vec<_> = all
                .iter()
                .filter(|object| object.name_any().starts_with(&pair))
                .filter_map(|object| Some((object.name_any(), condition(object, "Ready")?.reason.clone())))
                .collect();
            reasons.sort_by_key(|(_, reason)| reason.clone());
            let decided =
                reasons.len() == 2 && reasons[0].1 == "Available" && reasons[1].1 == "DatabaseShared";
            if decided { Ok(reasons) } else { Err(format!("{reasons:?}")) }
        })
        .await;
        let migrating = cluster.migrating().await;
        assert!(migrating.contains(&reasons[0].0), "{migrating:?}");
        assert!(
            !migrating.contains(&reasons[1].0),
            "{reasons:?}: the refused service migrated: {migrating:?}"
        );
    }
}

#[tokio::test]
async fn an_older_service_that_is_held_back_by_another_problem_holds_up_no_other() {
    let cluster = Cluster::start(2).await;
    let _operator = cluster.start_operator().await;
    cluster.create_namespace("one-space").await;
    let redis = json!({"urlSecretRef": {"name": "missing"}});
    cluster.apply_with("one-space", "older", "db.example.com", json!({"redis": redis})).await;
    cluster.wait_for_reason("one-space", "older", "Ready", "SecretMissing").await;
    cluster.apply("one-space", "younger", "db.example.com").await;
    cluster.wait_for_reason("one-space", "younger", "Ready", "Available").await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "missing", "namespace": "one-space"},
        "stringData": {"url": "redis://cache.example.com"},
    });
    apply(&cluster.client, &secret).await;
    let older = cluster.wait_for_reason("one-space", "older", "Ready", "DatabaseShared").await;
    // Of the same namespace the other is named.
    assert!(status_text(&older).contains("one-space/younger"), "{}", status_text(&older));
    assert_eq!(cluster.migrating().await, BTreeSet::from(["younger".to_owned()]));
}
