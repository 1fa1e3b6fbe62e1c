//! The Secrets and ConfigMaps that the spec refers to, and their keys. Values are never printed.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use latchkey_crds::AuthService;

use super::findings::{Findings, Outcome};
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::manifest::Manifest;

const AREA: &str = "references";

/// A reference of the spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `Secret` or `ConfigMap`.
    pub kind: &'static str,
    pub name: String,
    /// The keys that must exist and not be empty.
    pub keys: Vec<String>,
    pub field: &'static str,
}

/// All references of a spec. tests/operator/plugin_check.rs compares them with the fields of the CRD.
pub fn references(service: &AuthService) -> Vec<Reference> {
    let spec = &service.spec;
    let secret = |name: &str, keys: &[&str], field| Reference {
        kind: "Secret",
        name: name.to_owned(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        field,
    };
    let mut found = Vec::new();
    let urls = [
        (&spec.database.url_secret_ref, "spec.database.urlSecretRef"),
        (&spec.redis.url_secret_ref, "spec.redis.urlSecretRef"),
    ];
    for (reference, field) in urls {
        found.extend(reference.iter().map(|to| secret(&to.name, &[&to.key], field)));
    }
    let certificates = [
        (&spec.database.client_certificate_secret_ref, "spec.database.clientCertificateSecretRef"),
        (&spec.redis.client_certificate_secret_ref, "spec.redis.clientCertificateSecretRef"),
    ];
    for (reference, field) in certificates {
        let keys = |to: &latchkey_crds::auth_service::ClientCertificateRef| {
            secret(&to.name, &[&to.certificate_key, &to.private_key_key], field)
        };
        found.extend(reference.iter().map(keys));
    }
    if let Some(login) = spec.email.smtp.credentials_secret_ref.as_ref().filter(|_| spec.email.enabled) {
        let keys = [login.username_key.as_str(), login.password_key.as_str()];
        found.push(secret(&login.name, &keys, "spec.email.smtp.credentialsSecretRef"));
    }
    if let Some(texts) = spec.email.templates_config_map_ref.as_ref().filter(|_| spec.email.enabled) {
        let field = "spec.email.templatesConfigMapRef";
        found.push(Reference { kind: "ConfigMap", name: texts.name.clone(), keys: Vec::new(), field });
    }
    if let Some(admin) = &spec.bootstrap_admin {
        let keys = ["username", "email", "password"];
        found.push(secret(&admin.secret_ref.name, &keys, "spec.bootstrapAdmin.secretRef"));
    }
    if let Some(pepper) = &spec.accounts.imported_password_pepper_secret_ref {
        found.push(secret(&pepper.name, &[&pepper.key], "spec.accounts.importedPasswordPepperSecretRef"));
    }
    if let Some(client) = &spec.introspection_client {
        let to = &client.secret_ref;
        found.push(secret(&to.name, &[&to.key], "spec.introspectionClient.secretRef"));
    }
    if let Some(certificate) = spec.tls.as_ref().and_then(|tls| tls.secret_ref.as_ref()) {
        found.push(secret(&certificate.name, &["tls.crt", "tls.key"], "spec.tls.secretRef"));
    }
    for authority in &spec.trusted_cas {
        let field = "spec.trustedCAs";
        found.extend(authority.secret_ref.iter().map(|to| secret(&to.name, &[&to.key], field)));
        let keys = |to: &latchkey_crds::auth_service::CaKeyRef| vec![to.key.clone()];
        found.extend(authority.config_map_ref.iter().map(|to| Reference {
            kind: "ConfigMap",
            name: to.name.clone(),
            keys: keys(to),
            field,
        }));
    }
    let pull = spec.image.pull_secrets.iter();
    found.extend(pull.map(|to| secret(&to.name, &[".dockerconfigjson"], "spec.image.pullSecrets")));
    let tls = spec.exposure.as_ref().and_then(|exposure| exposure.ingress.as_ref());
    let tls = tls.and_then(|ingress| ingress.tls.as_ref()).and_then(|tls| tls.secret_name.as_deref());
    // cert-manager creates it, if a certificate is configured too.
    found.extend(
        tls.map(|name| secret(name, &["tls.crt", "tls.key"], "spec.exposure.ingress.tls.secretName")),
    );
    found
}

/// Checks that each object exists with its keys, in the cluster or in the manifest.
pub async fn check(cluster: &Cluster, service: &AuthService, manifest: &Manifest, findings: &mut Findings) {
    for reference in references(service) {
        let Reference { kind, name, keys, field } = &reference;
        let subject = format!("{kind} {name}");
        let applied = manifest.keys.get(&((*kind).to_owned(), name.clone()));
        let found = match applied {
            Some(keys) => Ok(Some(keys.clone())),
            None => keys_in_cluster(cluster, kind, name).await,
        };
        match found {
            Ok(Some(existing)) => {
                let missing: Vec<&str> =
                    keys.iter().filter(|key| !existing.contains(*key)).map(String::as_str).collect();
                if missing.is_empty() {
                    findings.add(AREA, subject, Outcome::Passed, format!("has what {field} needs"));
                } else {
                    let existing: Vec<&str> = existing.iter().map(String::as_str).collect();
                    let message = format!(
                        "{field} needs the key {}, which is missing or empty; its keys are {}",
                        missing.join(", "),
                        existing.join(", ")
                    );
                    findings.add(AREA, subject, Outcome::Failed, message);
                }
            }
            Ok(None) => {
                findings.add(AREA, subject, Outcome::Failed, format!("does not exist; {field} needs it"));
            }
            Err(error) => {
                let failure = Failure::of_request(&format!("read the {kind} {name}"), &error);
                findings.add(AREA, subject, Outcome::Unknown, failure.to_string());
            }
        }
    }
}

/// The keys with values; `None` if the object does not exist.
async fn keys_in_cluster(
    cluster: &Cluster,
    kind: &str,
    name: &str,
) -> Result<Option<BTreeSet<String>>, kube::Error> {
    if kind == "Secret" {
        let found = cluster.api::<Secret>().get_opt(name).await?;
        return Ok(found.map(|secret| {
            let data = secret.data.unwrap_or_default().into_iter();
            data.filter(|(_, value)| !value.0.is_empty()).map(|(key, _)| key).collect()
        }));
    }
    let found = cluster.api::<ConfigMap>().get_opt(name).await?;
    Ok(found.map(|map| {
        let text = map.data.unwrap_or_default().into_iter().filter(|(_, value)| !value.is_empty());
        let binary = map.binary_data.unwrap_or_default().into_iter().filter(|(_, value)| !value.0.is_empty());
        text.map(|(key, _)| key).chain(binary.map(|(key, _)| key)).collect()
    }))
}
