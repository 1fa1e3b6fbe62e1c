//! Publishes the state of the client registry for the reconciles of AuthClients.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use crate::auth_service::apply::Applied;
use crate::auth_service::context::Context;
use crate::auth_service::dereference::{ExternalState, is_ready};
use crate::auth_service::server_reports::LoadedClients;
use crate::auth_service::validate::Validated;
use crate::cluster::observed_client::ObservedClient;
use crate::registrations::{Entry, Loaded, Published, Wanted, Written};

/// The minimum and maximum interval at which the replicas are asked whether they have loaded the registry. No watch
/// announces it.
const ASK_EVERY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// Publishes the state, and triggers the AuthClients that it concerns. Returns the time until the replicas are asked
/// again, if some have not loaded the registry.
pub(crate) fn publish(
    service: &Validated,
    external_state: &ExternalState,
    applied: &Applied,
    context: &Context,
) -> Option<Duration> {
    let uid = &service.owner.uid;
    let clients = &service.clients;
    let written = match (service.spec.paused, clients.is_known && applied.has_registry) {
        (true, _) => Written::Paused,
        (false, true) => Written::Yes,
        (false, false) => Written::No,
    };
    let in_cluster = if written == Written::Yes { &clients.registry } else { &clients.last };
    let before = context.registrations.published(uid);
    let published = Published::new(
        before.as_deref(),
        in_cluster.as_ref(),
        &clients.owners,
        &clients.known,
        (clients.decisions, written),
        external_state.pods.iter().filter_map(|pod| loaded(pod, external_state)).collect(),
    );
    let due = ask_again(&published, uid, context);
    if before.as_deref() != Some(&published) {
        let concerned = concerned(service, before.as_deref(), &published, context);
        context.registrations.publish(uid, published);
        for client in concerned {
            if context.client_triggers.unbounded_send(ObjectRef::from_obj(&*client)).is_err() {
                tracing::debug!("the controller has stopped");
            }
        }
    }
    due
}

/// The AuthClients whose registration is at another point than before.
fn concerned(
    service: &Validated,
    before: Option<&Published>,
    after: &Published,
    context: &Context,
) -> Vec<Arc<ObservedClient>> {
    let mut clients = context.auth_clients.of(&service.namespace, &service.name);
    clients.retain(|client| {
        let uid = client.uid().unwrap_or_default();
        let id = client.salvaged().client_id();
        match context.registrations.entry(&uid) {
            Some(Entry::Wanted(wanted)) => before.is_none_or(|before| {
                let current = Wanted { next: None, ..*wanted.clone() };
                let state = |published: &Published| {
                    let views = [&*wanted, &current].map(|wanted| published.view(&uid, wanted));
                    let is_revoked = published.has_no_previous(&wanted) && published.is_loaded();
                    (views, wanted.revokes_previous && is_revoked)
                };
                state(before) != state(after)
            }),
            // One that leaves the registry.
            Some(Entry::Withheld) => {
                let number = context.registrations.number(&uid);
                let is_gone = |published: &Published| published.is_gone(&uid, &id, number);
                before.is_none_or(|before| is_gone(before) != is_gone(after))
            }
            None => client.is_readable(),
        }
    });
    clients
}

fn ask_again(published: &Published, uid: &str, context: &Context) -> Option<Duration> {
    let serial = published.serial()?;
    let since = context.with_memory(uid, |memory| {
        memory.registry_since.take_if(|(known, _)| *known != serial);
        memory.registry_since.get_or_insert_with(|| (serial, Instant::now())).1
    });
    (!published.is_loaded()).then(|| (since.elapsed() / 2).clamp(ASK_EVERY[0], ASK_EVERY[1]))
}

/// What a pod reports, if it may accept tokens. As for a key rotation, a terminating pod is waited for.
fn loaded(pod: &Pod, external_state: &ExternalState) -> Option<Loaded> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return None;
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return Some(Loaded::Silent);
    }
    match external_state.report_of(&pod.name_any()) {
        Some(report) => Some(match report.clients {
            LoadedClients::Unsupported => Loaded::Unsupported,
            LoadedClients::Missing => Loaded::Missing,
            LoadedClients::Serial(serial) => Loaded::Serial(serial),
        }),
        None => is_ready(pod).then_some(Loaded::Silent),
    }
}
