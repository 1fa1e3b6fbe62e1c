//! `latchkey-server check`: tries each dependency once and reports the result.

use chrono::Utc;
use latchkey_config::{References, Settings};

use crate::client_registry::{ClientRegistry, Loaded};
use crate::crypto::KeyRing;
use crate::database_url::read_database_url;
use crate::domain::clock::ClockOffset;
use crate::http::tls::ServerTls;
use crate::readiness::{CLOCK_AGREES, describe_clock};
use crate::redis_connection::{ConnectionState, RedisConnection};
use crate::secrets::read_secret;
use crate::start_inputs::{Faults, first_superuser_form, introspection_client, mail};
use crate::store::{Store, describe_unfit};
use crate::trusted_roots::TrustedRoots;

/// The result of one check.
pub struct Finding {
    /// The name of the dependency.
    pub subject: &'static str,
    /// Success, or the fault.
    pub outcome: Result<String, String>,
    /// Whether a success is one that calls for a change of the settings.
    pub is_warning: bool,
}

/// Checks every dependency that the settings name.
pub async fn check(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |subject, outcome| findings.push(Finding { subject, outcome, is_warning: false });
    let roots = match TrustedRoots::read(settings.extra_ca_file.as_deref()) {
        Ok(roots) => roots,
        Err(error) => {
            find("certificate authorities", Err(error.to_string()));
            TrustedRoots::default()
        }
    };
    let certificate = settings.database_client_certificate.as_ref();
    let store = read_database_url(&settings.database_url, certificate)
        .map_err(|error| error.to_string())
        .and_then(|url| Store::connect_lazily(url.expose(), 1, &roots).map_err(|error| error.to_string()));
    let mut excess = None;
    match &store {
        Ok(store) => {
            find("database", check_database(store).await);
            // Whether it answers at all is in the line above.
            if let Ok(Some(limit)) = store.connection_limit().await {
                excess = limit.describe_excess(settings.database_pool_size.get());
            }
            find("clock", check_clock(store).await);
        }
        Err(error) => find("database", Err(error.clone())),
    }
    find("redis", check_redis(settings, &roots).await);
    let keys = KeyRing::new(settings.jwt_keys_file.clone()).reload();
    find(
        "signing keys",
        keys.map(|keys| format!("{} loaded", keys.len())).map_err(|error| error.to_string()),
    );
    if let Some(file) = &settings.clients_file {
        let clients = ClientRegistry::new(Some(file.clone())).reload();
        let described = clients.map(|loaded| match loaded {
            Loaded::Nothing => "none registered".to_owned(),
            Loaded::Registry { clients, .. } => format!("{clients} registered"),
        });
        find("clients", described.map_err(|error| error.to_string()));
    }
    if let Some(files) = &settings.tls {
        let valid = ServerTls::read(files).map(|_| "is valid".to_owned());
        find("certificate", valid.map_err(|error| error.to_string()));
    }
    let references = References::from(settings);
    let mut faults = Faults::default();
    let sender = mail(&references, &roots, &mut faults).filter(|_| faults.is_empty());
    if let Some((sender, _)) = sender {
        let outcome = sender.check().await.map(|()| "takes mail".to_owned());
        find("mail", outcome.map_err(|error| error.to_string()));
    }
    for sentence in faults.into_sentences() {
        find("mail", Err(sentence));
    }
    let client = introspection_client(&references).map(|client| client.is_some());
    let superuser = first_superuser_form(&references).map(|form| form.is_some());
    for (subject, outcome) in [("introspection client", client), ("first superuser", superuser)] {
        match outcome {
            Ok(false) => {}
            Ok(true) => find(subject, Ok("its settings are valid".to_owned())),
            Err(error) => format!("{error:#}").lines().for_each(|fault| find(subject, Err(fault.to_owned()))),
        }
    }
    if let Some(pepper) = &settings.imported_password_pepper {
        let read = read_secret("IMPORTED_PASSWORD_PEPPER", pepper);
        let valid = "its setting is valid".to_owned();
        find("password pepper", read.map(|_| valid).map_err(|error| error.to_string()));
    }
    findings.extend(excess.map(|warning| Finding {
        subject: "connections",
        outcome: Ok(warning),
        is_warning: true,
    }));
    findings
}

async fn check_database(store: &Store) -> Result<String, String> {
    let schema = store.schema().await.map_err(|error| error.to_string())?;
    if let Some(reason) = describe_unfit(&schema) {
        return Err(reason);
    }
    let way = if store.is_behind_pooler() { " through a connection pooler" } else { "" };
    Ok(format!("answers{way}, schema version {}", schema.known()))
}

async fn check_clock(store: &Store) -> Result<String, String> {
    let asked = Utc::now();
    let database_time = store.database_time().await.map_err(|error| error.to_string())?;
    let offset = ClockOffset::measure(asked, database_time, Utc::now());
    if offset.exceeds_margin() { Err(describe_clock(offset)) } else { Ok(CLOCK_AGREES.to_owned()) }
}

async fn check_redis(settings: &Settings, roots: &TrustedRoots) -> Result<String, String> {
    let url = read_secret("REDIS_URL", &settings.redis_url).map_err(|error| error.to_string())?;
    let certificate = settings.redis_client_certificate.as_ref();
    let redis = RedisConnection::new(url.expose(), roots, certificate)?;
    // The commands of the server are tried with a key of this check.
    redis.set_key_prefix("latchkey:{check}:");
    // The state below has the fault.
    let _ = redis.ensure_connected().await;
    match redis.state() {
        ConnectionState::Up => Ok("answers, evicts nothing".to_owned()),
        ConnectionState::Lost(reason)
        | ConnectionState::Limited(reason)
        | ConnectionState::NeverUp(reason)
        | ConnectionState::Refused(reason) => Err(reason),
    }
}
