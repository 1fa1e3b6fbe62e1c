//! What an AuthService's registry contains, and which replicas have loaded it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_clients::{Client, CredentialKind, Registry};
use uuid::Uuid;

use super::Wanted;
use super::registry::digest_of;

/// What a running replica reports about the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loaded {
    /// It has loaded the registry with this serial.
    Serial(u64),
    /// It has loaded none.
    Missing,
    /// Its release knows no registered clients.
    Unsupported,
    /// It does not report.
    Silent,
}

/// Whether the operator keeps the registry in the cluster up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Yes,
    /// `spec.paused` holds changes back.
    Paused,
    /// The AuthClients are not known yet, or the API server refuses the registry.
    No,
}

/// The state of the registry of one AuthService.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published {
    /// The number of decisions about AuthClients that the registry contains.
    decisions: u64,
    written: Written,
    /// `None` if no registry exists.
    serial: Option<u64>,
    clients: BTreeMap<String, Held>,
    /// The serial with which a client id left the registry.
    removed: BTreeMap<String, u64>,
    replicas: Vec<Loaded>,
}

/// An entry of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    /// The uid of its AuthClient, if it is known.
    owner: Option<String>,
    client: Client,
    /// The first serial with this content, credentials aside. After a restart of the operator, the serial of the registry
    /// at that time.
    since: u64,
    /// The same for each credential.
    credentials: BTreeMap<Uuid, u64>,
}

/// How far the registration of an AuthClient is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// The registry does not have its present content yet.
    Pending(Written),
    /// No replica runs.
    NoReplicas,
    /// Some replicas have not loaded it.
    Loading { loaded: usize, replicas: usize, unsupported: bool },
    /// Every replica has loaded it.
    InForce,
}

impl Published {
    /// The state with this registry in the cluster. `owners` are the AuthClients of its entries; `known` are the client
    /// ids of all AuthClients.
    pub(crate) fn new(
        before: Option<&Self>,
        registry: Option<&Registry>,
        owners: &BTreeMap<String, String>,
        known: &BTreeSet<String>,
        (decisions, written): (u64, Written),
        replicas: Vec<Loaded>,
    ) -> Self {
        let serial = registry.map(Registry::serial);
        let held = |client: &Client| {
            let owner = owners.get(&client.client_id).cloned();
            let before = before.and_then(|before| before.clients.get(&client.client_id));
            let before = before.filter(|before| owner.is_none() || before.owner == owner);
            let now = serial.unwrap_or_default();
            let same = before.filter(|before| is_equal(&before.client, client));
            let credential = |id: &Uuid| before.and_then(|before| before.credentials.get(id).copied());
            let ids = client.credentials.iter().map(|known| known.id);
            let held = Held {
                owner,
                client: client.clone(),
                since: same.map_or(now, |before| before.since),
                credentials: ids.map(|id| (id, credential(&id).unwrap_or(now))).collect(),
            };
            (client.client_id.clone(), held)
        };
        let clients: BTreeMap<String, Held> =
            registry.into_iter().flat_map(Registry::clients).map(held).collect();
        let mut removed = before.map(|before| before.removed.clone()).unwrap_or_default();
        for id in before.into_iter().flat_map(|before| before.clients.keys()) {
            removed.insert(id.clone(), serial.unwrap_or_default());
        }
        removed.retain(|id, _| !clients.contains_key(id) && known.contains(id));
        Self { decisions, written, serial, clients, removed, replicas }
    }

    pub(crate) fn serial(&self) -> Option<u64> {
        self.serial
    }

    /// Whether every replica has the present registry, as far as it can.
    pub(crate) fn is_loaded(&self) -> bool {
        let Some(serial) = self.serial else { return true };
        self.replicas.iter().all(|loaded| match loaded {
            Loaded::Serial(loaded) => *loaded >= serial,
            Loaded::Unsupported => true,
            Loaded::Missing | Loaded::Silent => false,
        })
    }

    /// How far the registration of an AuthClient is.
    pub(crate) fn view(&self, uid: &str, wanted: &Wanted) -> View {
        let held = self.clients.get(&wanted.client.client_id);
        // After a restart the owner is not known yet; its secret is evidence enough.
        let held = held.filter(|held| held.owner.as_deref().is_none_or(|owner| owner == uid));
        let Some(since) = held.and_then(|held| held.since(wanted)) else {
            return View::Pending(self.written);
        };
        if self.replicas.is_empty() {
            return View::NoReplicas;
        }
        let has = |loaded: &&Loaded| matches!(loaded, Loaded::Serial(serial) if *serial >= since);
        let loaded = self.replicas.iter().filter(has).count();
        if loaded == self.replicas.len() {
            return View::InForce;
        }
        let unsupported = self.replicas.contains(&Loaded::Unsupported);
        View::Loading { loaded, replicas: self.replicas.len(), unsupported }
    }

    /// Whether the registry has an AuthClient with this content, its credentials aside.
    pub(crate) fn has(&self, uid: &str, client: &Client) -> bool {
        self.clients.get(&client.client_id).is_some_and(|held| {
            held.owner.as_deref().is_none_or(|owner| owner == uid) && is_equal(&held.client, client)
        })
    }

    /// Whether the registry has only the current secret of an AuthClient, and perhaps its next one.
    pub(crate) fn has_no_previous(&self, wanted: &Wanted) -> bool {
        self.clients.get(&wanted.client.client_id).is_none_or(|held| {
            held.client.credentials.iter().all(|known| {
                // Keys and service accounts are no secrets.
                digest_of(known)
                    .is_none_or(|digest| Some(digest) == wanted.current || Some(digest) == wanted.next)
            })
        })
    }

    /// Whether the registry in the cluster is without this AuthClient.
    pub(crate) fn has_removed(&self, uid: &str, client_id: &str) -> bool {
        self.clients.get(client_id).is_none_or(|held| held.owner.as_deref().is_some_and(|owner| owner != uid))
    }

    /// Whether no running replica accepts an AuthClient that is not to be registered any more. `decision` is the number of
    /// that decision: an earlier state does not show a registry that is being written.
    pub(crate) fn is_gone(&self, uid: &str, client_id: &str, decision: u64) -> bool {
        if self.decisions < decision || !self.has_removed(uid, client_id) {
            return false;
        }
        let Some(serial) = self.serial else { return true };
        // Another AuthClient has the id now, or none has it.
        let since = self.clients.get(client_id).map(|held| held.since);
        let since = since.or_else(|| self.removed.get(client_id).copied()).unwrap_or(serial);
        self.replicas.iter().all(|loaded| match loaded {
            Loaded::Serial(loaded) => *loaded >= since,
            // It accepts no clients at all. A replica that has loaded no registry will load one.
            Loaded::Unsupported => true,
            Loaded::Missing | Loaded::Silent => false,
        })
    }
}

impl Held {
    /// The first serial with the wanted content; `None` if the entry does not have it.
    fn since(&self, wanted: &Wanted) -> Option<u64> {
        let since = |digest| {
            let mut credentials = self.client.credentials.iter();
            let known =
                credentials.find(|known| digest_of(known) == Some(digest) && known.expires_at.is_none())?;
            self.credentials.get(&known.id).copied()
        };
        // Without their ids, which the registry decides.
        let others = |client: &Client| -> Vec<CredentialKind> {
            let others = client.credentials.iter().filter(|known| digest_of(known).is_none());
            others.map(|known| known.kind.clone()).collect()
        };
        if !is_equal(&self.client, &wanted.client) || others(&self.client) != others(&wanted.client) {
            return None;
        }
        let ids = wanted.client.credentials.iter().map(|wanted| {
            let known = self.client.credentials.iter().find(|known| known.kind == wanted.kind)?;
            self.credentials.get(&known.id).copied()
        });
        let secrets = wanted.current.into_iter().chain(wanted.next).map(since);
        ids.chain(secrets).try_fold(self.since, |serial, since| Some(serial.max(since?)))
    }
}

/// Whether two clients are equal, except for their credentials.
fn is_equal(one: &Client, other: &Client) -> bool {
    let bare = |client: &Client| Client { credentials: Vec::new(), ..client.clone() };
    bare(one) == bare(other)
}

#[cfg(test)]
mod tests {
    use super::super::registry::tests::{digest, wanted};
    use super::super::registry::{Member, NextRegistry, next_registry};
    use super::*;

    struct Cluster {
        last: Option<NextRegistry>,
        published: Option<Published>,
    }

    impl Cluster {
        fn new() -> Self {
            Self { last: None, published: None }
        }

        /// The state after the AuthService was reconciled with these AuthClients, by uid.
        fn with(&mut self, members: &[(&str, Wanted)], known: &[&str], replicas: &[Loaded]) -> &Published {
            let last = self.last.as_ref().map(|last| &last.registry);
            let members = members.iter().map(|(uid, wanted)| Member::Wanted {
                uid: (*uid).to_owned(),
                wanted: Box::new(wanted.clone()),
            });
            let now = chrono::DateTime::UNIX_EPOCH;
            let next = next_registry(last, members.collect(), now, 1, Uuid::new_v4).unwrap();
            let known = known.iter().map(|id| (*id).to_owned()).collect();
            let published = Published::new(
                self.published.as_ref(),
                Some(&next.registry),
                &next.owners,
                &known,
                (7, Written::Yes),
                replicas.to_vec(),
            );
            self.last = Some(next);
            self.published.insert(published)
        }
    }

    use Loaded::{Missing, Serial, Silent, Unsupported};

    #[test]
    fn a_client_is_in_force_when_every_replica_has_its_content() {
        let mut cluster = Cluster::new();
        let a = wanted("a", Some(1));
        let all = [("1", a.clone())];
        let view = |published: &Published| published.view("1", &a);
        assert_eq!(view(cluster.with(&[], &[], &[])), View::Pending(Written::Yes));
        assert_eq!(view(cluster.with(&all, &["a"], &[])), View::NoReplicas);
        for (replicas, loaded, unsupported) in [
            (vec![Missing], 0, false),
            (vec![Serial(2), Silent], 1, false),
            (vec![Serial(1), Serial(2)], 1, false),
            (vec![Serial(2), Unsupported], 1, true),
        ] {
            let expected = View::Loading { loaded, replicas: replicas.len(), unsupported };
            assert_eq!(view(cluster.with(&all, &["a"], &replicas)), expected);
        }
        assert_eq!(view(cluster.with(&all, &["a"], &[Serial(2), Serial(2)])), View::InForce);
        // The change of another client does not concern it.
        let both = [("1", a.clone()), ("2", wanted("b", Some(2)))];
        let published = cluster.with(&both, &["a", "b"], &[Serial(2)]);
        assert_eq!(view(published), View::InForce);
        assert!(!published.is_loaded());
        let pending = View::Loading { loaded: 0, replicas: 1, unsupported: false };
        assert_eq!(published.view("2", &both[1].1), pending);
        // Another AuthClient with the same id is not registered.
        assert_eq!(published.view("3", &a), View::Pending(Written::Yes));
        // Its own change does; meanwhile the current secret is accepted.
        let rotated = Wanted { next: Some(digest(9)), ..a.clone() };
        let published = cluster.with(&[("1", rotated.clone()), both[1].clone()], &["a", "b"], &[Serial(3)]);
        assert_eq!((published.view("1", &rotated), published.view("1", &a)), (pending, View::InForce));
        let published = cluster.with(&[("1", rotated.clone()), both[1].clone()], &["a", "b"], &[Serial(4)]);
        assert_eq!(published.view("1", &rotated), View::InForce);
        // The end of the previous secret does not.
        let after = wanted("a", Some(9));
        let published = cluster.with(&[("1", after.clone()), both[1].clone()], &["a", "b"], &[Serial(4)]);
        assert_eq!((published.view("1", &after), published.serial()), (View::InForce, Some(5)));
        assert!(!published.has_no_previous(&after));
    }

    #[test]
    fn a_client_is_gone_when_no_replica_has_it() {
        let mut cluster = Cluster::new();
        let both = [("1", wanted("a", Some(1))), ("2", wanted("b", Some(2)))];
        let published = cluster.with(&both, &["a", "b"], &[Serial(1)]);
        assert!(!published.is_gone("1", "a", 7));
        assert!(published.is_gone("9", "never registered", 7));
        for (replica, gone) in
            [(Serial(1), false), (Missing, false), (Silent, false), (Unsupported, true), (Serial(2), true)]
        {
            let published = cluster.with(&both[1..], &["a", "b"], &[Serial(2), replica]);
            assert_eq!(published.is_gone("1", "a", 7), gone, "{replica:?}");
        }
        // A later change of another client does not delay it.
        let other = [("2", wanted("b", Some(3)))];
        assert!(cluster.with(&other, &["a", "b"], &[Serial(2)]).is_gone("1", "a", 7));
        assert!(cluster.with(&other, &["a", "b"], &[]).is_gone("1", "a", 7), "no replica");
        // Another AuthClient has the id.
        let another = [("3", wanted("a", Some(4)))];
        let published = cluster.with(&another, &["a"], &[Serial(3)]);
        assert!(published.has_removed("1", "a") && !published.is_gone("1", "a", 7));
        assert!(cluster.with(&another, &["a"], &[Serial(4)]).is_gone("1", "a", 7));
    }

    #[test]
    fn without_a_registry_every_client_is_gone() {
        let replicas = vec![Missing, Silent];
        let published =
            Published::new(None, None, &BTreeMap::new(), &BTreeSet::new(), (7, Written::Yes), replicas);
        assert!(published.is_gone("1", "a", 7) && published.is_loaded());
        // A registry with the client may be about to be written.
        assert!(!published.is_gone("1", "a", 8));
    }

    #[test]
    fn after_a_restart_the_present_registry_counts() {
        let mut cluster = Cluster::new();
        let a = [("1", wanted("a", Some(1)))];
        cluster.with(&a, &["a"], &[]);
        cluster.with(&[a[0].clone(), ("2", wanted("b", Some(2)))], &["a", "b"], &[]);
        cluster.published = None;
        let published = cluster.with(&[a[0].clone(), ("2", wanted("b", Some(2)))], &["a", "b"], &[Serial(1)]);
        assert!(matches!(published.view("1", &a[0].1), View::Loading { .. }));
    }
}
