//! The command line.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use crate::label_selector::LabelSelectorOption;

/// Runs the Latchkey operator, which keeps an authentication server running for each AuthService of a cluster.
#[derive(Debug, Parser)]
#[command(name = "latchkey-operator", version, propagate_version = true)]
pub struct Arguments {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of the operator.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the operator until SIGTERM or SIGINT arrives.
    ///
    /// The operator works on the cluster that KUBECONFIG names, or on the cluster whose pod it runs in. Each option can
    /// also be set by the environment variable beside it.
    Run(Box<RunArguments>),
    /// Prints the CustomResourceDefinition of AuthService as YAML.
    Crds,
}

/// Options of `run`. Each has an environment variable of the same name.
#[derive(Debug, Clone, Args)]
pub struct RunArguments {
    /// A namespace to watch; the option may be repeated. Without one the operator watches all namespaces.
    #[arg(long, env = "WATCH_NAMESPACE", value_delimiter = ',')]
    pub watch_namespace: Vec<String>,
    /// The class of this operator: it reconciles AuthServices with this spec.operatorClass. Without a class it
    /// reconciles those that name none.
    #[arg(long, env = "OPERATOR_CLASS", default_value = "", value_parser = operator_class)]
    pub operator_class: String,
    /// A label selector, such as team=a,tier in (gold,silver): the operator reconciles only AuthServices with these
    /// labels.
    #[arg(long, env = "SELECTOR", default_value = "")]
    pub selector: LabelSelectorOption,
    /// The name of an image pull secret that all pods use, in the namespace of their AuthService; the option may be
    /// repeated.
    #[arg(long = "image-pull-secret", env = "IMAGE_PULL_SECRET", value_name = "NAME", value_delimiter = ',')]
    pub image_pull_names: Vec<String>,
    /// The registry, with an optional path, from which all images are pulled instead of their own registries.
    #[arg(long, env = "IMAGE_REGISTRY", default_value = "")]
    pub image_registry: String,
    /// The image of the auth server for each AuthService that names none.
    #[arg(long, env = "SERVER_IMAGE", default_value = concat!("ghcr.io/latchkey-dev/latchkey-server:", env!("CARGO_PKG_VERSION")))]
    pub server_image: String,
    /// The image of the embedded PostgreSQL; it must follow the contract of the official image.
    #[arg(long, env = "EMBEDDED_POSTGRES_IMAGE", default_value = "docker.io/library/postgres:17")]
    pub postgres_image: String,
    /// The image of the embedded Valkey; it must follow the contract of the official image.
    #[arg(long, env = "EMBEDDED_VALKEY_IMAGE", default_value = "docker.io/valkey/valkey:8.1")]
    pub valkey_image: String,
    /// Whether pods name their user and groups. Set it to false on a cluster whose admission assigns them, such as OpenShift
    /// with its SecurityContextConstraints.
    #[arg(long, env = "ASSIGN_POD_USERS", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub assign_pod_users: bool,
    /// The maximum number of AuthServices that are migrated and rolled out at a time because the operator changed, such
    /// as a new default image. The others wait.
    #[arg(long, env = "MAX_ROLLOUTS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_rollouts: u16,
    /// The address that serves /livez, /readyz and /metrics. [::] is every address of both families.
    #[arg(long, env = "LISTEN_ADDR", default_value = "[::]:8080")]
    pub listen_addr: SocketAddr,
    /// Whether the replicas elect a leader; only the leader reconciles.
    #[arg(long, env = "LEADER_ELECT", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub leader_elect: bool,
    /// The name of this pod in the leader election and in events; the host name is used if it is absent.
    #[arg(long, env = "POD_NAME")]
    pub pod_name: Option<String>,
    /// The namespace of the leader election's Lease; the namespace of the client's configuration is used if it is absent.
    #[arg(long, env = "POD_NAMESPACE")]
    pub pod_namespace: Option<String>,
    /// The least severe level that is logged (error, warn, info, debug or trace), or a tracing filter.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// The format of log lines.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Each line is a JSON object.
    Json,
    /// Each line is text for a terminal.
    Text,
}

/// A class is part of the name of a Lease.
fn operator_class(class: &str) -> Result<String, String> {
    let valid = class.len() <= 40
        && class.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !class.starts_with('-')
        && !class.ends_with('-');
    valid.then(|| class.to_owned()).ok_or_else(|| {
        "use at most 40 lower-case letters, digits and '-', as in spec.operatorClass".to_owned()
    })
}
