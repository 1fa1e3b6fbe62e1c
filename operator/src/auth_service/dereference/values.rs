//! The values of the Secrets that the spec references.

use latchkey_config::SecretText;
use latchkey_crds::auth_service::{ClientCertificateRef, SmtpCredentialsRef};
use latchkey_crds::{AuthService, AuthServiceSpec};

use super::logins::{BootstrapAdmin, ClientCertificate, SmtpLogin};
use super::lookup::{Lookup, data_of};
use crate::auth_service::problem::Problem;
use crate::auth_service::references::{api_tls_secret, issued_api_tls_secret};
use crate::auth_service::trusted_cas::decide_bundle;

impl Lookup<'_> {
    /// The values of the given keys of a Secret, in that order.
    pub(super) fn values<const N: usize>(
        &self,
        name: &str,
        keys: [&str; N],
        field: &str,
    ) -> Result<[SecretText; N], Problem> {
        let Some(secret) = self.named.get(name).and_then(Option::as_ref) else {
            return Err(Problem::new(
                "SecretMissing",
                format!(
                    "{field} references the Secret {name}, which does not exist: create it with the key {}.",
                    keys.join(" and ")
                ),
            ));
        };
        let data = data_of(secret);
        let mut values = keys.map(|_| SecretText::new(""));
        for (value, key) in values.iter_mut().zip(keys) {
            let Some(bytes) = data.get(key) else {
                return Err(Problem::new(
                    "SecretKeyMissing",
                    format!("the Secret {name}, which {field} references, has no key {key}: add it."),
                ));
            };
            let invalid = |what: &str| {
                let message = format!("the key {key} of the Secret {name}, which {field} references, {what}");
                Problem::new("SecretInvalid", message)
            };
            let text = std::str::from_utf8(bytes).map_err(|_| invalid("is not UTF-8 text: correct it."))?;
            // Manually written values often end in a line break, which is never part of a URL or credential.
            let text = text.trim_end_matches(['\r', '\n']);
            if text.is_empty() {
                return Err(invalid("is empty: set a value."));
            }
            *value = SecretText::new(text);
        }
        Ok(values)
    }

    pub(super) fn value(&self, name: &str, key: &str, field: &str) -> Result<SecretText, Problem> {
        let [value] = self.values(name, [key], field)?;
        Ok(value)
    }

    pub(super) fn smtp(&self, reference: &SmtpCredentialsRef) -> Result<SmtpLogin, Problem> {
        let keys = [reference.username_key.as_str(), reference.password_key.as_str()];
        let [username, password] =
            self.values(&reference.name, keys, "spec.email.smtp.credentialsSecretRef")?;
        Ok(SmtpLogin { username, password })
    }

    pub(super) fn database_certificate(
        &self,
        spec: &AuthServiceSpec,
    ) -> Option<Result<ClientCertificate, Problem>> {
        let reference = spec.database.client_certificate_secret_ref.as_ref()?;
        Some(self.client_certificate(reference, "spec.database.clientCertificateSecretRef"))
    }

    pub(super) fn redis_certificate(
        &self,
        spec: &AuthServiceSpec,
    ) -> Option<Result<ClientCertificate, Problem>> {
        let reference = spec.redis.client_certificate_secret_ref.as_ref()?;
        Some(self.client_certificate(reference, "spec.redis.clientCertificateSecretRef"))
    }

    fn client_certificate(
        &self,
        reference: &ClientCertificateRef,
        field: &str,
    ) -> Result<ClientCertificate, Problem> {
        let keys = [reference.certificate_key.as_str(), reference.private_key_key.as_str()];
        let [certificate, private_key] = self.values(&reference.name, keys, field)?;
        Ok(ClientCertificate { certificate, private_key })
    }

    pub(super) fn api_certificate(&self, name: &str) -> Result<ClientCertificate, Problem> {
        let [certificate, private_key] = self.values(name, ["tls.crt", "tls.key"], "spec.tls.secretRef")?;
        Ok(ClientCertificate { certificate, private_key })
    }

    /// The key `ca.crt`, which cert-manager writes for private issuers. Public certificates have none.
    pub(super) fn api_ca(&self, auth_service: &AuthService) -> Option<String> {
        let issued = issued_api_tls_secret(auth_service);
        let name = api_tls_secret(auth_service).or(issued.as_deref())?;
        let authorities = data_of(self.named.get(name)?.as_ref()?).remove("ca.crt")?;
        decide_bundle(&authorities).ok()?;
        String::from_utf8(authorities).ok()
    }

    pub(super) fn password_pepper(&self, spec: &AuthServiceSpec) -> Option<Result<SecretText, Problem>> {
        let reference = spec.accounts.imported_password_pepper_secret_ref.as_ref()?;
        let field = "spec.accounts.importedPasswordPepperSecretRef";
        Some(self.value(&reference.name, &reference.key, field))
    }

    pub(super) fn bootstrap_admin(&self, name: &str) -> Result<BootstrapAdmin, Problem> {
        let [username, email, password] =
            self.values(name, ["username", "email", "password"], "spec.bootstrapAdmin.secretRef")?;
        Ok(BootstrapAdmin {
            username: username.expose().to_owned(),
            email: email.expose().to_owned(),
            password,
        })
    }
}
