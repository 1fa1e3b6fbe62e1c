//! What the server reads and checks before it starts, so that one start names every fault of its settings.

use std::fmt;
use std::sync::Arc;

use anyhow::Context as _;
use latchkey_config::account_rules::MIN_CLIENT_SECRET_BYTES;
use latchkey_config::{ClientCertificate, PasswordPolicy, References, SecretSource, SecretText};

use crate::client_registry::ClientRegistry;
use crate::crypto::{ClientSecret, KeyRing};
use crate::database_url::read_database_url;
use crate::domain::Password;
use crate::http::tls::ServerTls;
use crate::mail::{MailSender, Templates};
use crate::redis_connection::RedisConnection;
use crate::secrets::read_secret;
use crate::service::{FirstSuperuserError, UserForm, check_first_superuser};
use crate::store::Store;
use crate::trusted_roots::TrustedRoots;

/// Collects faults instead of stopping at the first one.
#[derive(Debug, Default)]
pub struct Faults(Vec<String>);

impl Faults {
    /// Notes a fault. An error that is itself a list has a line for each fault.
    pub fn add(&mut self, error: impl Into<anyhow::Error>) {
        let error: anyhow::Error = error.into();
        self.0.extend(format!("{error:#}").lines().map(str::to_owned));
    }

    /// The value, or `None` after its fault was noted.
    pub fn keep<T>(&mut self, result: Result<T, impl Into<anyhow::Error>>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    /// What was noted, one sentence each.
    pub fn into_sentences(self) -> Vec<String> {
        self.0
    }

    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Faults {}

/// Everything that is made of files and secrets. Nothing in it has been connected yet.
pub struct StartInputs {
    /// As it was when the store was made.
    pub database_url: SecretText,
    pub store: Store,
    pub redis: Arc<RedisConnection>,
    /// The signing keys, loaded.
    pub ring: Arc<KeyRing>,
    /// The registered OAuth clients, loaded if they can be.
    pub clients: Arc<ClientRegistry>,
    /// What terminates TLS on the API port.
    pub tls: Option<Arc<ServerTls>>,
    /// What sends mail, and its texts, when mail is on.
    pub mail: Option<(MailSender, Templates)>,
    /// The client that may introspect tokens.
    pub introspection_client: Option<ClientSecret>,
    /// What imported passwords were hashed with.
    pub password_pepper: Option<SecretText>,
    /// The account to make when no superuser exists.
    pub first_superuser: Option<UserForm>,
}

impl StartInputs {
    /// Reads all of them.
    ///
    /// # Errors
    /// One sentence for each file that cannot be read and each value that breaks a rule.
    pub fn read(references: &References) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let roots = faults.keep(TrustedRoots::read(references.extra_ca_file.as_deref()));
        // The faults of the rest do not depend on which authorities are trusted.
        let roots = roots.unwrap_or_default();
        let database = references.database_url.as_ref();
        let database = database.and_then(|source| faults.keep(open_store(source, references, &roots)));
        let redis_url = references.redis_url.as_ref();
        let redis = redis_url.and_then(|source| {
            faults.keep(redis_connection(source, &roots, references.redis_client_certificate.as_ref()))
        });
        let keys = references.jwt_keys_file.as_ref();
        let ring = keys.and_then(|file| {
            let ring = KeyRing::new(file.clone());
            // A bad set at start is an error to be seen at once; later a bad one leaves the last good one in use.
            faults.keep(ring.reload()).map(|_| ring)
        });
        let clients = ClientRegistry::new(references.clients_file.clone());
        // A bad registry keeps only clients out, not people. It is reported once the server runs.
        let _ = clients.reload();
        let tls = references.tls.as_ref().and_then(|files| faults.keep(ServerTls::read(files))).map(Arc::new);
        let mail = mail(references, &roots, &mut faults);
        let introspection_client = faults.keep(introspection_client(references)).flatten();
        let pepper = references.imported_password_pepper.as_ref();
        let password_pepper =
            pepper.and_then(|source| faults.keep(read_secret("IMPORTED_PASSWORD_PEPPER", source)));
        let first_superuser = faults.keep(first_superuser_form(references)).flatten();
        match (database, redis, ring) {
            (Some((database_url, store)), Some(redis), Some(ring)) if faults.is_empty() => Ok(Self {
                database_url,
                store,
                redis,
                ring,
                clients,
                tls,
                mail,
                introspection_client,
                password_pepper,
                first_superuser,
            }),
            _ => Err(faults),
        }
    }
}

fn open_store(
    source: &SecretSource,
    references: &References,
    roots: &TrustedRoots,
) -> anyhow::Result<(SecretText, Store)> {
    let url = read_database_url(source, references.database_client_certificate.as_ref())?;
    let pool_size = references.database_pool_size.get();
    let store = Store::connect_replica_lazily(url.expose(), pool_size, roots)?;
    Ok((url, store))
}

fn redis_connection(
    source: &SecretSource,
    roots: &TrustedRoots,
    certificate: Option<&ClientCertificate>,
) -> anyhow::Result<Arc<RedisConnection>> {
    let url = read_secret("REDIS_URL", source)?;
    Ok(Arc::new(RedisConnection::new(url.expose(), roots, certificate).map_err(anyhow::Error::msg)?))
}

/// What sends mail, and its texts, if mail is on. The sender is only to be used if no fault was added.
pub fn mail(
    references: &References,
    roots: &TrustedRoots,
    faults: &mut Faults,
) -> Option<(MailSender, Templates)> {
    let email = references.email.as_ref()?;
    let credentials = email.smtp.credentials.as_ref().and_then(|login| {
        let user = faults.keep(read_secret("SMTP_USER", &login.user));
        let password = faults.keep(read_secret("SMTP_PASSWORD", &login.password));
        user.zip(password).map(|(user, password)| (user.expose().to_owned(), password.expose().to_owned()))
    });
    let sender = faults.keep(
        MailSender::new(email, references.ehlo_name.as_deref(), credentials, roots)
            .map_err(anyhow::Error::msg),
    );
    // A broken text is an error to be seen at once, not when the first message is due.
    let folder = references.mail_templates_dir.as_deref();
    let templates = faults.keep(Templates::load(folder));
    sender.zip(templates)
}

/// The client that may introspect tokens, if one is set.
///
/// # Errors
/// Its secret cannot be read or can be guessed.
pub fn introspection_client(references: &References) -> anyhow::Result<Option<ClientSecret>> {
    let Some(client) = &references.introspection_client else { return Ok(None) };
    let secret = read_secret("INTROSPECTION_CLIENT_SECRET", &client.secret)?;
    let kept = ClientSecret::new(&client.id, secret.expose()).with_context(|| {
        let least = MIN_CLIENT_SECRET_BYTES;
        format!("INTROSPECTION_CLIENT_SECRET is not valid: it must have at least {least} random characters")
    })?;
    Ok(Some(kept))
}

/// The first superuser, if one is set.
///
/// # Errors
/// Its password cannot be read, or something of it breaks the rules of accounts.
pub fn first_superuser_form(references: &References) -> anyhow::Result<Option<UserForm>> {
    let Some(first) = &references.first_superuser else { return Ok(None) };
    let password: SecretText = read_secret("FIRST_SUPERUSER_PASSWORD", &first.password)?;
    let form = UserForm {
        username: first.username.clone(),
        email: first.email.clone(),
        name: first.username.clone(),
        password: Password::presented(password.expose()),
    };
    // What is set beyond the rules that always hold is asked only of an account that is to be made: one that was made
    // before it was set is no reason not to start.
    match check_first_superuser(&form, &PasswordPolicy::default()) {
        Ok(_) => Ok(Some(form)),
        Err(FirstSuperuserError::Refused(sentences)) => Err(Faults(sentences).into()),
        Err(error) => Err(error.into()),
    }
}
