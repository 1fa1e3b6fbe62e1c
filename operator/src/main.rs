//! `latchkey-operator`: parses the command line and calls the library.

use std::io::Write;

use anyhow::Context;
use clap::Parser;
use latchkey_config::BoundedLines;
use latchkey_operator::cli::{Arguments, Command, LogFormat, RunArguments};
use latchkey_operator::run;
use tracing_subscriber::EnvFilter;

// Two threads are sufficient, even on a node with many processors: the API server does most of the work, and each
// thread needs memory.
#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider was installed first"))?;
    match arguments.command {
        Command::Crds => {
            let definitions = [latchkey_crds::auth_service_yaml()?, latchkey_crds::auth_client_yaml()?];
            std::io::stdout().write_all(definitions.concat().as_bytes())?;
            Ok(())
        }
        Command::Run(arguments) => {
            start_logging(&arguments)?;
            run::run(*arguments, run::stop_signal()?).await.context("the operator stops")
        }
    }
}

fn start_logging(arguments: &RunArguments) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&arguments.log_level)
        .with_context(|| format!("LOG_LEVEL `{}` is not a level such as info", arguments.log_level))?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| BoundedLines(std::io::stderr()));
    match arguments.log_format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Text => builder.init(),
    }
    Ok(())
}
