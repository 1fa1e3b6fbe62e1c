//! Whether two AuthServices use the same database, decided by their URLs and by the evidence that each uses it; different
//! host names of the same server are not detected. Pure.

use k8s_openapi::jiff::Timestamp;
use latchkey_config::{PostgresAddress, PostgresUrl, SecretText};

use crate::fingerprint::fingerprint;

/// What shows that an AuthService uses a database, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// Its Deployment was written after a migration of this database.
    Serving,
    /// Its migration Job succeeded.
    Migrated,
    /// Its migration has begun and no attempt has failed.
    Begun,
    /// It was created recently and is about to begin.
    Waiting,
    /// It has not succeeded in the time that it had: it has no precedence over any other.
    Unproven,
}

/// An AuthService that uses a database, or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub namespace: String,
    pub name: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Its uid, as a tie-breaker.
    pub uid: String,
    pub standing: Standing,
    /// Whether it allows sharing of the database.
    pub allows: bool,
}

/// Another user of the database, as far as this AuthService may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Other {
    /// An AuthService of the same namespace.
    Named(String),
    /// One of another namespace: its name and namespace are not revealed.
    Elsewhere,
}

impl std::fmt::Display for Other {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(name) => write!(f, "AuthService {name}"),
            Self::Elsewhere => f.write_str("an AuthService of another namespace"),
        }
    }
}

/// Other users of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// There is no other user, or only users that are refused.
    Exclusive,
    /// This AuthService also uses it, which is allowed.
    Allowed(Other),
    /// This AuthService also serves from it, and neither has precedence.
    Undecided(Other),
    /// This AuthService also uses it and has precedence.
    Refused {
        other: Other,
        /// Whether it has not succeeded yet, and loses its precedence if it does not.
        for_now: bool,
    },
}

/// Decides whether the database has other users, and which of them has precedence: the one with the strongest evidence
/// that it uses the database, and among equals the older one. An AuthService that serves is not displaced by one of
/// another namespace, which could forge its evidence.
pub(crate) fn decide_sharing(own: &Claim, others: &[Claim]) -> Sharing {
    let described = |claim: &Claim| {
        if claim.namespace == own.namespace {
            Other::Named(format!("{}/{}", claim.namespace, claim.name))
        } else {
            Other::Elsewhere
        }
    };
    let stronger = others.iter().filter(|other| !other.allows && !own.allows && precedes(other, own));
    if let Some(other) = stronger.min_by_key(|other| rank(other)) {
        return Sharing::Refused { other: described(other), for_now: other.standing > Standing::Migrated };
    }
    if let Some(other) =
        others.iter().find(|other| (other.allows || own.allows) && other.standing != Standing::Unproven)
    {
        return Sharing::Allowed(described(other));
    }
    let serving = others.iter().find(|other| {
        [other.standing, own.standing] == [Standing::Serving; 2] && other.namespace != own.namespace
    });
    serving.map_or(Sharing::Exclusive, |other| Sharing::Undecided(described(other)))
}

fn rank(claim: &Claim) -> (Standing, Option<Timestamp>, &str) {
    // A failed attempt does not put a service behind one that has not begun.
    (claim.standing.min(Standing::Waiting), claim.created, &claim.uid)
}

fn precedes(other: &Claim, own: &Claim) -> bool {
    let forgeable =
        [other.standing, own.standing] == [Standing::Serving; 2] && other.namespace != own.namespace;
    other.standing != Standing::Unproven && !forgeable && rank(other) < rank(own)
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
pub(crate) fn shared_message(other: &Other) -> String {
    format!(
        "The database is in use by {other}: reference another database in spec.database.urlSecretRef, or set spec.database.allowShared if both should share accounts."
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

    const STANDINGS: [Standing; 5] =
        [Standing::Serving, Standing::Migrated, Standing::Begun, Standing::Waiting, Standing::Unproven];

    prop_compose! {
        fn claim(name: &'static str)(
            second in 0_i64..3,
            standing in proptest::sample::select(&STANDINGS[..]),
            allows: bool,
            namespace in proptest::sample::select(vec!["apps", "other"]),
        ) -> Claim {
            Claim {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                created: Timestamp::from_second(second).ok(),
                uid: name.to_owned(),
                standing,
                allows,
            }
        }
    }

    fn is_refused(sharing: &Sharing) -> bool {
        matches!(sharing, Sharing::Refused { .. })
    }

    proptest! {
        #[test]
        fn at_most_one_of_two_claims_is_refused(a in claim("a"), b in claim("b")) {
            let of_a = decide_sharing(&a, std::slice::from_ref(&b));
            let of_b = decide_sharing(&b, std::slice::from_ref(&a));
            let refused = [&of_a, &of_b].into_iter().filter(|of| is_refused(of)).count();
            let proven = a.standing != Standing::Unproven && b.standing != Standing::Unproven;
            let both_serve = [a.standing, b.standing] == [Standing::Serving; 2];
            if a.allows || b.allows {
                prop_assert_eq!(refused, 0);
            } else if both_serve && a.namespace != b.namespace {
                prop_assert_eq!(of_a, Sharing::Undecided(Other::Elsewhere));
                prop_assert_eq!(of_b, Sharing::Undecided(Other::Elsewhere));
            } else if proven {
                prop_assert_eq!(refused, 1);
                prop_assert!(a.standing >= b.standing || !is_refused(&of_a));
            }
            // One that has not succeeded holds up no other.
            prop_assert!(b.standing != Standing::Unproven || !is_refused(&decide_sharing(&a, &[b])));
        }

        #[test]
        fn nothing_of_another_namespace_is_named(own in claim("a"), others in proptest::collection::vec(claim("secret"), 0..3)) {
            let others: Vec<_> =
                others.into_iter().map(|claim| Claim { namespace: "elsewhere".to_owned(), ..claim }).collect();
            match decide_sharing(&own, &others) {
                Sharing::Exclusive => {}
                Sharing::Allowed(other) | Sharing::Undecided(other) | Sharing::Refused { other, .. } => {
                    prop_assert_eq!(&other, &Other::Elsewhere);
                    let message = shared_message(&other);
                    prop_assert!(!message.contains("elsewhere") && !message.contains("AuthService secret"), "{}", message);
                }
            }
        }
    }
}
