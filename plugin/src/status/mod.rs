//! `status`: conditions, signing keys and replicas of AuthServices.

mod facts;
mod render;

use std::process::ExitCode;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use latchkey_crds::AuthService;

use crate::cli::StatusArguments;
use crate::cluster::Cluster;
use crate::failure::Failure;
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
    let client = &cluster.client;
    let config = watcher::Config::default;
    let services = if all_namespaces { Api::all(client.clone()) } else { cluster.api::<AuthService>() };
    let pods = if all_namespaces { Api::all(client.clone()) } else { cluster.api::<Pod>() };
    let pods_config = config().labels("app.kubernetes.io/managed-by=latchkey-operator");
    let services = watcher(services, config()).default_backoff().map(|_| ());
    let pods = watcher(pods, pods_config).default_backoff().map(|_| ());
    futures::stream::select(services, pods).boxed()
}

/// Prints the status if it differs from the previous one, and returns its text.
async fn print(
    cluster: &Cluster,
    options: &StatusArguments,
    printer: &Printer,
    previous: Option<&str>,
) -> Result<String, Failure> {
    let services = match &options.name {
        Some(name) => vec![cluster.auth_service(name).await?],
        None => cluster.auth_services(options.all_namespaces).await?,
    };
    let mut statuses = Vec::new();
    for service in &services {
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
            let shown = if statuses.is_empty() {
                let place = if options.all_namespaces { "the cluster" } else { &cluster.namespace };
                format!("There is no AuthService in {place}.\n")
            } else {
                statuses.iter().map(|status| render::render(status, printer)).collect::<Vec<_>>().join("\n")
            };
            printer.print(&shown)?;
        }
    }
    Ok(text)
}
