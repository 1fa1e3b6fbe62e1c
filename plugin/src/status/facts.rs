//! What `status` shows of one AuthService.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, ObjectReference, Pod};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use latchkey_crds::AuthService;
use latchkey_crds::auth_service::SigningKeyStatus;
use serde::Serialize;

use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::pods::{component, is_ready, phase, restarts, selector, waits_for};

/// The number of warnings that are shown.
const WARNINGS: usize = 5;

/// The status of one AuthService.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    pub namespace: String,
    pub name: String,
    pub ready: bool,
    pub paused: bool,
    /// Whether the operator has processed the current spec.
    pub current: bool,
    pub replicas: i32,
    pub ready_replicas: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    pub conditions: Vec<ConditionStatus>,
    pub signing_keys: Vec<SigningKeyStatus>,
    pub pods: Vec<PodStatus>,
    /// Why pods are not created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_created: Option<String>,
    /// The last warnings about the AuthService and its objects.
    pub warnings: Vec<Warning>,
}

/// A condition.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConditionStatus {
    #[serde(rename = "type")]
    pub type_: String,
    pub status: String,
    pub reason: String,
    pub message: String,
    pub since: String,
}

/// A pod.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    pub name: String,
    pub component: String,
    pub phase: String,
    pub ready: bool,
    pub restarts: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

/// A Warning.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    pub object: String,
    pub reason: String,
    pub message: String,
    pub count: i32,
}

impl ServiceStatus {
    /// Reads the pods and events of an AuthService. What the user may not read is left out.
    pub async fn read(cluster: &Cluster, service: &AuthService) -> Result<Self, Failure> {
        let namespace = service.namespace().unwrap_or_default();
        let name = service.name_any();
        let client = || cluster.client.clone();
        let pods = cluster.in_namespace(&namespace).list(&selector(&name)).await;
        let pods: Vec<Pod> = pods.map_err(|error| Failure::of_request("list the pods", &error))?;
        let deployment =
            Api::<Deployment>::namespaced(client(), &namespace).get_opt(&name).await.ok().flatten();
        let begins = format!("{name}-");
        let warnings = warnings(&client(), &namespace, |about| {
            let about = about.name.as_deref().unwrap_or_default();
            about == name || about.starts_with(&begins)
        })
        .await;

        let status = service.status.clone().unwrap_or_default();
        let conditions: Vec<ConditionStatus> = status.conditions.iter().map(condition).collect();
        let is_true = |kind: &str| conditions.iter().any(|one| one.type_ == kind && one.status == "True");
        Ok(Self {
            ready: is_true(latchkey_crds::conditions::READY),
            paused: service.spec.paused,
            current: status.observed_generation == service.metadata.generation,
            replicas: status.replicas,
            ready_replicas: status.ready_replicas,
            version: status.version,
            schema_version: status.schema_version,
            endpoint: status.endpoint,
            conditions,
            signing_keys: status.signing_keys,
            pods: sorted(pods.iter().map(pod_status).collect()),
            not_created: deployment.as_ref().and_then(not_created),
            warnings,
            namespace,
            name,
        })
    }
}

/// A condition as the plugin shows it.
pub fn condition(condition: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition) -> ConditionStatus {
    ConditionStatus {
        type_: condition.type_.clone(),
        status: condition.status.clone(),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        since: condition.last_transition_time.0.to_string(),
    }
}

fn pod_status(pod: &Pod) -> PodStatus {
    PodStatus {
        name: pod.name_any(),
        component: component(pod).to_owned(),
        phase: phase(pod).to_owned(),
        ready: is_ready(pod),
        restarts: restarts(pod),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        waits_for: waits_for(pod),
    }
}

fn sorted(mut pods: Vec<PodStatus>) -> Vec<PodStatus> {
    let rank = |pod: &PodStatus| match pod.component.as_str() {
        "server" => 0,
        "migration" => 1,
        _ => 2,
    };
    pods.sort_by(|one, other| rank(one).cmp(&rank(other)).then_with(|| one.name.cmp(&other.name)));
    pods
}

/// Why the Deployment's controller creates no pods, for example because of a quota.
fn not_created(deployment: &Deployment) -> Option<String> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let failure = conditions.iter().find(|one| {
        one.type_.as_deref() == Some("ReplicaFailure") && one.status.as_deref() == Some("True")
    })?;
    failure.message.clone()
}

/// The last warnings about one object of the namespace. Without the permission to read events there are none.
pub async fn warnings_of(cluster: &Cluster, kind: &str, name: &str) -> Vec<Warning> {
    let is_about =
        |about: &ObjectReference| about.kind.as_deref() == Some(kind) && about.name.as_deref() == Some(name);
    warnings(&cluster.client, &cluster.namespace, is_about).await
}

/// The last warnings about the selected objects.
async fn warnings(
    client: &Client,
    namespace: &str,
    is_about: impl Fn(&ObjectReference) -> bool,
) -> Vec<Warning> {
    let parameters = ListParams::default().fields("type=Warning");
    let events = Api::<Event>::namespaced(client.clone(), namespace).list(&parameters).await;
    let mut events = events.map(|list| list.items).unwrap_or_default();
    events.retain(|event| is_about(&event.involved_object));
    let time = |event: &Event| {
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        let only = event.event_time.as_ref().map(|time| time.0);
        last.or(only).or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0))
    };
    events.sort_by_key(time);
    let first = events.len().saturating_sub(WARNINGS);
    let warning = |event: Event| Warning {
        object: format!(
            "{} {}",
            event.involved_object.kind.unwrap_or_default(),
            event.involved_object.name.unwrap_or_default()
        ),
        reason: event.reason.unwrap_or_default(),
        message: event.message.unwrap_or_default(),
        count: event.series.and_then(|series| series.count).or(event.count).unwrap_or(1),
    };
    events.split_off(first).into_iter().map(warning).collect()
}
