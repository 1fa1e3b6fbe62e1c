//! The database connection of commands that need no other settings.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::bail;
use latchkey_config::{ClientCertificate, SecretSource, SecretText};

use crate::database_url::read_database_url;
use crate::start_inputs::Faults;
use crate::store::{Store, describe_unfit};
use crate::trusted_roots::TrustedRoots;

pub struct DatabaseConnection {
    /// `DATABASE_URL`, or the content of `DATABASE_URL_FILE`.
    pub url: SecretText,
    /// The certificate authorities of `EXTRA_CA_FILE`.
    pub roots: TrustedRoots,
}

impl DatabaseConnection {
    /// # Errors
    /// One sentence for each variable that is missing, set twice or not valid, or whose file cannot be read.
    pub fn from_variables(variables: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let mut faults = Faults::default();
        let url = faults.keep(database_url(variables));
        let file = variables.get("EXTRA_CA_FILE").filter(|path| !path.is_empty());
        let roots = faults.keep(TrustedRoots::read(file.map(Path::new)));
        let (Some(url), Some(roots)) = (url, roots) else { return Err(faults.into()) };
        Ok(Self { url, roots })
    }
}

fn database_url(variables: &BTreeMap<String, String>) -> anyhow::Result<SecretText> {
    let given = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let source = match (given("DATABASE_URL"), given("DATABASE_URL_FILE")) {
        (Some(_), Some(_)) => bail!("DATABASE_URL and DATABASE_URL_FILE are both set; give only one of them"),
        (Some(url), None) => SecretSource::inline(url),
        (None, Some(path)) => SecretSource::File(path.into()),
        (None, None) => {
            bail!("DATABASE_URL is required but not set (a path may be given as DATABASE_URL_FILE)")
        }
    };
    let certificate = match (given("DATABASE_CLIENT_CERT_FILE"), given("DATABASE_CLIENT_KEY_FILE")) {
        (Some(certificate), Some(key)) => {
            Some(ClientCertificate { certificate: certificate.into(), key: key.into() })
        }
        (None, None) => None,
        (Some(_), None) => {
            bail!("DATABASE_CLIENT_KEY_FILE is required because DATABASE_CLIENT_CERT_FILE is set")
        }
        (None, Some(_)) => {
            bail!("DATABASE_CLIENT_CERT_FILE is required because DATABASE_CLIENT_KEY_FILE is set")
        }
    };
    Ok(read_database_url(&source, certificate.as_ref())?)
}

/// Connects to the database and checks that this release supports its schema.
///
/// # Errors
/// The database does not respond, is not migrated, or has a schema that only newer releases support.
pub async fn open_store(connection: &DatabaseConnection) -> anyhow::Result<Store> {
    let store = Store::connect_lazily(connection.url.expose(), 2, &connection.roots)?;
    if let Some(reason) = describe_unfit(&store.schema().await?) {
        bail!(reason);
    }
    Ok(store)
}
