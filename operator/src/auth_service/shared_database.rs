//! Whether two AuthServices name one database. Decided by what is written in their URLs: two names of one server are
//! not found out. Pure.

use k8s_openapi::jiff::Timestamp;
use latchkey_config::SecretText;
use url::Url;

use crate::fingerprint::fingerprint;

/// The port of PostgreSQL where a URL names none.
const PORT: u16 = 5432;

/// One that has made something for a database, or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Its uid, for two of one second.
    pub uid: String,
    /// Whether its replicas use the database already; otherwise they are about to.
    pub deployed: bool,
    /// Whether it says that the database may be shared.
    pub allows: bool,
}

/// Who else uses the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody that is known of, or only such as are refused.
    Alone,
    /// This one, which is allowed.
    Allowed(String),
    /// This one, before whom ours has to stand back.
    Refused(String),
}

/// Decides who else uses the database, and whether we may. Whose replicas use it already goes on; between equals the
/// older one does.
pub fn decide_sharing(own: &Claim, others: &[Claim]) -> Sharing {
    let rank = |claim: &Claim| (!claim.deployed, claim.created, claim.uid.clone());
    let called = |claim: &Claim| format!("{}/{}", claim.namespace, claim.name);
    let stronger = others.iter().filter(|other| !other.allows && !own.allows);
    match stronger.filter(|other| rank(other) < rank(own)).min_by_key(|other| rank(other)) {
        Some(other) => Sharing::Refused(called(other)),
        None => others
            .iter()
            .find(|other| other.allows || own.allows)
            .map_or(Sharing::Alone, |other| Sharing::Allowed(called(other))),
    }
}

/// A name for the database that a URL leads to from the pods of a namespace, whoever logs in: a hash of host, port and
/// database.
pub fn database_id(url: &SecretText, namespace: &str) -> Option<String> {
    let url = Url::parse(url.expose()).ok()?;
    let given = |name: &str| {
        url.query_pairs()
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.into_owned())
    };
    let host = given("host").or_else(|| url.host_str().map(str::to_owned)).unwrap_or_default().to_lowercase();
    let port = given("port").unwrap_or_else(|| url.port().unwrap_or(PORT).to_string());
    // Without a name it is the user's own (libpq, §34.1.2).
    let path = url.path().trim_start_matches('/');
    let database =
        given("dbname").unwrap_or_else(|| if path.is_empty() { url.username() } else { path }.to_owned());
    let host = qualified(host.trim_end_matches('.'), namespace);
    let id = fingerprint([host.as_bytes(), port.as_bytes(), database.as_bytes()]);
    Some(id[..16].to_owned())
}

/// The names of a Service made one: in a pod `NAME` alone means the one of its own namespace, and `NAME.NAMESPACE`,
/// `NAME.NAMESPACE.svc` and what follows the cluster's domain mean the same.
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

/// That another AuthService uses the database, and what to do.
pub(crate) fn shared_message(other: &str) -> String {
    format!(
        "AuthService {other} uses the same database: name another one in spec.database.urlSecretRef, or set spec.database.allowShared if both are to have the same accounts."
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
    fn a_service_has_one_name_however_it_is_called_and_another_in_another_namespace() {
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
    fn one_database_has_one_name_whoever_logs_in() {
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
        fn of_two_exactly_one_stands_back_unless_one_allows_it(a in claim("a"), b in claim("b")) {
            let of_a = decide_sharing(&a, std::slice::from_ref(&b));
            let of_b = decide_sharing(&b, std::slice::from_ref(&a));
            if a.allows || b.allows {
                prop_assert_eq!(of_a, Sharing::Allowed("apps/b".to_owned()));
                prop_assert_eq!(of_b, Sharing::Allowed("apps/a".to_owned()));
            } else {
                let refused = [&of_a, &of_b].into_iter().filter(|of| matches!(of, Sharing::Refused(_))).count();
                prop_assert_eq!(refused, 1);
                if a.deployed && !b.deployed {
                    prop_assert_eq!(of_a, Sharing::Alone);
                }
            }
        }
    }
}
