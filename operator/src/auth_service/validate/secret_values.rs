//! Validates the values of the referenced Secrets: with an invalid value the server would only crash. Messages never
//! contain a value. Pure.

use latchkey_config::account_rules::{
    MIN_CLIENT_SECRET_BYTES, canonical_email_address, is_client_secret, is_username,
};
use latchkey_config::{PasswordPolicy, SecretText, SentinelUrl};
use url::Url;

use crate::auth_service::dereference::{BootstrapAdmin, Dereferenced};
use crate::auth_service::problem::Problem;

/// The first value that the server would refuse. Generated values are valid. `policy` applies to the password of the
/// bootstrap administrator.
pub(super) fn check(found: &Dereferenced, policy: &PasswordPolicy) -> Result<(), Problem> {
    if let Some(Ok(database)) = &found.database_url {
        check_url(
            database,
            &["postgres", "postgresql"],
            &["host", "hostaddr"],
            "spec.database.urlSecretRef",
        )?;
    }
    if let Some(Ok(redis)) = &found.redis_url {
        match SentinelUrl::parse(redis.expose()) {
            Some(Ok(_)) => {}
            Some(Err(reason)) => {
                return Err(invalid(format!(
                    "the URL in the Secret of spec.redis.urlSecretRef is not valid: {reason}; correct it."
                )));
            }
            None => check_url(redis, &["redis", "rediss"], &[], "spec.redis.urlSecretRef")?,
        }
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

/// `parameters`: query parameters that can replace the host of the URL.
fn check_url(url: &SecretText, schemes: &[&str], parameters: &[&str], field: &str) -> Result<(), Problem> {
    let is_good = Url::parse(url.expose()).is_ok_and(|url| {
        let given = |(name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
            parameters.contains(&&*name) && !value.is_empty()
        };
        let names_host = url.host_str().is_some_and(|host| !host.is_empty()) || url.query_pairs().any(given);
        schemes.contains(&url.scheme()) && names_host
    });
    if is_good {
        return Ok(());
    }
    Err(invalid(format!(
        "the URL in the Secret of {field} must start with {}:// and contain a host: correct it.",
        schemes[0]
    )))
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
    use crate::auth_service::fixtures::full;

    fn problem(found: &Dereferenced) -> Option<String> {
        check(found, &PasswordPolicy::default()).err().map(|problem| problem.message)
    }

    #[test]
    fn a_url_must_contain_a_host() {
        let postgres =
            |url: &str| problem(&Dereferenced { database_url: Some(Ok(SecretText::new(url))), ..full() });
        for good in ["postgres://u:p@db/auth", "postgresql:///auth?host=db", "postgres://[::1]:5432/a"] {
            assert_eq!(postgres(good), None, "{good}");
        }
        for bad in ["postgres:///auth", "postgres:auth", "mysql://db/auth", "db:5432", "postgres:///a?host="]
        {
            let message = postgres(bad).unwrap();
            assert!(message.contains("spec.database.urlSecretRef") && !message.contains(bad), "{message}");
        }
        let redis =
            |url: &str| problem(&Dereferenced { redis_url: Some(Ok(SecretText::new(url))), ..full() });
        assert_eq!(redis("rediss://:p@cache:6380"), None);
        assert_eq!(redis("redis+sentinel://:p@one:26379,two/primary"), None);
        assert!(redis("redis+sentinel://:p@one:26379").is_some_and(|message| message.contains("Sentinel")));
        assert!(redis("redis://").is_some() && redis("redis:cache").is_some());
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
