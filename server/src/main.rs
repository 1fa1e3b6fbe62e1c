//! The command line of the auth server.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand, ValueEnum};
use latchkey_config::{SecretSource, Settings, variables};
use latchkey_keyset::{Algorithm, Phase, PrivateKeySet};
use latchkey_server::app::App;
use latchkey_server::secrets::read_secret;
use latchkey_server::{check, crypto, http, store, telemetry};
use tokio::signal::unix::{SignalKind, signal};

/// The Latchkey auth server. Settings come from environment variables; each secret may be given as NAME_FILE, a
/// path, instead.
#[derive(Parser)]
#[command(name = "latchkey-server", version, about, long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Subcommand)]
enum Command {
    /// Serve the API and the management port until SIGTERM or SIGINT
    Serve,
    /// Bring the database's schema up to date (needs DATABASE_URL only)
    Migrate,
    /// Print a new key set for JWT_KEYS_FILE; it is a secret
    Keygen {
        /// Signature algorithm of the key
        #[arg(long, value_enum, default_value_t = KeyAlgorithm::Es256)]
        algorithm: KeyAlgorithm,
    },
    /// Print the OpenAPI 3.1 document
    Openapi,
    /// Read the settings, try each dependency and say what is wrong
    Check,
}

#[derive(Clone, Copy, ValueEnum)]
enum KeyAlgorithm {
    /// ECDSA on P-256
    #[value(name = "ES256")]
    Es256,
    /// Ed25519
    #[value(name = "EdDSA")]
    EdDsa,
    /// RSA with 2048 bits
    #[value(name = "RS256")]
    Rs256,
}

fn main() -> ExitCode {
    crypto::install_provider();
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            // One sentence; the chain's parts hold no secret.
            let _ = writeln!(std::io::stderr(), "latchkey-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Keygen { algorithm } => print_key_set(algorithm)?,
        Command::Openapi => print_line(&http::openapi_document().to_pretty_json()?)?,
        Command::Migrate => runtime()?.block_on(migrate())?,
        Command::Check => return runtime()?.block_on(run_check()),
        Command::Serve => runtime()?.block_on(serve())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime cannot start")
}

/// The process's environment. What is not ours may be anything; what is ours must be text.
fn environment() -> anyhow::Result<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => _ = variables.insert(name, value),
            Err(_)
                if variables::ALL.contains(&name.trim_end_matches("_FILE"))
                    || name == variables::JWT_KEYS_FILE =>
            {
                bail!("{name} is not valid: it is not UTF-8 text")
            }
            Err(_) => {}
        }
    }
    Ok(variables)
}

async fn serve() -> anyhow::Result<()> {
    let settings = Settings::from_variables(&environment()?)?;
    let _telemetry = telemetry::start(&settings)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let app = App::start(&settings).await?;
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
    let variables = environment()?;
    let given = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    // Only this setting: the Job that migrates needs no others.
    let source = match (given("DATABASE_URL"), given("DATABASE_URL_FILE")) {
        (Some(_), Some(_)) => bail!("DATABASE_URL and DATABASE_URL_FILE are both set; give only one of them"),
        (Some(url), None) => SecretSource::inline(url),
        (None, Some(path)) => SecretSource::File(path.into()),
        (None, None) => {
            bail!("DATABASE_URL is required but not set (a path may be given as DATABASE_URL_FILE)")
        }
    };
    let url = read_secret("DATABASE_URL", &source)?;
    let version = store::migrate(url.expose()).await?;
    print_line(&format!("the schema is at version {version}"))
}

async fn run_check() -> anyhow::Result<ExitCode> {
    let settings = Settings::from_variables(&environment()?)?;
    let findings = check::check(&settings).await;
    let mut code = ExitCode::SUCCESS;
    for finding in findings {
        match finding.outcome {
            Ok(message) => print_line(&format!("ok    {}: {message}", finding.subject))?,
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

/// A closed pipe is the reader's business, not a panic.
fn print_line(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("the output cannot be written")
}
