//! The command line.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The operator for AuthServices: runs their auth servers.
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
    /// Run the operator. It uses the kubeconfig, or the service account of its pod.
    Run(Box<RunArguments>),
    /// Print the CustomResourceDefinition of AuthService as YAML.
    Crds,
}

/// Options of `run`. Each has an environment variable of the same name.
#[derive(Debug, Clone, Args)]
pub struct RunArguments {
    /// The namespace to watch; empty means all namespaces.
    #[arg(long, env = "WATCH_NAMESPACE", default_value = "")]
    pub watch_namespace: String,
    /// Default image of the auth server.
    #[arg(long, env = "SERVER_IMAGE", default_value = concat!("ghcr.io/latchkey-dev/latchkey-server:", env!("CARGO_PKG_VERSION")))]
    pub server_image: String,
    /// Image of the embedded PostgreSQL; it must be compatible with the official image.
    #[arg(long, env = "EMBEDDED_POSTGRES_IMAGE", default_value = "docker.io/library/postgres:17")]
    pub postgres_image: String,
    /// Image of the embedded Valkey.
    #[arg(long, env = "EMBEDDED_VALKEY_IMAGE", default_value = "docker.io/valkey/valkey:8.1")]
    pub valkey_image: String,
    /// Listen address of /livez, /readyz and /metrics.
    #[arg(long, env = "LISTEN_ADDR", default_value = "0.0.0.0:8080")]
    pub listen_addr: SocketAddr,
    /// Enable leader election, so that only one of several replicas is active.
    #[arg(long, env = "LEADER_ELECT", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub leader_elect: bool,
    /// Name of this pod, for leader election and events; default: the host name.
    #[arg(long, env = "POD_NAME")]
    pub pod_name: Option<String>,
    /// Namespace of the leader election Lease; default: the namespace of the client configuration.
    #[arg(long, env = "POD_NAMESPACE")]
    pub pod_namespace: Option<String>,
    /// Log level: error, warn, info, debug or trace, or a tracing filter.
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
