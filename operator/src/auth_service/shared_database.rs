//! Whether two AuthServices use the same database, decided by their URLs; different host names of the same server are
//! not detected. Pure.

use k8s_openapi::jiff::Timestamp;
use latchkey_config::{PostgresAddress, PostgresUrl, SecretText};

use crate::fingerprint::fingerprint;

/// An AuthService that uses a database, or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub namespace: String,
    pub name: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Its uid, as a tie-breaker.
    pub uid: String,
    /// Whether its replicas already use the database.
    pub deployed: bool,
    /// Whether it allows sharing of the database.
    pub allows: bool,
}

/// Other users of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// There is no other user, or only users that are refused.
    Exclusive,
    /// This AuthService also uses it, which is allowed.
    Allowed(String),
    /// This AuthService also uses it and has precedence.
    Refused(String),
}

/// Decides whether the database has other users, and which of them has precedence: one whose replicas already use it,
/// and otherwise the older one.
pub(crate) fn decide_sharing(own: &Claim, others: &[Claim]) -> Sharing {
    let rank = |claim: &Claim| (!claim.deployed, claim.created, claim.uid.clone());
    let called = |claim: &Claim| format!("{}/{}", claim.namespace, claim.name);
    let stronger = others.iter().filter(|other| !other.allows && !own.allows);
    match stronger.filter(|other| rank(other) < rank(own)).min_by_key(|other| rank(other)) {
        Some(other) => Sharing::Refused(called(other)),
        None => others
            .iter()
            .find(|other| other.allows || own.allows)
            .map_or(Sharing::Exclusive, |other| Sharing::Allowed(called(other))),
    }
}

/// Identifies the database of a URL, as resolved by pods of a namespace, independent of the user: a hash of hosts,
/// ports and database name.
pub(crate) fn database_id(url: &SecretText, namespace: &str) -> Option<String> {
    let url = PostgresUrl::parse(url.expose()).ok()?;
    let mut places: Vec<_> = url
        .hosts
        .into_iter()
        .map(|host| match host.address {
            PostgresAddress::Tcp(name) => {
                (qualified(name.to_lowercase().trim_end_matches('.'), namespace), host.port.to_string())
            }
            PostgresAddress::Socket(folder) => (folder.display().to_string(), host.port.to_string()),
        })
        .collect();
    places.sort_unstable();
    // The default database name is the user name (libpq, §34.1.2).
    let database = url.database.or(url.username).unwrap_or_default();
    let parts = places.iter().flat_map(|(host, port)| [host.as_bytes(), port.as_bytes()]);
    let id = fingerprint(parts.chain([database.as_bytes()]));
    Some(id[..16].to_owned())
}

/// Normalizes the names of a Service: in a pod, `NAME` is the Service in its own namespace, and `NAME.NAMESPACE`,
/// `NAME.NAMESPACE.svc` and the name with the cluster domain are equivalent.
fn qualified(host: &str, namespace: &str) -> String {
    let is_name = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if is_name {
        return format!("{host}.{namespace}");
    }
    match host.split('.').collect::<Vec<_>>()[..] {
        [name, namespace, "svc"] | [name, namespace, "svc", _, ..] => format!("{name}.{namespace}"),
        _ => host.to_owned(),
    }
}

/// The message for another AuthService that uses the same database.
pub(crate) fn shared_message(other: &str) -> String {
    format!(
        "AuthService {other} uses the same database: reference another database in spec.database.urlSecretRef, or set spec.database.allowShared if both should share accounts."
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(url: &str) -> Option<String> {
        database_id(&SecretText::new(url), "apps")
    }

    #[test]
    fn a_service_has_one_identity_for_each_namespace() {
        let from = |namespace, host: &str| {
            database_id(&SecretText::new(format!("postgres://a:b@{host}/auth")), namespace)
        };
        let one = from("apps", "db");
        for same in ["db.apps", "db.apps.svc", "db.apps.svc.cluster.local", "DB.apps.svc.example.org."] {
            assert_eq!(from("other", same), one, "{same}");
        }
        assert_ne!(from("other", "db"), one);
        for everywhere in ["192.0.2.1", "[2001:db8::1]", "db.example.com"] {
            assert_eq!(from("apps", everywhere), from("other", everywhere), "{everywhere}");
        }
    }

    #[test]
    fn a_database_has_one_identity_for_every_user() {
        let one = id("postgres://a:b@DB.example.com/auth");
        assert!(one.is_some());
        for same in [
            "postgresql://other:pw@db.example.com:5432/auth?sslmode=require",
            "postgres://u@ignored/?host=db.example.com&dbname=auth",
            "postgres://auth:x@db.example.com.",
        ] {
            assert_eq!(id(same), one, "{same}");
        }
        for other in ["postgres://a:b@db.example.com:5433/auth", "postgres://a:b@db.example.com/auth2"] {
            assert_ne!(id(other), one, "{other}");
        }
        assert_eq!(id("no url"), None);
        let several = id("postgres://a:b@one,two:5433/auth?target_session_attrs=read-write");
        assert_eq!(several, id("postgres://c:d@two.apps.svc:5433,one/auth"));
        assert_ne!(several, id("postgres://a:b@one,three:5433/auth"));
    }

    prop_compose! {
        fn claim(name: &'static str)(second in 0_i64..3, deployed: bool, allows: bool) -> Claim {
            Claim {
                namespace: "apps".to_owned(),
                name: name.to_owned(),
                created: Timestamp::from_second(second).ok(),
                uid: name.to_owned(),
                deployed,
                allows,
            }
        }
    }

    proptest! {
        #[test]
        fn exactly_one_of_two_claims_is_refused_unless_one_allows_sharing(a in claim("a"), b in claim("b")) {
            let of_a = decide_sharing(&a, std::slice::from_ref(&b));
            let of_b = decide_sharing(&b, std::slice::from_ref(&a));
            if a.allows || b.allows {
                prop_assert_eq!(of_a, Sharing::Allowed("apps/b".to_owned()));
                prop_assert_eq!(of_b, Sharing::Allowed("apps/a".to_owned()));
            } else {
                let refused = [&of_a, &of_b].into_iter().filter(|of| matches!(of, Sharing::Refused(_))).count();
                prop_assert_eq!(refused, 1);
                if a.deployed && !b.deployed {
                    prop_assert_eq!(of_a, Sharing::Exclusive);
                }
            }
        }
    }
}
