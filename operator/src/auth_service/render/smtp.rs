//! The Secret of the SMTP credentials: a copy under fixed keys, so that the Deployment mounts a known object.

use k8s_openapi::api::core::v1::Secret;

use super::metadata::metadata;
use super::pod::secret_data;
use crate::auth_service::dereference::SmtpLogin;
use crate::auth_service::validate::Validated;
use crate::names::Component;

pub(super) fn build(service: &Validated, login: &SmtpLogin) -> Secret {
    Secret {
        metadata: metadata(service, service.names.smtp(), Component::Server),
        data: Some(secret_data([("username", &login.username), ("password", &login.password)])),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}
