//! The inputs of a migration.

use latchkey_config::{PostgresUrl, SecretText};
use latchkey_crds::AuthServiceSpec;

use crate::fingerprint::fingerprint;

/// All inputs of the migration's pod. The debug form of the scheduling fields is sufficient for a hash that only
/// replaces a Job that has not succeeded.
pub(super) fn migration_inputs(
    spec: &AuthServiceSpec,
    image: &str,
    database: &SecretText,
    salt: &SecretText,
    trusted_cas: Option<&str>,
) -> String {
    let pod = &spec.pod;
    let scheduling = format!(
        "{:?}{:?}{:?}{:?}",
        spec.image.pull_secrets, pod.node_selector, pod.tolerations, pod.priority_class_name
    );
    let parts = [image, database.expose(), &scheduling, salt.expose()];
    fingerprint(parts.into_iter().chain(trusted_cas).map(str::as_bytes))
}

/// URLs with the same hosts and database identify the same database, independent of the user.
pub(super) fn without_login(url: &SecretText) -> String {
    let Ok(url) = PostgresUrl::parse(url.expose()) else { return String::new() };
    format!("{:?} {:?}", url.hosts, url.database.or(url.username))
}
