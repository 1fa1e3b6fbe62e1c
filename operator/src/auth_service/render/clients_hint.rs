//! The pods that are notified of a new client registry.

use kube::ResourceExt;

use super::hint::{Hint, is_due};
use crate::auth_service::dereference::ExternalState;
use crate::auth_service::server_reports::{LoadedClients, Report};
use crate::auth_service::validate::Validated;
use crate::names::CLIENTS_ANNOTATION;

/// The pods that have not loaded the current registry and were not notified yet.
pub(super) fn build(service: &Validated, external_state: &ExternalState) -> Vec<Hint> {
    let clients = &service.clients;
    let Some(registry) = clients.registry.as_ref().filter(|_| clients.is_known) else { return Vec::new() };
    let value = registry.serial().to_string();
    let due = external_state.pods.iter().filter(|pod| is_due(pod, CLIENTS_ANNOTATION, &value));
    let behind = due.filter(|pod| {
        let report = external_state.report_of(&pod.name_any());
        report.map_or(clients.is_changed(), |report| is_behind(report, registry.serial()))
    });
    behind.map(|pod| Hint::new(pod, CLIENTS_ANNOTATION, &value)).collect()
}

/// A server of an earlier release has no registry.
fn is_behind(report: &Report, serial: u64) -> bool {
    match report.clients {
        LoadedClients::Unsupported => false,
        LoadedClients::Missing => true,
        LoadedClients::Serial(loaded) => loaded < serial,
    }
}
