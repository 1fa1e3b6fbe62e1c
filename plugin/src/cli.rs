//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Shows, operates and checks the AuthServices of a cluster.
///
/// Exit status: 0 success; 1 the command failed, was not confirmed, or `check` found a fault; 2 wrong arguments; 3 the
/// cluster or the kind AuthService is not there; 4 the named object does not exist; 5 `--wait` timed out. `users import`
/// and `sessions end-all` end with the status of the server's command.
#[derive(Debug, Parser)]
#[command(name = "kubectl-latchkey", bin_name = "kubectl latchkey", version, propagate_version = true)]
pub struct Arguments {
    #[command(flatten)]
    pub cluster: ClusterArguments,
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The options that kubectl has too, with the same meaning.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct ClusterArguments {
    /// The namespace; the default is that of the kubeconfig's context.
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
    /// The context of the kubeconfig.
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// The path of the kubeconfig.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The cluster of the kubeconfig.
    #[arg(long, global = true)]
    pub cluster: Option<String>,
    /// The user of the kubeconfig.
    #[arg(long, global = true)]
    pub user: Option<String>,
    /// The user to impersonate.
    #[arg(long = "as", global = true, value_name = "USER")]
    pub impersonate: Option<String>,
    /// Whether output is coloured. `auto` colours it on a terminal, unless the environment variable NO_COLOR is set.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always, also in a file.
    Always,
    /// Output is never coloured.
    Never,
}

/// The format of structured output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A JSON document.
    Json,
    /// A YAML document.
    Yaml,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows conditions, signing keys and replicas, and what each replica waits for.
    Status(StatusArguments),
    /// Starts a rotation of the signing keys. No user has to log in again.
    RotateKeys(KeysArguments),
    /// Replaces all signing keys now, for example after a theft. Every user has to log in again.
    RevokeKeys(KeysArguments),
    /// Commands for sessions.
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// Commands for accounts.
    #[command(subcommand)]
    Users(UsersCommand),
    /// Commands for OAuth clients (AuthClients).
    #[command(subcommand)]
    Clients(ClientsCommand),
    /// Prints the logs of all replicas, merged by time, each line with the name of its pod.
    Logs(LogsArguments),
    /// Checks what would fail if an AuthService were applied: its fields, permissions, kinds, references, quotas and stores.
    ///
    /// Nothing is changed: the API server checks the AuthService and its pods in a dry run. Values of Secrets are read to
    /// compare keys and to find the hosts of the stores; they are never printed. The exit status is 1 if a check failed.
    Check(CheckArguments),
    /// Writes an archive for a support request: objects, events, logs and versions, without secrets.
    ///
    /// Values of Secrets, environment variables, unknown annotations and passwords in URLs are removed. Every value of a
    /// Secret of the namespace is also removed wherever else it occurs, for example in a log line. Read the archive before
    /// you send it.
    SupportBundle(BundleArguments),
    /// Prints the script with which kubectl completes the arguments of this plugin.
    ///
    /// Save it as an executable file `kubectl_complete-latchkey` in a folder of PATH.
    Completion,
    /// Prints candidates for a completion.
    #[command(name = "__complete", hide = true)]
    Complete {
        /// The words of the command line; the last one is being completed.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// The AuthService; without it, all AuthServices of the namespace.
    pub name: Option<String>,
    /// Shows the AuthServices of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "name")]
    pub all_namespaces: bool,
    /// Prints the status in this format.
    #[arg(short, long, value_enum)]
    pub output: Option<Format>,
    /// Prints the status again after each change, until it is interrupted.
    #[arg(short, long)]
    pub watch: bool,
}

/// Arguments of `rotate-keys` and `revoke-keys`.
#[derive(Debug, Args)]
pub struct KeysArguments {
    /// The AuthService.
    pub name: String,
    /// Does not ask for confirmation.
    #[arg(short, long)]
    pub yes: bool,
    /// Waits until the new key signs, and prints each change of a key.
    #[arg(long)]
    pub wait: bool,
    /// How long `--wait` waits, such as 30m.
    #[arg(long, default_value = "30m", value_parser = parse_duration)]
    pub timeout: Duration,
}

/// The commands for sessions.
#[derive(Debug, Subcommand)]
pub enum SessionsCommand {
    /// Ends all sessions and invalidates all tokens, for example after a restore.
    ///
    /// It runs `latchkey-server sessions end-all` in a server pod by `kubectl exec`.
    EndAll(EndAllArguments),
}

/// Arguments of `sessions end-all`.
#[derive(Debug, Args)]
pub struct EndAllArguments {
    /// The AuthService.
    pub name: String,
    /// Does not ask for confirmation.
    #[arg(short, long)]
    pub yes: bool,
}

/// The commands for OAuth clients.
#[derive(Debug, Subcommand)]
pub enum ClientsCommand {
    /// Lists AuthClients: whether every replica accepts them, the age of their secrets, and when these are rotated.
    List(ClientListArguments),
    /// Shows conditions and warnings of an AuthClient, the age of its secret, and requests that are not finished.
    ///
    /// The value of the secret is not read.
    Status(ClientStatusArguments),
    /// Generates a new client secret. The previous one works for the time of spec.secret.overlap.
    Rotate(ClientRequestArguments),
    /// Revokes the client secrets before the current one, for example after a theft, with their access tokens.
    ///
    /// Applications that have not read the current secret yet lose access.
    RevokePrevious(ClientRequestArguments),
}

/// Arguments of `clients list`.
#[derive(Debug, Args)]
pub struct ClientListArguments {
    /// Lists the AuthClients of all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Prints the list in this format.
    #[arg(short, long, value_enum)]
    pub output: Option<Format>,
}

/// Arguments of `clients status`.
#[derive(Debug, Args)]
pub struct ClientStatusArguments {
    /// The AuthClient.
    #[arg(value_name = "NAME")]
    pub client: String,
    /// Prints the status in this format.
    #[arg(short, long, value_enum)]
    pub output: Option<Format>,
}

/// Arguments of `clients rotate` and `clients revoke-previous`.
#[derive(Debug, Args)]
pub struct ClientRequestArguments {
    /// The AuthClient.
    #[arg(value_name = "NAME")]
    pub client: String,
    /// Does not ask for confirmation.
    #[arg(short, long)]
    pub yes: bool,
    /// Waits until every replica has followed, and prints each change.
    #[arg(long)]
    pub wait: bool,
    /// How long `--wait` waits, such as 10m.
    #[arg(long, default_value = "10m", value_parser = parse_duration)]
    pub timeout: Duration,
}

/// The commands for accounts.
#[derive(Debug, Subcommand)]
pub enum UsersCommand {
    /// Imports accounts from a file of this machine.
    ///
    /// It streams the file into `latchkey-server users import -` in a server pod by `kubectl exec`, prints the output of
    /// that command and ends with its status.
    Import(ImportArguments),
}

/// Arguments of `users import`.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The AuthService.
    pub name: String,
    /// The file to import; `-` is standard input.
    pub file: PathBuf,
    /// The format of the file; `latchkey-server users import --help` lists them [default: determined by the extension .jsonl,
    /// .ndjson or .csv].
    #[arg(long)]
    pub format: Option<String>,
    /// Writes each refused record to this file of this machine, as JSON lines with line or record, username and reason.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Checks the file and imports nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Counts every address of the file as verified.
    #[arg(long)]
    pub assume_verified: bool,
    /// A file with the hash parameters of Firebase. It is sent in front of FILE.
    #[arg(long, value_name = "FILE")]
    pub hash_config: Option<PathBuf>,
    /// Auth0's export of password hashes, if FILE is its export of users. The hashes are added to the users that are sent.
    #[arg(long, value_name = "FILE", conflicts_with = "hash_config")]
    pub password_hashes: Option<PathBuf>,
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub struct LogsArguments {
    /// The AuthService.
    pub name: String,
    /// Prints new lines until it is interrupted, also of pods that start later and of containers that start again.
    #[arg(short, long)]
    pub follow: bool,
    /// Only lines that are younger than this, such as 10m.
    #[arg(long, value_parser = parse_duration)]
    pub since: Option<Duration>,
    /// Only this number of last lines of each pod.
    #[arg(long)]
    pub tail: Option<i64>,
    /// The log of the containers before their last restart.
    #[arg(short, long, conflicts_with = "follow")]
    pub previous: bool,
    /// Prints the time at which the node received each line.
    #[arg(long)]
    pub timestamps: bool,
    /// The pods whose logs are printed.
    #[arg(long, value_enum, default_value_t = Component::Server)]
    pub component: Component,
}

/// The pods of an AuthService, by their purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Component {
    /// The replicas of the server.
    Server,
    /// The migration of the database schema.
    Migration,
    /// The embedded PostgreSQL.
    Postgres,
    /// The embedded Valkey.
    Redis,
    /// All of them.
    All,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// An AuthService that exists.
    #[arg(required_unless_present = "filename", conflicts_with = "filename")]
    pub name: Option<String>,
    /// A manifest with the AuthService; `-` is standard input. Secrets and ConfigMaps in it count as applied.
    #[arg(short, long, value_name = "FILE")]
    pub filename: Option<PathBuf>,
    /// Prints the result in this format.
    #[arg(short, long, value_enum)]
    pub output: Option<Format>,
    /// Does not connect to the stores from this machine.
    #[arg(long)]
    pub no_connections: bool,
}

/// Arguments of `support-bundle`.
#[derive(Debug, Args)]
pub struct BundleArguments {
    /// The AuthService; without it, all AuthServices of the namespace.
    pub name: Option<String>,
    /// The archive to write. It must not exist.
    #[arg(short, long, value_name = "FILE", default_value = "latchkey-support.tar.gz")]
    pub output: PathBuf,
    /// Only log lines that are younger than this, such as 24h.
    #[arg(long, default_value = "24h", value_parser = parse_duration)]
    pub since: Duration,
    /// The namespace of the operator; without it, the plugin looks for the operator in all namespaces.
    #[arg(long)]
    pub operator_namespace: Option<String>,
}

/// `1h30m`: numbers with h, m or s.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("`{text}` is not a duration such as 90s, 10m or 1h30m");
    let (mut total, mut digits) = (0_u64, String::new());
    for character in text.chars() {
        let unit = match character {
            '0'..='9' => {
                digits.push(character);
                continue;
            }
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return Err(refused()),
        };
        let number: u64 = digits.parse().map_err(|_| refused())?;
        total = number.checked_mul(unit).and_then(|part| total.checked_add(part)).ok_or_else(refused)?;
        digits.clear();
    }
    if total == 0 || !digits.is_empty() {
        return Err(refused());
    }
    Ok(Duration::from_secs(total))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn durations_are_numbers_with_units() {
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "0s", "10", "m", "1d", "-1m", "99999999999999999999h", "9999999999999999999h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
