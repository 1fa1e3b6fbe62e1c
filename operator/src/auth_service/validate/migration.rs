//! The inputs of a migration.

use latchkey_config::SecretText;
use latchkey_crds::AuthServiceSpec;
use url::Url;

use crate::auth_service::dereference::ClientCertificate;
use crate::fingerprint::fingerprint;

/// All inputs of the migration's pod. The debug form of fields of the spec is sufficient for a hash that only replaces a
/// Job that has not succeeded.
pub(super) fn migration_inputs(
    spec: &AuthServiceSpec,
    image: &str,
    database: &SecretText,
    salt: &SecretText,
    client_certificate: Option<&ClientCertificate>,
    trusted_cas: Option<&str>,
) -> String {
    let pod = &spec.pod;
    let scheduling = format!(
        "{:?}{:?}{:?}{:?}",
        spec.image.pull_secrets, pod.node_selector, pod.tolerations, pod.priority_class_name
    );
    let mut parts = vec![image, database.expose(), &scheduling, salt.expose()];
    parts.extend(trusted_cas);
    let reference = spec.database.client_certificate_secret_ref.as_ref().map(|found| format!("{found:?}"));
    parts.extend(reference.as_deref());
    if let Some(ClientCertificate { certificate, private_key }) = client_certificate {
        parts.extend([certificate.expose(), private_key.expose()]);
    }
    fingerprint(parts.into_iter().map(str::as_bytes))
}

/// URLs with the same host and database identify the same database, independent of the user.
pub(super) fn without_login(url: &SecretText) -> String {
    let Ok(mut url) = Url::parse(url.expose()) else { return String::new() };
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.set_query(None);
    url.to_string()
}
