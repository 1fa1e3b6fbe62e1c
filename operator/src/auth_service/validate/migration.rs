//! The inputs of a migration.

use latchkey_config::{PostgresUrl, SecretText};
use latchkey_crds::AuthServiceSpec;
use url::Url;

use crate::fingerprint::fingerprint;

/// All inputs of the migration's pod. The debug form of the scheduling fields is sufficient for a hash that only
/// replaces a Job that has not succeeded.
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

/// URLs with the same hosts and database identify the same database, independent of the user.
pub(super) fn without_login(url: &SecretText) -> String {
    let named_in_query = |url: &Url| {
        url.query_pairs().any(|(name, _)| ["host", "hostaddr", "port", "dbname"].contains(&&*name))
    };
    match (Url::parse(url.expose()), PostgresUrl::parse(url.expose())) {
        (Ok(mut url), _) if !named_in_query(&url) => {
            let _ = url.set_password(None);
            let _ = url.set_username("");
            url.set_query(None);
            url.to_string()
        }
        (_, Ok(url)) => format!("{:?} {:?}", url.hosts, url.database.or(url.username)),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_host_is_another_database_wherever_the_url_names_it() {
        let place = |url: &str| without_login(&SecretText::new(url));
        assert_eq!(place("postgres://a:b@db/auth"), "postgres://db/auth");
        assert_eq!(
            place("postgres://a:b@one,two/auth"),
            place("postgres://c:d@one,two/auth?sslmode=require")
        );
        for [one, other] in [
            ["postgres://a:b@one,two/auth", "postgres://a:b@one,three/auth"],
            ["postgres://a:b@/auth?host=one", "postgres://a:b@/auth?host=two"],
            ["postgres://a:b@one/?dbname=a", "postgres://a:b@one/?dbname=b"],
        ] {
            assert_ne!(place(one), place(other), "{one}");
        }
    }
}
