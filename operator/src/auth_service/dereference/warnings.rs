//! Reads the events of the objects whose own state does not say why they have no pod, or why a pod does not start.
//!
//! Job and StatefulSet controllers report a refused pod only in events, and so does a kubelet that cannot mount a
//! volume. Events are read only for such an object, and only after a delay, so that the operator neither watches nor
//! caches the events of the cluster.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, ResourceExt};
use latchkey_crds::AuthService;

use crate::auth_service::context::Context;
use crate::auth_service::warnings::{
    NO_POD_PATIENCE, Store, Warning, Warnings, late, next_late, replica_failure, without_pod_since,
};
use crate::cluster::kinds::Kind;
use crate::cluster::lenient::AnyObject;
use crate::error_chain::ErrorChain;
use crate::names::{Component, Names};

use super::external_state::ExternalState;
use super::pods::pods;

/// The maximum number of objects whose events are read in one reconcile.
const MOST: usize = 4;
/// The maximum number of events of one request. Controllers aggregate repeated ones.
const PAGE: u32 = 200;
/// How long a warning about a missing pod counts. The controllers retry with a delay of up to 17 minutes.
const FRESH: SignedDuration = SignedDuration::from_mins(20);
/// How long the API server may take.
const WITHIN: Duration = Duration::from_secs(2);
/// The minimum and maximum delay until the events are read again.
const AGAIN: [Duration; 2] = [Duration::from_secs(2), Duration::from_mins(1)];

/// The embedded stores that the spec uses.
pub(super) fn stores(auth_service: &AuthService, context: &Context) -> Vec<Store> {
    let (spec, names) = (&auth_service.spec, Names::new(&auth_service.name_any()));
    let namespace = auth_service.namespace().unwrap_or_default();
    let used = [
        (spec.database.url_secret_ref.is_none(), Component::Postgres, names.postgres()),
        (spec.redis.url_secret_ref.is_none(), Component::Redis, names.redis()),
    ];
    let used = used.into_iter().filter(|(embedded, ..)| *embedded);
    used.filter_map(|(_, component, name)| {
        let found = context.cache.get(Kind::StatefulSet, &namespace, &name)?;
        let owned = found.is_controlled_by(auth_service.metadata.uid.as_deref()?);
        let stateful_set: StatefulSet = owned.then(|| found.parse())??;
        // A pod that cannot be read prevents only the description of its store.
        let mut pods = pods(auth_service, context, component).ok()?;
        pods.retain(|pod| {
            pod.owner_references().iter().any(|owner| Some(&owner.uid) == stateful_set.metadata.uid.as_ref())
        });
        Some(Store { component, stateful_set, pods })
    })
    .collect()
}

/// Reads the warnings about the objects of an AuthService that make no progress. Usually there are none. A failed
/// request leaves the condition without the reason.
pub(super) async fn read(auth_service: &AuthService, state: &ExternalState, context: &Context) -> Warnings {
    let now = Timestamp::now();
    let mut warnings = Warnings::default();
    let without_pod = state.stores.iter().filter(|store| has_no_pod(store));
    let without_pod: Vec<String> = without_pod.filter_map(|store| store.stateful_set.uid()).collect();
    warnings.without_pod = context.with_memory(&auth_service.uid().unwrap_or_default(), |memory| {
        let known = std::mem::take(&mut memory.without_pod);
        let since = |uid: &String| known.get(uid).copied().unwrap_or(now);
        memory.without_pod = without_pod.iter().map(|uid| (uid.clone(), since(uid))).collect();
        memory.without_pod.clone()
    });
    let mut again = Again::default();
    let mut owners: Vec<(String, Timestamp)> =
        warnings.without_pod.iter().map(|(uid, since)| (uid.clone(), *since)).collect();
    owners.extend(state.jobs.iter().filter_map(|job| Some((job.uid()?, without_pod_since(job)?))));
    owners.retain(|(_, since)| {
        let age = now.duration_since(*since);
        again.note(
            (age < NO_POD_PATIENCE).then(|| NO_POD_PATIENCE - age).and_then(|left| left.try_into().ok()),
        );
        age >= NO_POD_PATIENCE
    });
    let stores = state.stores.iter().map(|store| &store.pods);
    let groups = [&state.pods, &state.migration_pods].into_iter().chain(stores);
    let mut not_started = Vec::new();
    for pods in groups {
        for pod in pods {
            again.note(next_late(pod, now));
        }
        not_started.extend(pods.iter().find(|pod| late(pod, now)).and_then(Pod::uid));
    }
    let namespace = auth_service.namespace().unwrap_or_default();
    for (uid, since) in owners.into_iter().take(MOST) {
        let age = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        again.note(Some((age / 2).clamp(AGAIN[0], AGAIN[1])));
        let found = newest(context, &namespace, &uid).await.filter(|(at, _)| now.duration_since(*at) < FRESH);
        warnings.newest.extend(found.map(|(_, warning)| (uid, warning)));
    }
    if let Some((uid, since)) = state.deployment.as_ref().and_then(|deployment| {
        let failure = replica_failure(deployment)?;
        Some((deployment.uid()?, failure.last_transition_time.as_ref()?.0))
    }) {
        let age = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        again.note(Some((age / 2).clamp(AGAIN[0], AGAIN[1])));
        let found = newest_of_replica_sets(context, &namespace, &auth_service.name_any()).await;
        let found = found.filter(|(at, _)| *at >= since && now.duration_since(*at) < FRESH);
        warnings.newest.extend(found.map(|(_, warning)| (uid, warning)));
    }
    for uid in not_started.into_iter().take(MOST) {
        again.note(Some(AGAIN[1] / 2));
        let found = newest(context, &namespace, &uid).await;
        warnings.newest.extend(found.map(|(_, warning)| (uid, warning)));
    }
    warnings.again = again.0;
    warnings
}

/// The earliest of several delays.
#[derive(Default)]
struct Again(Option<Duration>);

impl Again {
    fn note(&mut self, delay: Option<Duration>) {
        self.0 = [self.0, delay].into_iter().flatten().min();
    }
}

fn has_no_pod(store: &Store) -> bool {
    let stopped = store.stateful_set.spec.replicas == Some(0);
    store.pods.is_empty() && !stopped && store.stateful_set.metadata.deletion_timestamp.is_none()
}

/// The newest warning about the object with this uid, and its time.
async fn newest(context: &Context, namespace: &str, uid: &str) -> Option<(Timestamp, Warning)> {
    let events = list(context, namespace, &format!("regarding.uid={uid},type=Warning")).await;
    events.iter().filter_map(warning_of).max_by_key(|(at, _)| *at)
}

/// The newest warning about a pod that a ReplicaSet of the Deployment cannot create.
async fn newest_of_replica_sets(
    context: &Context,
    namespace: &str,
    deployment: &str,
) -> Option<(Timestamp, Warning)> {
    let events = list(context, namespace, "regarding.kind=ReplicaSet,reason=FailedCreate,type=Warning").await;
    let events = events.iter().filter(|event| {
        let name = event.data.pointer("/regarding/name").and_then(serde_json::Value::as_str);
        name.is_some_and(|name| is_replica_set_of(name, deployment))
    });
    let (at, mut warning) = events.filter_map(warning_of).max_by_key(|(at, _)| *at)?;
    if let Some(note) = warning.note.strip_prefix("Error creating: ") {
        warning.note = note.to_owned();
    }
    Some((at, warning))
}

/// The name of a ReplicaSet is that of its Deployment and a hash without hyphens.
fn is_replica_set_of(name: &str, deployment: &str) -> bool {
    let hash = name.strip_prefix(deployment).and_then(|rest| rest.strip_prefix('-'));
    hash.is_some_and(|hash| !hash.is_empty() && !hash.contains('-'))
}

async fn list(context: &Context, namespace: &str, fields: &str) -> Vec<DynamicObject> {
    let api: Api<AnyObject> =
        Api::namespaced_with(context.client.clone(), namespace, &ApiResource::erase::<Event>(&()));
    let parameters = ListParams::default().fields(fields).limit(PAGE);
    match tokio::time::timeout(WITHIN, api.list(&parameters)).await {
        Ok(Ok(events)) => events.items.into_iter().map(|AnyObject(event)| event).collect(),
        Ok(Err(error)) => {
            tracing::debug!(namespace, fields, error = %ErrorChain(&error), "events could not be read");
            Vec::new()
        }
        Err(_) => {
            tracing::debug!(namespace, fields, "events were not read in time");
            Vec::new()
        }
    }
}

/// The warning in an event, and its time: clients of the old API and of the new one write different fields.
fn warning_of(event: &DynamicObject) -> Option<(Timestamp, Warning)> {
    let text = |pointer: &str| event.data.pointer(pointer)?.as_str();
    let times = ["/series/lastObservedTime", "/deprecatedLastTimestamp", "/eventTime"];
    let at = times.iter().filter_map(|pointer| text(pointer)?.parse::<Timestamp>().ok()).max();
    let at = at.or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0))?;
    let warning = Warning { reason: text("/reason")?.to_owned(), note: text("/note")?.to_owned() };
    Some((at, warning))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_replica_set_belongs_to_the_deployment_whose_name_precedes_its_hash() {
        assert!(is_replica_set_of("auth-584fd4dd8d", "auth"));
        for other in ["auth", "auth-", "auth-b-584fd4dd8d", "author-584fd4dd8d", "my-auth-584fd4dd8d"] {
            assert!(!is_replica_set_of(other, "auth"), "{other}");
        }
    }

    #[test]
    fn the_time_of_a_warning_is_that_of_its_last_occurrence() {
        let (first, last) = ("2026-01-01T00:00:00.000000Z", "2026-01-01T00:05:00Z");
        for fields in [
            json!({"eventTime": first, "series": {"count": 2, "lastObservedTime": last}}),
            json!({"eventTime": null, "deprecatedFirstTimestamp": first, "deprecatedLastTimestamp": last}),
            json!({"eventTime": last}),
        ] {
            let mut event =
                json!({"metadata": {"name": "e"}, "reason": "FailedCreate", "note": "exceeded quota"});
            event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let (at, warning) = warning_of(&serde_json::from_value(event).unwrap()).unwrap();
            assert_eq!(at, last.parse().unwrap());
            assert_eq!((&*warning.reason, &*warning.note), ("FailedCreate", "exceeded quota"));
        }
    }
}
