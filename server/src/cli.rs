//! The command line of the auth server.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use latchkey_config::{Environment, LONGEST_LINE, PasswordPolicy, References, Settings, shorten_text};
use latchkey_keyset::{Algorithm, Phase, PrivateKeySet};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;
use crate::commands::{self, DatabaseConnection, ImportArguments, SuperuserArguments, print_line};
use crate::start_inputs::{Faults, StartInputs};
use crate::store::{Migrated, Progress, Store};
use crate::{check, crypto, http, store, telemetry};

/// Runs the Latchkey authentication server or one of its maintenance commands.
///
/// Settings come from environment variables, which docs/reference/settings.md lists. Each secret may be given as NAME_FILE, the
/// path of a file that contains it, instead.
#[derive(Parser)]
#[command(name = "latchkey-server", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Subcommand)]
enum Command {
    /// Serves the API and the management port until SIGTERM or SIGINT arrives.
    Serve,
    /// Updates the database schema to the version of this release.
    ///
    /// The command needs DATABASE_URL, and EXTRA_CA_FILE if it is set. Servers of the previous release keep running
    /// while the schema changes. It does nothing if the schema is up to date.
    Migrate,
    /// Prints which schema versions this server can use, and which servers can use the schema that it creates.
    Schema,
    /// Prints a new private key set for JWT_KEYS_FILE; store the output as a secret.
    Keygen {
        /// The signature algorithm of the key.
        #[arg(long, value_enum, default_value_t = KeyAlgorithm::Es256)]
        algorithm: KeyAlgorithm,
    },
    /// Prints the OpenAPI 3.1 document of the API.
    Openapi,
    /// Checks the settings and each dependency, and reports everything that is wrong.
    ///
    /// The exit status is 1 if any check failed.
    Check,
    /// Manages accounts.
    #[command(subcommand)]
    Users(UsersCommand),
    /// Manages superusers, who may administer all accounts.
    #[command(subcommand)]
    Superuser(SuperuserCommand),
    /// Manages the sessions of all accounts.
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// Shows the e-mails that the server sends.
    #[command(subcommand)]
    Mail(commands::mail_preview::MailCommand),
}

#[derive(Clone, Subcommand)]
enum UsersCommand {
    /// Imports accounts from another system.
    ///
    /// Each record of a JSON lines or CSV file has an email and may have: username, name, password_hash (in the format of
    /// the other system; an account without one has no password yet), is_superuser (default false), is_active (default
    /// true), email_verified (default false), locale. docs/how-to/import-accounts.md lists the supported export files and
    /// password hashes. An account that already exists is left unchanged, so an import that ended early can be run
    /// again. The command needs DATABASE_URL, and EXTRA_CA_FILE if it is set. The exit status is 1 if any record was
    /// refused.
    Import(ImportArguments),
}

#[derive(Clone, Subcommand)]
enum SuperuserCommand {
    /// Creates a superuser, for example if no administrator can log in any more.
    ///
    /// The command asks for the password if standard input is a terminal, and otherwise reads it from the first line
    /// of standard input. It needs DATABASE_URL, and EXTRA_CA_FILE and the password policy if they are set.
    Create(SuperuserArguments),
}

#[derive(Clone, Copy, Subcommand)]
enum SessionsCommand {
    /// Ends every session and revokes every token, for example after a backup was restored.
    ///
    /// The command needs DATABASE_URL, and EXTRA_CA_FILE if it is set.
    EndAll,
}

#[derive(Clone, Copy, ValueEnum)]
enum KeyAlgorithm {
    /// The key is for ECDSA on the curve P-256.
    #[value(name = "ES256")]
    Es256,
    /// The key is for Ed25519.
    #[value(name = "EdDSA")]
    EdDsa,
    /// The key is for RSA with 2048 bits.
    #[value(name = "RS256")]
    Rs256,
}

/// Runs the command that the arguments of this process name.
pub fn run() -> ExitCode {
    crypto::install_provider();
    match run_command(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            // One sentence a line; the chain's parts hold no secret.
            for fault in format!("{error:#}").lines() {
                let text = shorten_text(fault, LONGEST_LINE / 2);
                let _ = writeln!(std::io::stderr(), "latchkey-server: {text}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run_command(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Keygen { algorithm } => print_key_set(algorithm)?,
        Command::Openapi => print_line(&http::openapi_document().to_pretty_json()?)?,
        Command::Migrate => runtime()?.block_on(migrate())?,
        Command::Schema => print_line(&format!(
            "needs schema version {0} or a newer one that is declared to be fit for servers that know version {0}\nmakes schema version {0}, which servers that know version {1} or later can use",
            store::REQUIRED_SCHEMA_VERSION,
            store::OLDEST_TOLERATED_SERVER
        ))?,
        Command::Check => return runtime()?.block_on(run_check()),
        Command::Serve => runtime()?.block_on(serve())?,
        Command::Users(UsersCommand::Import(arguments)) => {
            return runtime()?
                .block_on(async { commands::import_users(&open_store().await?, &arguments).await });
        }
        Command::Superuser(SuperuserCommand::Create(arguments)) => runtime()?.block_on(async {
            let variables = variables()?;
            let mut faults = Faults::default();
            let policy = faults.keep(PasswordPolicy::from_variables(&variables));
            let connection = faults.keep(DatabaseConnection::from_variables(&variables));
            let (Some(policy), Some(connection)) = (policy, connection) else { return Err(faults.into()) };
            commands::create_superuser(&commands::open_store(&connection).await?, arguments, &policy).await
        })?,
        Command::Sessions(SessionsCommand::EndAll) => {
            runtime()?.block_on(async { commands::end_all_sessions(&open_store().await?).await })?;
        }
        Command::Mail(command) => commands::mail_preview::run(&command)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime cannot start")
}

fn environment() -> Environment {
    Environment::new(std::env::vars_os())
}

fn variables() -> anyhow::Result<BTreeMap<String, String>> {
    Ok(environment().into_variables()?)
}

/// The database of a command that needs no other setting.
async fn open_store() -> anyhow::Result<Store> {
    commands::open_store(&DatabaseConnection::from_variables(&variables()?)?).await
}

/// Reads the settings. If some are not valid, the others are checked all the same, so that one start names every fault.
fn settings() -> anyhow::Result<Settings> {
    Settings::from_environment(&environment()).map_err(|errors| {
        let mut faults = Faults::default();
        let references = errors.references().clone();
        faults.add(errors);
        if let Err(more) = StartInputs::read(&references)
            && !more.is_empty()
        {
            faults.add(more);
        }
        faults.into()
    })
}

async fn serve() -> anyhow::Result<()> {
    let settings = settings()?;
    let mut faults = Faults::default();
    let telemetry = faults.keep(telemetry::start(&settings));
    let inputs = faults.keep(StartInputs::read(&References::from(&settings)));
    let (Some(_telemetry), Some(inputs)) = (telemetry, inputs) else { return Err(faults.into()) };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let app = App::start(&settings, inputs)?;
    tracing::info!(
        api_addr = %app.api_addr,
        management_addr = %app.management_addr,
        version = env!("CARGO_PKG_VERSION"),
        "listening"
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("shutting down");
    app.stop().await;
    tracing::info!("stopped");
    Ok(())
}

async fn migrate() -> anyhow::Result<()> {
    // Only these settings: the Job that migrates needs no others.
    let connection = DatabaseConnection::from_variables(&variables()?)?;
    let report = |line: &str| {
        // A closed pipe must not end a migration.
        let _ = writeln!(std::io::stderr(), "{line}");
    };
    let Migrated { version, is_behind_pooler } =
        store::migrate(connection.url.expose(), &connection.roots, Progress::new(&report)).await?;
    print_line(&format!("the schema is at version {version}"))?;
    if is_behind_pooler {
        print_line(
            "a connection pooler may hide connected servers of older releases: use a direct URL to skip releases",
        )?;
    }
    Ok(())
}

async fn run_check() -> anyhow::Result<ExitCode> {
    let settings = settings()?;
    let findings = check::check(&settings).await;
    let mut code = ExitCode::SUCCESS;
    for finding in findings {
        match finding.outcome {
            Ok(message) => {
                let word = if finding.is_warning { "warn " } else { "ok   " };
                print_line(&format!("{word} {}: {message}", finding.subject))?;
            }
            Err(message) => {
                code = ExitCode::FAILURE;
                print_line(&format!("FAIL  {}: {message}", finding.subject))?;
            }
        }
    }
    Ok(code)
}

fn print_key_set(algorithm: KeyAlgorithm) -> anyhow::Result<()> {
    let algorithm = match algorithm {
        KeyAlgorithm::Es256 => Algorithm::Es256,
        KeyAlgorithm::EdDsa => Algorithm::EdDsa,
        KeyAlgorithm::Rs256 => Algorithm::Rs256,
    };
    let key = latchkey_keyset::generate(algorithm, Phase::Active)?;
    print_line(&PrivateKeySet::new(vec![key])?.to_json())
}
