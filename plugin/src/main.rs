//! `kubectl latchkey`: shows, operates and checks the AuthServices and AuthClients of a cluster.

mod bundle;
mod check;
mod cli;
mod clients;
mod cluster;
mod completion;
mod confirm;
mod exec;
mod failure;
mod keys;
mod lists;
mod logs;
mod manifest;
mod output;
mod pods;
mod sessions;
mod status;
mod users;

use std::process::ExitCode;

use clap::Parser;

use cli::{Arguments, Command, SessionsCommand, UsersCommand};
use cluster::Cluster;
use failure::Failure;
use output::Printer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let printer = Printer::new(arguments.cluster.color);
    match Box::pin(run(arguments, &printer)).await {
        Ok(code) => code,
        Err(failure) => {
            printer.error(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn run(arguments: Arguments, printer: &Printer) -> Result<ExitCode, Failure> {
    // The process installs no other provider.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match arguments.command {
        Command::Completion => completion::print_script(printer),
        Command::Complete { words } => {
            completion::print_candidates(&arguments.cluster, &words, printer).await
        }
        Command::Status(options) => {
            let cluster = Cluster::connect(arguments.cluster).await?;
            status::run(&cluster, &options, printer).await
        }
        Command::RotateKeys(options) => {
            let cluster = Cluster::connect(arguments.cluster).await?;
            keys::run(&cluster, keys::Request::Rotate, &options, printer).await
        }
        Command::RevokeKeys(options) => {
            let cluster = Cluster::connect(arguments.cluster).await?;
            keys::run(&cluster, keys::Request::Revoke, &options, printer).await
        }
        Command::Sessions(SessionsCommand::EndAll(options)) => {
            let cluster = Cluster::connect(arguments.cluster).await?;
            sessions::end_all(&cluster, &options, printer).await
        }
        Command::Users(UsersCommand::Import(options)) => {
            let cluster = Cluster::connect(arguments.cluster).await?;
            users::import(&cluster, &options, printer).await
        }
        Command::Clients(command) => {
            let cluster = Cluster::connect(arguments.cluster).await?;
            Box::pin(clients::run(&cluster, &command, printer)).await
        }
        Command::Logs(options) => {
            let cluster = Cluster::connect(arguments.cluster).await?;
            logs::run(&cluster, &options, printer).await
        }
        Command::Check(options) => {
            let cluster = Cluster::connect(arguments.cluster).await?;
            Box::pin(check::run(&cluster, &options, printer)).await
        }
        Command::SupportBundle(options) => {
            let cluster = Cluster::connect(arguments.cluster).await?;
            bundle::run(&cluster, &options, printer).await
        }
    }
}
