//! `clients`: the AuthClients of a namespace, their secrets, and requests to the operator. No command reads the value of a
//! Secret or obtains a token: both would end in a terminal, its history or a process argument.

mod annotations;
mod facts;
mod render;
mod requests;

use std::process::ExitCode;

use k8s_openapi::jiff::Timestamp;

use crate::cli::{ClientListArguments, ClientStatusArguments, ClientsCommand};
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::output::Printer;
use crate::status::warnings_of;

use facts::ClientStatus;
use requests::Request;

/// Runs one of the commands.
pub async fn run(
    cluster: &Cluster,
    command: &ClientsCommand,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    match command {
        ClientsCommand::List(options) => list(cluster, options, printer).await,
        ClientsCommand::Status(options) => status(cluster, options, printer).await,
        ClientsCommand::Rotate(options) => requests::run(cluster, Request::Rotate, options, printer).await,
        ClientsCommand::RevokePrevious(options) => {
            requests::run(cluster, Request::RevokePrevious, options, printer).await
        }
    }
}

async fn list(
    cluster: &Cluster,
    options: &ClientListArguments,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let now = Timestamp::now();
    let found = cluster.auth_clients(options.all_namespaces).await?;
    let clients: Vec<ClientStatus> = found.read.iter().map(|client| ClientStatus::of(client, now)).collect();
    match options.output {
        Some(format) => printer.structured(&clients, format)?,
        None if found.is_empty() => {
            let place = if options.all_namespaces { "the cluster" } else { &cluster.namespace };
            printer.print(&format!("There is no AuthClient in {place}.\n"))?;
        }
        None => printer.print(&render::list(&clients, options.all_namespaces, printer))?,
    }
    printer.notes(&found.unreadable);
    Ok(ExitCode::SUCCESS)
}

async fn status(
    cluster: &Cluster,
    options: &ClientStatusArguments,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let client = cluster.auth_client(&options.client).await?;
    let mut shown = ClientStatus::of(&client, Timestamp::now());
    shown.auth_service_paused = requests::is_paused(cluster, &client).await;
    shown.warnings = warnings_of(cluster, "AuthClient", &options.client).await;
    match options.output {
        Some(format) => printer.structured(&shown, format)?,
        None => printer.print(&render::status(&shown, printer))?,
    }
    Ok(ExitCode::SUCCESS)
}
