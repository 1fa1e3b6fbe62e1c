//! Validates the values of the referenced Secrets: with an invalid value the server would only crash. Messages never
//! contain a value. Pure.

use latchkey_config::account_rules::{
    MIN_CLIENT_SECRET_BYTES, canonical_email_address, is_client_secret, is_username,
};
use latchkey_config::{PasswordPolicy, PostgresUrl, SecretText, SentinelUrl};
use url::Url;
use x509_parser::pem::Pem;

use crate::auth_service::dereference::{BootstrapAdmin, ClientCertificate, Dereferenced};
use crate::auth_service::problem::Problem;
use crate::auth_service::trusted_cas::decide_bundle;

/// The first value that the server would refuse. Generated values are valid. `policy` applies to the password of the
/// bootstrap administrator.
pub(super) fn check(found: &Dereferenced, policy: &PasswordPolicy) -> Result<(), Problem> {
    if let Some(Ok(database)) = &found.database_url {
        check_database(database)?;
    }
    if let Some(Ok(redis)) = &found.redis_url {
        match SentinelUrl::parse(redis.expose()) {
            Some(Ok(_)) => {}
            Some(Err(reason)) => {
                return Err(invalid(format!(
                    "the URL in the Secret of spec.redis.urlSecretRef is not valid: {reason}; correct it."
                )));
            }
            None => check_redis(redis)?,
        }
    }
    if let Some(Ok(certificate)) = &found.database_certificate {
        check_client_certificate(certificate, "spec.database.clientCertificateSecretRef")?;
    }
    if let Some(Ok(certificate)) = &found.redis_certificate {
        check_client_certificate(certificate, "spec.redis.clientCertificateSecretRef")?;
        if matches!(&found.redis_url, Some(Ok(url)) if !url.expose().starts_with("rediss")) {
            return Err(invalid(
                "the URL in the Secret of spec.redis.urlSecretRef must start with rediss:// or rediss+sentinel://, because spec.redis.clientCertificateSecretRef is set: correct it.".to_owned(),
            ));
        }
    }
    if let Some(Ok(certificate)) = &found.api_certificate {
        check_client_certificate(certificate, "spec.tls.secretRef")?;
    }
    if let Some(Ok(admin)) = &found.bootstrap_admin {
        check_bootstrap_admin(admin, policy)?;
    }
    match &found.introspection_secret {
        Some(Ok(secret)) if !is_client_secret(secret.expose()) => Err(invalid(format!(
            "the client secret in spec.introspectionClient.secretRef must have at least {MIN_CLIENT_SECRET_BYTES} characters: generate one with openssl rand -hex 32."
        ))),
        _ => Ok(()),
    }
}

fn invalid(message: String) -> Problem {
    Problem::new("SecretInvalid", message)
}

/// The rules of the server. In addition a host is required, since a pod contains no database.
fn check_database(url: &SecretText) -> Result<(), Problem> {
    let reason = match PostgresUrl::parse(url.expose()) {
        Err(reason) => reason,
        Ok(url) if url.hosts.is_empty() => "it contains no host".to_owned(),
        Ok(_) => return Ok(()),
    };
    Err(invalid(format!(
        "the URL in the Secret of spec.database.urlSecretRef is not valid: {reason}; correct it."
    )))
}

fn check_client_certificate(pair: &ClientCertificate, field: &str) -> Result<(), Problem> {
    let is_key = |block: Pem| matches!(&*block.label, "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY");
    let has_key =
        Pem::iter_from_buffer(pair.private_key.expose().as_bytes()).any(|block| block.is_ok_and(is_key));
    if has_key && decide_bundle(pair.certificate.expose().as_bytes()).is_ok() {
        return Ok(());
    }
    Err(invalid(format!(
        "the Secret of {field} must contain a certificate and its unencrypted private key in PEM form: correct it."
    )))
}

fn check_redis(url: &SecretText) -> Result<(), Problem> {
    let is_good = Url::parse(url.expose()).is_ok_and(|url| {
        matches!(url.scheme(), "redis" | "rediss") && url.host_str().is_some_and(|host| !host.is_empty())
    });
    if is_good {
        return Ok(());
    }
    Err(invalid(
        "the URL in the Secret of spec.redis.urlSecretRef must start with redis:// and contain a host: correct it."
            .to_owned(),
    ))
}

/// The server's rules for accounts, except that it also refuses common passwords: only the server has that list.
fn check_bootstrap_admin(admin: &BootstrapAdmin, policy: &PasswordPolicy) -> Result<(), Problem> {
    let BootstrapAdmin { username, email, password } = admin;
    if !is_username(username) {
        return Err(invalid(
            "username in the Secret of spec.bootstrapAdmin.secretRef must consist of 1 to 64 letters, digits and . _ -: correct it.".to_owned(),
        ));
    }
    if let Err(refusal) = canonical_email_address(email) {
        return Err(invalid(format!(
            "email in the Secret of spec.bootstrapAdmin.secretRef {refusal}; use an address such as admin@example.com: correct it."
        )));
    }
    // The server creates the account with the username as its display name.
    policy.check_new(password.expose(), username, email, username, |_| false).map_err(|refusal| {
        invalid(format!("password in the Secret of spec.bootstrapAdmin.secretRef {refusal}."))
    })
}

#[cfg(test)]
mod tests {
    use latchkey_config::PasswordLength;

    use super::*;
    use crate::auth_service::fixtures::{client_certificate, full};

    fn problem(found: &Dereferenced) -> Option<String> {
        check(found, &PasswordPolicy::default()).err().map(|problem| problem.message)
    }

    #[test]
    fn a_url_must_contain_a_host() {
        let postgres =
            |url: &str| problem(&Dereferenced { database_url: Some(Ok(SecretText::new(url))), ..full() });
        for good in [
            "postgres://u:p@db/auth",
            "postgresql:///auth?host=db",
            "postgres://[::1]:5432/a",
            "postgres://u:p@one:5432,two:5433/auth?target_session_attrs=read-write",
        ] {
            assert_eq!(postgres(good), None, "{good}");
        }
        for bad in [
            "postgres:///auth",
            "postgres:auth",
            "mysql://db/auth",
            "db:5432",
            "postgres:///a?host=",
            "postgres://u:p@one,two/a?target_session_attrs=standby",
            "postgres://u:p@one/a?sslmode=no-verify",
        ] {
            let message = postgres(bad).unwrap();
            assert!(message.contains("spec.database.urlSecretRef") && !message.contains(bad), "{message}");
        }
        let redis = |url: &str| {
            let redis_url = Some(Ok(SecretText::new(url)));
            problem(&Dereferenced { redis_url, redis_certificate: None, ..full() })
        };
        assert_eq!(redis("rediss://:p@cache:6380"), None);
        assert_eq!(redis("redis+sentinel://:p@one:26379,two/primary"), None);
        assert!(redis("redis+sentinel://:p@one:26379").is_some_and(|message| message.contains("Sentinel")));
        assert!(redis("redis://").is_some() && redis("redis:cache").is_some());
    }

    #[test]
    fn a_client_certificate_has_a_certificate_a_key_and_a_use() {
        let redis = |certificate: ClientCertificate, url: &str| {
            let redis_url = Some(Ok(SecretText::new(url)));
            problem(&Dereferenced { redis_url, redis_certificate: Some(Ok(certificate)), ..full() })
        };
        for url in ["rediss://cache.example", "rediss+sentinel://one.example/primary"] {
            assert_eq!(redis(client_certificate(), url), None);
        }
        let plain = redis(client_certificate(), "redis://cache.example").unwrap();
        assert!(plain.contains("rediss://"), "{plain}");
        let good = client_certificate();
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
        for bad in [
            ClientCertificate { certificate: good.private_key.clone(), ..good.clone() },
            ClientCertificate { private_key: good.certificate.clone(), ..good.clone() },
            ClientCertificate { private_key: SecretText::new(encrypted), ..good.clone() },
            ClientCertificate { certificate: SecretText::new("text"), ..good.clone() },
        ] {
            let message = redis(bad.clone(), "rediss://cache.example").unwrap();
            assert!(message.contains("spec.redis.clientCertificateSecretRef must contain"), "{message}");
            let found = Dereferenced { database_certificate: Some(Ok(bad)), ..full() };
            assert!(problem(&found).unwrap().contains("spec.database.clientCertificateSecretRef"));
        }
    }

    #[test]
    fn a_client_secret_must_be_long() {
        let message = |secret: &str| {
            problem(&Dereferenced { introspection_secret: Some(Ok(SecretText::new(secret))), ..full() })
        };
        assert_eq!(message(&"x".repeat(MIN_CLIENT_SECRET_BYTES)), None);
        let short = "x".repeat(MIN_CLIENT_SECRET_BYTES - 1);
        let message = message(&short).unwrap();
        assert!(message.contains("spec.introspectionClient") && !message.contains(&short), "{message}");
    }

    #[test]
    fn a_bootstrap_administrator_complies_with_the_rules_of_the_server() {
        let message = |username: &str, email: &str, password: &str| {
            let (username, email) = (username.to_owned(), email.to_owned());
            let admin = BootstrapAdmin { username, email, password: SecretText::new(password) };
            problem(&Dereferenced { bootstrap_admin: Some(Ok(admin)), ..full() })
        };
        let good = ("root", "root@example.com", "long enough");
        assert_eq!(message(good.0, good.1, good.2), None);
        assert!(message("two words", good.1, good.2).unwrap().starts_with("username"));
        assert!(message(&"a".repeat(65), good.1, good.2).unwrap().starts_with("username"));
        assert!(message("", good.1, good.2).unwrap().starts_with("username"));
        for bad in
            ["nobody", "a b@example.com", "a@b@c", "@example.com", "root@", ".root@example.com", "root@a..b"]
        {
            let message = message(good.0, bad, good.2);
            assert!(message.is_some_and(|message| message.starts_with("email")), "{bad}");
        }
        let short = message(good.0, good.1, "short").unwrap();
        assert!(short.starts_with("password") && !short.contains("short"), "{short}");
        assert!(message(good.0, good.1, &"x".repeat(257)).unwrap().starts_with("password"));
    }

    #[test]
    fn the_password_policy_applies_to_a_bootstrap_administrator() {
        let policy = PasswordPolicy {
            min_length: PasswordLength::new(12).unwrap(),
            forbidden_words: vec!["acme".to_owned()],
        };
        let message = |password: &str| {
            let (username, email) = ("root.of.acme".to_owned(), "root@example.com".to_owned());
            let admin = BootstrapAdmin { username, email, password: SecretText::new(password) };
            let found = Dereferenced { bootstrap_admin: Some(Ok(admin)), ..full() };
            check(&found, &policy).err().map(|problem| problem.message)
        };
        assert_eq!(message("twelve chars"), None);
        for (password, rule) in [
            ("eleven char", "at least 12 characters"),
            ("Root.of.Acme", "own name"),
            ("ACME-ACME-2026", "easy to guess"),
        ] {
            let message = message(password).unwrap();
            assert!(message.contains(rule) && !message.contains(password), "{message}");
        }
    }
}
