//! The command line.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Keeps the auth servers that AuthServices ask for running.
#[derive(Debug, Parser)]
#[command(name = "latchkey-operator", version, about, propagate_version = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator against the cluster that the kubeconfig or the pod's service account names.
    Run(Box<RunArguments>),
    /// Print the CustomResourceDefinition of AuthService as YAML.
    Crds,
}

/// Options of `run`; each can be set by the environment variable named beside it.
#[derive(Debug, Clone, Args)]
pub struct RunArguments {
    /// Only this namespace is watched; empty means all of them.
    #[arg(long, env = "WATCH_NAMESPACE", default_value = "")]
    pub watch_namespace: String,
    /// Image of the auth server, where an AuthService names none.
    #[arg(long, env = "SERVER_IMAGE", default_value = concat!("ghcr.io/latchkey-dev/latchkey-server:", env!("CARGO_PKG_VERSION")))]
    pub server_image: String,
    /// Image of the embedded PostgreSQL; it has to follow the official image's contract.
    #[arg(long, env = "EMBEDDED_POSTGRES_IMAGE", default_value = "docker.io/library/postgres:17")]
    pub postgres_image: String,
    /// Image of the embedded Valkey.
    #[arg(long, env = "EMBEDDED_VALKEY_IMAGE", default_value = "docker.io/valkey/valkey:8.1")]
    pub valkey_image: String,
    /// Address of /livez, /readyz and /metrics.
    #[arg(long, env = "LISTEN_ADDR", default_value = "0.0.0.0:8080")]
    pub listen_addr: SocketAddr,
    /// Whether to hold an election, so that of several replicas only one works.
    #[arg(long, env = "LEADER_ELECT", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub leader_elect: bool,
    /// This pod's name, for the election and for events; default: the host's name.
    #[arg(long, env = "POD_NAME")]
    pub pod_name: Option<String>,
    /// The namespace of the election's Lease; default: the one the client is configured with.
    #[arg(long, env = "POD_NAMESPACE")]
    pub pod_namespace: Option<String>,
    /// The least severe level that is logged: error, warn, info, debug, trace, or a tracing filter.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// The shape of a log line.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a person's terminal.
    Text,
}
