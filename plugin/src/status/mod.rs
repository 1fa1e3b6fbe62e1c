//! `status`: conditions, signing keys and replicas of AuthServices.

mod facts;
mod render;

use std::process::ExitCode;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use latchkey_crds::AuthService;

use crate::cli::StatusArguments;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::lists::Listed;
use crate::output::Printer;

pub use facts::{ConditionStatus, ServiceStatus, Warning, condition, warnings_of};
pub use render::{conditions_table, header, warnings_table};

/// Changes within this time are shown together.
const DEBOUNCE: Duration = Duration::from_millis(300);
const CLEAR_SCREEN: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Prints the status, once or after each change.
pub async fn run(
    cluster: &Cluster,
    options: &StatusArguments,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let mut previous = print(cluster, options, printer, None).await?;
    if !options.watch {
        return Ok(ExitCode::SUCCESS);
    }
    let mut changes = changes(cluster, options.all_namespaces);
    while changes.next().await.is_some() {
        while tokio::time::timeout(DEBOUNCE, changes.next()).await.is_ok_and(|change| change.is_some()) {}
        previous = print(cluster, options, printer, Some(&previous)).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// An item for each change of an AuthService or a pod.
fn changes(cluster: &Cluster, all_namespaces: bool) -> futures::stream::BoxStream<'static, ()> {
    let config = watcher::Config::default;
    let pods_config = config().labels("app.kubernetes.io/managed-by=latchkey-operator");
    let services = watcher(metadata::<AuthService>(cluster, all_namespaces), config());
    let pods = watcher(metadata::<Pod>(cluster, all_namespaces), pods_config);
    let services = services.default_backoff().map(|_| ());
    let pods = pods.default_backoff().map(|_| ());
    futures::stream::select(services, pods).boxed()
}

/// The rest of an object is read again, and may be unreadable.
fn metadata<K>(cluster: &Cluster, all_namespaces: bool) -> Api<PartialObjectMeta<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    if all_namespaces { Api::all(cluster.client.clone()) } else { cluster.api() }
}

/// Prints the status if it differs from the previous one, and returns its text.
async fn print(
    cluster: &Cluster,
    options: &StatusArguments,
    printer: &Printer,
    previous: Option<&str>,
) -> Result<String, Failure> {
    let services = match &options.name {
        Some(name) => Listed { read: vec![cluster.auth_service(name).await?], unreadable: Vec::new() },
        None => cluster.auth_services(options.all_namespaces).await?,
    };
    let mut statuses = Vec::new();
    for service in &services.read {
        statuses.push(ServiceStatus::read(cluster, service).await?);
    }
    // Compared without colours, and without the times that pass.
    let text = serde_json::to_string(&statuses).unwrap_or_default();
    if previous == Some(text.as_str()) {
        return Ok(text);
    }
    match options.output {
        Some(format) if options.name.is_some() => printer.structured(&statuses[0], format)?,
        Some(format) => printer.structured(&statuses, format)?,
        None => {
            if options.watch && std::io::IsTerminal::is_terminal(&std::io::stdout()) {
                printer.print(CLEAR_SCREEN)?;
            }
            let shown = if services.is_empty() {
                let place = if options.all_namespaces { "the cluster" } else { &cluster.namespace };
                format!("There is no AuthService in {place}.\n")
            } else {
                statuses.iter().map(|status| render::render(status, printer)).collect::<Vec<_>>().join("\n")
            };
            printer.print(&shown)?;
        }
    }
    printer.notes(&services.unreadable);
    Ok(text)
}
