//! The Secrets and ConfigMaps that an AuthService refers to. Pure.

use std::collections::BTreeSet;

use kube::ResourceExt;
use latchkey_crds::AuthService;
use latchkey_crds::auth_service::{Exposure, SmtpCredentialsRef};

use crate::cluster::cache::Rules;
use crate::cluster::kinds::Kind;
use crate::names::Names;

/// The objects whose changes concern an AuthService.
pub(crate) const RULES: Rules =
    Rules { secrets: watched_secrets, config_maps: watched_config_maps, own_names };

/// The Secrets that the spec references, and those that the operator creates for the AuthService: the watch by label
/// does not show one of these if it was restored manually or has another owner.
fn watched_secrets(auth_service: &AuthService) -> BTreeSet<String> {
    let mut watched: BTreeSet<String> = secrets(auth_service).map(str::to_owned).collect();
    watched.extend(Names::new(&auth_service.name_any()).secrets());
    watched.extend(issued_api_tls_secret(auth_service));
    watched
}

/// The names of the Secrets that the spec refers to.
pub(crate) fn secrets(auth_service: &AuthService) -> impl Iterator<Item = &str> {
    let spec = &auth_service.spec;
    [
        spec.database.url_secret_ref.as_ref().map(|reference| reference.name.as_str()),
        spec.database.client_certificate_secret_ref.as_ref().map(|reference| reference.name.as_str()),
        spec.redis.url_secret_ref.as_ref().map(|reference| reference.name.as_str()),
        spec.redis.client_certificate_secret_ref.as_ref().map(|reference| reference.name.as_str()),
        spec.accounts.imported_password_pepper_secret_ref.as_ref().map(|reference| reference.name.as_str()),
        smtp_credentials(auth_service).map(|reference| reference.name.as_str()),
        spec.bootstrap_admin.as_ref().map(|admin| admin.secret_ref.name.as_str()),
        spec.introspection_client.as_ref().map(|client| client.secret_ref.name.as_str()),
        tls_secret(spec.exposure.as_ref()),
        api_tls_secret(auth_service),
    ]
    .into_iter()
    .flatten()
    .chain(trusted_ca_secrets(auth_service))
}

/// The names of the objects of a kind that the operator creates for the AuthService of this name, except those of
/// migration Jobs and pods.
fn own_names(kind: Kind, auth_service: &str) -> Vec<String> {
    let names = Names::new(auth_service);
    let base = names.base().to_owned();
    match kind {
        Kind::ConfigMap => vec![names.settings(), names.jwks(), names.api_ca()],
        Kind::Secret => names.secrets().to_vec(),
        Kind::Service => vec![base, names.management(), names.postgres(), names.redis()],
        Kind::StatefulSet => vec![names.postgres(), names.redis()],
        Kind::NetworkPolicy => vec![base, names.migrations(), names.postgres(), names.redis()],
        Kind::Certificate => vec![base, names.api_certificate()],
        Kind::BackendTlsPolicy
        | Kind::Deployment
        | Kind::HorizontalPodAutoscaler
        | Kind::HttpRoute
        | Kind::Ingress
        | Kind::PodDisruptionBudget
        | Kind::Route
        | Kind::ServiceAccount
        | Kind::ServiceMonitor => vec![base],
        Kind::Job | Kind::Pod => Vec::new(),
    }
}

fn watched_config_maps(auth_service: &AuthService) -> BTreeSet<String> {
    config_maps(auth_service).map(str::to_owned).collect()
}

/// The names of the ConfigMaps that the spec refers to.
pub(crate) fn config_maps(auth_service: &AuthService) -> impl Iterator<Item = &str> {
    templates(auth_service).into_iter().chain(trusted_ca_config_maps(auth_service))
}

/// The ConfigMap with custom templates.
pub(crate) fn templates(auth_service: &AuthService) -> Option<&str> {
    let email = &auth_service.spec.email;
    email.templates_config_map_ref.as_ref().filter(|_| email.enabled).map(|reference| reference.name.as_str())
}

/// The Secret with the login at the SMTP server.
pub(crate) fn smtp_credentials(auth_service: &AuthService) -> Option<&SmtpCredentialsRef> {
    let email = &auth_service.spec.email;
    email.smtp.credentials_secret_ref.as_ref().filter(|_| email.enabled)
}

/// The Secret with the certificate of the Ingress.
pub(crate) fn tls_secret(exposure: Option<&Exposure>) -> Option<&str> {
    exposure?.ingress.as_ref()?.tls.as_ref()?.secret_name.as_deref()
}

/// The Secret with the certificate of the API port, unless cert-manager writes it.
pub(crate) fn api_tls_secret(auth_service: &AuthService) -> Option<&str> {
    Some(auth_service.spec.tls.as_ref()?.secret_ref.as_ref()?.name.as_str())
}

/// The Secret in which cert-manager stores the certificate of the API port, if its authority is needed for a Gateway.
pub(crate) fn issued_api_tls_secret(auth_service: &AuthService) -> Option<String> {
    let spec = &auth_service.spec;
    spec.exposure.as_ref()?.gateway.as_ref()?;
    spec.tls.as_ref()?.issuer_ref.as_ref()?;
    Some(Names::new(&auth_service.name_any()).api_tls())
}

/// The names of the Secrets with certificate authorities.
fn trusted_ca_secrets(auth_service: &AuthService) -> impl Iterator<Item = &str> {
    let named = auth_service.spec.trusted_cas.iter().filter_map(|ca| ca.secret_ref.as_ref());
    named.map(|reference| reference.name.as_str())
}

/// The names of the ConfigMaps with certificate authorities.
fn trusted_ca_config_maps(auth_service: &AuthService) -> impl Iterator<Item = &str> {
    let named = auth_service.spec.trusted_cas.iter().filter_map(|ca| ca.config_map_ref.as_ref());
    named.map(|reference| reference.name.as_str())
}
