//! `sessions end-all`.

use std::process::{ExitCode, Stdio};

use crate::cli::EndAllArguments;
use crate::cluster::Cluster;
use crate::confirm::confirm;
use crate::exec;
use crate::failure::Failure;
use crate::output::Printer;

/// Runs the server's command in a pod.
pub async fn end_all(
    cluster: &Cluster,
    options: &EndAllArguments,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    cluster.auth_service_as_stored(&options.name).await?;
    let service = format!("{}/{}", cluster.namespace, options.name);
    let question = format!("End all sessions of {service}? Every user has to log in again.");
    confirm(&question, options.yes)?;
    let arguments = ["sessions", "end-all"].map(Into::into);
    let streams = (Stdio::null(), Stdio::inherit());
    let child = exec::start(cluster, &options.name, &arguments, streams, printer).await?;
    exec::exit_code(child).await
}
