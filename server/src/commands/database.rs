//! The database of a command that needs no other settings than those of its connection.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::bail;
use latchkey_config::{SecretSource, SecretText};

use crate::secrets::read_secret;
use crate::store::{Store, describe_unfit};
use crate::trusted_roots::TrustedRoots;

/// `DATABASE_URL`, or the text of `DATABASE_URL_FILE`.
///
/// # Errors
/// Neither is set, both are, or the file cannot be read.
pub fn database_url(variables: &BTreeMap<String, String>) -> anyhow::Result<SecretText> {
    let given = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let source = match (given("DATABASE_URL"), given("DATABASE_URL_FILE")) {
        (Some(_), Some(_)) => bail!("DATABASE_URL and DATABASE_URL_FILE are both set; give only one of them"),
        (Some(url), None) => SecretSource::inline(url),
        (None, Some(path)) => SecretSource::File(path.into()),
        (None, None) => {
            bail!("DATABASE_URL is required but not set (a path may be given as DATABASE_URL_FILE)")
        }
    };
    Ok(read_secret("DATABASE_URL", &source)?)
}

/// The authorities of `EXTRA_CA_FILE`.
///
/// # Errors
/// The file cannot be read or is not valid.
pub fn trusted_roots(variables: &BTreeMap<String, String>) -> anyhow::Result<TrustedRoots> {
    let file = variables.get("EXTRA_CA_FILE").filter(|path| !path.is_empty());
    Ok(TrustedRoots::read(file.map(Path::new))?)
}

/// The store, of a schema that this binary knows.
///
/// # Errors
/// It does not answer, is not migrated, or only newer releases can use it.
pub async fn open_store(variables: &BTreeMap<String, String>) -> anyhow::Result<Store> {
    let store = Store::connect_lazily(database_url(variables)?.expose(), 2, &trusted_roots(variables)?)?;
    if let Some(reason) = describe_unfit(&store.schema().await?) {
        bail!(reason);
    }
    Ok(store)
}
