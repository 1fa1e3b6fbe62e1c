//! What the Secrets that the spec names hold: a server that cannot start with it would only crash. No message repeats
//! a value. Pure.

use latchkey_config::account_rules::{
    MIN_CLIENT_SECRET_BYTES, exceeds_password_limit, is_client_secret, is_email_address, is_username,
};
use latchkey_config::{PasswordLength, SecretText};
use url::Url;

use super::Problem;
use crate::auth_service::dereference::{Admin, Dereferenced};

/// The shortest password that any password policy allows, in characters.
const MIN_PASSWORD_CHARS: usize = PasswordLength::MIN as usize;

/// The first value that the server could not work with; ours are well-formed.
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
        Some(Ok(secret)) if !is_client_secret(secret.expose()) => Err(invalid(format!(
            "the secret that spec.introspectionClient.secretRef names must have at least {MIN_CLIENT_SECRET_BYTES} characters: make one with openssl rand -hex 32."
        ))),
        _ => Ok(()),
    }
}

fn invalid(message: String) -> Problem {
    Problem::new("SecretInvalid", message)
}

/// `parameters` are those of the query that may name the host in the place of the URL's own.
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
        "the URL in the Secret that {field} names must start with {}:// and name a host: correct it.",
        schemes[0]
    )))
}

/// The server's rules for accounts, except that it also refuses common passwords: only the server has that list.
fn check_admin(admin: &Admin) -> Result<(), Problem> {
    let Admin { username, email, password } = admin;
    let rule = if !is_username(username) {
        "username in the Secret that spec.bootstrapAdmin.secretRef names must be 1 to 64 letters, digits and . _ -: correct it."
    } else if !is_email_address(email) {
        "email in the Secret that spec.bootstrapAdmin.secretRef names must be a mail address such as admin@example.com: correct it."
    } else if !(MIN_PASSWORD_CHARS..).contains(&password.expose().chars().count())
        || exceeds_password_limit(password.expose())
    {
        "password in the Secret that spec.bootstrapAdmin.secretRef names must have 8 to 256 characters: choose another."
    } else {
        return Ok(());
    };
    Err(invalid(rule.to_owned()))
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
}
