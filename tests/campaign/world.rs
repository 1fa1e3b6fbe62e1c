//! Everything that runs: the replicas, their stores, the SMTP server, and a proxy between any two of them.

use std::collections::HashMap;
use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use latchkey_tests::app::{ISSUER, SUPERUSER, superuser_password};
use latchkey_tests::clients_file::{ClientsFile, compressed};
use latchkey_tests::key_set::{self, KeyFile};
use latchkey_tests::logs::SECRET_MARK;
use latchkey_tests::server::{Variables, shift_clock};
use latchkey_tests::smtp::{Mailpit, Smtp};
use serde_json::Value;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::history::{Account, Recorder};
use crate::postgres::Databases;
use crate::proxy::Proxy;
use crate::random::Random;
use crate::redis::Caches;
use crate::replica::Replica;

/// The client that may use `/introspect`.
pub const CLIENT: &str = "campaign";

/// The secret of [`CLIENT`].
pub fn client_secret() -> String {
    format!("{SECRET_MARK}-campaign-0123456789abcdef0123456789abcdef")
}

/// What a seed decides about the setup.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub replicas: usize,
    pub with_sentinel: bool,
    pub with_standby: bool,
    /// Whether the clocks of the replicas differ by 30 s.
    pub clocks_differ: bool,
}

impl Plan {
    pub fn of(random: &mut Random) -> Self {
        Self {
            replicas: 2 + random.below(3),
            with_sentinel: random.happens(50),
            with_standby: random.happens(65),
            clocks_differ: random.happens(50),
        }
    }
}

/// An access token of a session, for checks of its end.
#[derive(Debug, Clone)]
pub struct Known {
    pub session: Uuid,
    pub access: String,
}

/// The serial of the registry without clients with which the replicas start.
pub const FIRST_SERIAL: u64 = 1;

/// A secret of an OAuth client.
#[derive(Debug, Clone)]
pub struct Credential {
    pub id: Uuid,
    pub secret: String,
}

/// A token of an OAuth client.
#[derive(Debug, Clone)]
pub struct ClientToken {
    pub id: Uuid,
    pub credential: Uuid,
    pub access: String,
}

/// An OAuth client as its application knows it.
#[derive(Debug, Clone, Default)]
pub struct KnownClient {
    /// Those that every replica has loaded, the newest first.
    pub credentials: Vec<Credential>,
    pub tokens: Vec<ClientToken>,
}

/// A running setup.
#[derive(Debug)]
pub struct World {
    pub replicas: Vec<Replica>,
    pub databases: Mutex<Databases>,
    pub caches: Mutex<Caches>,
    pub mail: Mailpit,
    pub mail_proxy: Proxy,
    pub keys: KeyFile,
    pub key_set: Vec<Value>,
    /// The file with the OAuth clients of each replica.
    pub client_files: Vec<ClientsFile>,
    /// The newest registry, which is in all files unless it is being written.
    pub registry: Mutex<Vec<u8>>,
    pub recorder: Recorder,
    /// What the applications know of each OAuth client.
    clients: StdMutex<HashMap<Account, KnownClient>>,
    /// The sessions of each account, so that an administrator's revocation can be tested with the user's tokens.
    directory: StdMutex<HashMap<Account, Vec<Known>>>,
}

impl World {
    /// Starts everything and waits until all replicas are ready.
    pub async fn start(plan: Plan) -> Self {
        let databases = Databases::start(plan.replicas, plan.with_standby).await;
        let caches = Caches::start(plan.replicas, plan.with_sentinel).await;
        let mail = Mailpit::start(Smtp::Plain).await;
        let key_set = vec![key_set::of_this_process().clone()];
        let keys = KeyFile::new(&key_set);
        let mut variables: Variables = Variables::new();
        let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
        for (name, value) in mail.variables() {
            set(name, &value);
        }
        for (name, value) in [
            ("ISSUER_URL", ISSUER),
            ("FIRST_SUPERUSER", SUPERUSER),
            ("FIRST_SUPERUSER_EMAIL", "root@example.test"),
            ("FIRST_SUPERUSER_PASSWORD", &superuser_password()),
            ("REGISTRATION_ENABLED", "true"),
            ("RATE_LIMITS_ENABLED", "false"),
            ("SESSIONS_PER_ACCOUNT", "100000"),
            ("INTROSPECTION_CLIENT_ID", CLIENT),
            ("INTROSPECTION_CLIENT_SECRET", &client_secret()),
            ("JWT_KEYS_FILE", &keys.path().display().to_string()),
            ("DATABASE_POOL_SIZE", "15"),
        ] {
            set(name, value);
        }
        let smtp_port = variables["SMTP_PORT"].parse().expect("a port");
        let mail_proxy = Proxy::to(smtp_port);
        variables.insert("SMTP_PORT".to_owned(), mail_proxy.port().to_string());
        let client_files: Vec<_> = (0..plan.replicas).map(|_| ClientsFile::new(&[])).collect();
        let mut replicas = Vec::new();
        for number in 0..plan.replicas {
            let mut variables = variables.clone();
            variables.insert("DATABASE_URL".to_owned(), databases.url(number));
            variables.insert("REDIS_URL".to_owned(), caches.url(number));
            variables.insert("CLIENTS_FILE".to_owned(), client_files[number].path().display().to_string());
            if plan.clocks_differ {
                shift_clock(&mut variables, ["+15s", "-15s"][number % 2]);
            }
            replicas.push(Replica::start(variables).await);
        }
        let world = Self {
            replicas,
            databases: Mutex::new(databases),
            caches: Mutex::new(caches),
            mail,
            mail_proxy,
            keys,
            key_set,
            client_files,
            registry: Mutex::new(compressed(FIRST_SERIAL, &[])),
            recorder: Recorder::new(),
            clients: StdMutex::default(),
            directory: StdMutex::default(),
        };
        assert!(world.wait_until_ready(Duration::from_mins(1)).await, "the replicas are not ready");
        world
    }

    /// Whether all replicas become ready in time.
    pub async fn wait_until_ready(&self, limit: Duration) -> bool {
        let ready = async {
            while !self.replicas.iter().all(Replica::takes_requests) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(limit, ready).await.is_ok()
    }

    /// A replica for a request: one that is ready, if there is one.
    pub fn choose_replica(&self, random: &mut Random) -> usize {
        let ready: Vec<_> =
            (0..self.replicas.len()).filter(|number| self.replicas[*number].takes_requests()).collect();
        if ready.is_empty() { random.below(self.replicas.len()) } else { *random.pick(&ready) }
    }

    fn directory(&self) -> MutexGuard<'_, HashMap<Account, Vec<Known>>> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the newest access token of a session.
    pub fn enter(&self, account: Account, session: Uuid, access: &str) {
        let mut directory = self.directory();
        let known = directory.entry(account).or_default();
        known.retain(|known| known.session != session);
        // The oldest have most likely ended.
        if known.len() > 8 {
            known.remove(0);
        }
        known.push(Known { session, access: access.to_owned() });
    }

    /// What is known of an OAuth client.
    pub fn client(&self, account: Account) -> KnownClient {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).get(&account).cloned().unwrap_or_default()
    }

    /// Changes what is known of an OAuth client.
    pub fn change_client<T>(&self, account: Account, change: impl FnOnce(&mut KnownClient) -> T) -> T {
        change(self.clients.lock().unwrap_or_else(PoisonError::into_inner).entry(account).or_default())
    }

    pub fn known(&self, account: Account) -> Vec<Known> {
        self.directory().get(&account).cloned().unwrap_or_default()
    }

    /// The accounts with known sessions.
    pub fn accounts(&self) -> Vec<Account> {
        self.directory().keys().copied().collect()
    }
}
