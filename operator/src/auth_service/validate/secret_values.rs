//! Validates the values of the referenced Secrets: with an invalid value the server would only crash. Messages never
//! contain a value. Pure.

use latchkey_config::SecretText;
use url::Url;

use crate::auth_service::dereference::{Admin, Dereferenced};
use crate::auth_service::problem::Problem;

/// The minimum length of a client secret.
const CLIENT_SECRET_BYTES: usize = 32;
/// The allowed lengths of a password, in characters.
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 8..=256;
/// The maximum length of a user name.
const USERNAME_CHARS: usize = 64;
/// The maximum length of an e-mail address (RFC 5321 §4.5.3.1.3, without the angle brackets).
const ADDRESS_CHARS: usize = 254;

/// The first value that the server would refuse. Generated values are valid.
pub(super) fn check(found: &Dereferenced) -> Result<(), Problem> {
    if let Some(Ok(database)) = &found.database_url {
        check_url(
            database,
            &["postgres", "postgresql"],
            &["host", "hostaddr"],
            "spec.database.urlSecretRef",
        )?;
    }
    if let Some(Ok(redis)) = &found.redis_url {
        check_url(redis, &["redis", "rediss"], &[], "spec.redis.urlSecretRef")?;
    }
    if let Some(Ok(admin)) = &found.admin {
        check_admin(admin)?;
    }
    match &found.introspection_secret {
        Some(Ok(secret)) if secret.expose().len() < CLIENT_SECRET_BYTES => Err(invalid(format!(
            "the client secret in spec.introspectionClient.secretRef must have at least {CLIENT_SECRET_BYTES} characters: generate one with openssl rand -hex 32."
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

/// The server's rules for accounts, except the list of common passwords.
fn check_admin(admin: &Admin) -> Result<(), Problem> {
    let Admin { username, email, password } = admin;
    let rule = if username.chars().count() > USERNAME_CHARS
        || !username.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    {
        "username in the Secret of spec.bootstrapAdmin.secretRef must consist of 1 to 64 letters, digits and . _ -: correct it."
    } else if !is_address(email) {
        "email in the Secret of spec.bootstrapAdmin.secretRef must be an e-mail address such as admin@example.com: correct it."
    } else if !PASSWORD_CHARS.contains(&password.expose().chars().count()) {
        "password in the Secret of spec.bootstrapAdmin.secretRef must have 8 to 256 characters: choose another."
    } else {
        return Ok(());
    };
    Err(invalid(rule.to_owned()))
}

fn is_address(text: &str) -> bool {
    let sane = text.len() <= ADDRESS_CHARS && text.chars().all(|c| c.is_ascii_graphic());
    sane && text.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth_service::fixtures::full;

    fn problem(found: &Dereferenced) -> Option<String> {
        check(found).err().map(|problem| problem.message)
    }

    #[test]
    fn a_url_names_a_host() {
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
        assert!(redis("redis://").is_some() && redis("redis:cache").is_some());
    }

    #[test]
    fn an_administrator_is_one_that_the_server_takes() {
        let message = |username: &str, email: &str, password: &str| {
            let (username, email) = (username.to_owned(), email.to_owned());
            let admin = Admin { username, email, password: SecretText::new(password) };
            problem(&Dereferenced { admin: Some(Ok(admin)), ..full() })
        };
        let good = ("root", "root@example.com", "long enough");
        assert_eq!(message(good.0, good.1, good.2), None);
        assert!(message("two words", good.1, good.2).unwrap().starts_with("username"));
        assert!(message(&"a".repeat(65), good.1, good.2).unwrap().starts_with("username"));
        assert!(message(good.0, "nobody", good.2).unwrap().starts_with("email"));
        assert!(message(good.0, "a b@example.com", good.2).unwrap().starts_with("email"));
        let short = message(good.0, good.1, "short").unwrap();
        assert!(short.starts_with("password") && !short.contains("short"), "{short}");
    }
}
