//! What a migration is told by.

use latchkey_config::SecretText;
use latchkey_crds::AuthServiceSpec;
use url::Url;

use crate::fingerprint::fingerprint;

/// All that a migration's pod is given. The debug form of the scheduling is good enough for a hash that only
/// frees a Job which has not succeeded.
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

/// Two URLs with the same host and database name the same database, whoever logs in.
pub(super) fn without_login(url: &SecretText) -> String {
    let Ok(mut url) = Url::parse(url.expose()) else { return String::new() };
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.set_query(None);
    url.to_string()
}
