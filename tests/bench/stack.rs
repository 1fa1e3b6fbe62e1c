//! A database, a Redis and servers.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use anyhow::Context;
use chrono::Utc;
use latchkey_tests::app::{ISSUER, Session, path};
use latchkey_tests::clients_file::{ClientsFile, TestClient};
use latchkey_tests::forged_tokens::Forged;
use latchkey_tests::key_set::{self, KeyFile};
use latchkey_tests::pgbouncer::PgBouncer;
use latchkey_tests::postgres::Database;
use latchkey_tests::redis::Redis;
use latchkey_tests::redis_cluster::RedisCluster;
use latchkey_tests::redis_sentinel::SentinelSetup;
use latchkey_tests::scratch;
use latchkey_tests::server::Variables;
use serde_json::Value;
use sqlx::Connection as _;
use tempfile::TempDir;
use uuid::Uuid;

use crate::data::{PASSWORD, Size};
use crate::flows::{ClientTokens, Introspect, Login, Logout, Read, Refresh};
use crate::instance::Instance;
use crate::load::{Flow, Load, Pace, Report};
use crate::options::{Options, RedisKind};
use crate::replica::Replica;

/// The credentials of the application that introspects tokens.
const CLIENT: (&str, &str) = ("bench", "0123456789abcdef0123456789abcdef");

/// Which Redis there is.
enum Stores {
    Single(Redis),
    Sentinel(SentinelSetup),
    Cluster(RedisCluster),
}

/// Everything that a load needs. Dropping it stops all processes; the order of the fields is that of their ends.
pub struct Stack {
    pub replicas: Vec<Replica>,
    pub variables: Variables,
    pooler: Option<PgBouncer>,
    stores: Stores,
    pub postgres: Option<Instance>,
    _keys: KeyFile,
    _clients_file: ClientsFile,
    /// The registered OAuth clients.
    clients: Vec<TestClient>,
    key: Value,
    folder: TempDir,
    size: Size,
    options: Options,
    /// Tokens of a real login.
    templates: Option<(Forged, Forged)>,
    /// The sessions up to this id have been used.
    used: Uuid,
    logins: usize,
    /// The sessions of applications that read profiles.
    readers: Vec<Session>,
}

/// The number of tokens with which applications read profiles in a load.
const READERS: i64 = 4_000;

/// The number of OAuth clients in the registry.
const CLIENTS: usize = 100;

/// More than there are connections.
const REFRESHERS: i64 = 1_000;

/// What a load calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Login,
    Me,
    Verify,
    Introspect,
    ClientToken,
    Refresh,
    Logout,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Login,
        Self::Me,
        Self::Verify,
        Self::Introspect,
        Self::ClientToken,
        Self::Refresh,
        Self::Logout,
    ];

    /// The request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Me => "/me",
            Self::Verify => "/verify",
            Self::Introspect => "introspection",
            Self::ClientToken => "client token",
            Self::Refresh => "refresh",
            Self::Logout => "logout",
        }
    }

    /// Connections of a closed loop: enough to use all cores, hash workers and database connections.
    pub fn connections(self) -> usize {
        match self {
            Self::Login => 16,
            Self::Me | Self::Verify | Self::Introspect | Self::ClientToken => 32,
            Self::Refresh | Self::Logout => 64,
        }
    }
}

/// A folder on the disk that the user of PostgreSQL can enter; it is removed when this process has ended.
pub fn disk_folder() -> anyhow::Result<TempDir> {
    static WORK: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = scratch::folder_in(Path::new("/var/tmp"), "bench");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o711)).expect("the permissions");
        folder
    });
    let folder = tempfile::Builder::new().prefix("data-").tempdir_in(&*WORK)?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711))?;
    Ok(folder)
}

impl Stack {
    /// Starts everything.
    pub async fn start(options: &Options, size: Size) -> anyhow::Result<Self> {
        let folder = disk_folder()?;
        size.unpack(folder.path()).await?;
        let postgres = Instance::start(folder.path(), &[])?;
        let stores = match options.redis {
            RedisKind::Single => Stores::Single(Redis::start()),
            RedisKind::Sentinel => Stores::Sentinel(SentinelSetup::start(false).await),
            RedisKind::Cluster => Stores::Cluster(RedisCluster::start().await),
        };
        let pooler = options.pgbouncer.then(|| {
            let database = Database::at(postgres.port(), postgres.password(), "postgres");
            PgBouncer::start(&database, "pool_mode = transaction\nmax_client_conn = 1000")
        });
        let key = key_set::of_this_process().clone();
        let keys = KeyFile::new(std::slice::from_ref(&key));
        let clients: Vec<TestClient> = (0..CLIENTS)
            .map(|number| TestClient::new(&format!("load-client-{number}"), &["orders:read"]))
            .collect();
        let clients_file = ClientsFile::new(&clients);
        let port = pooler.as_ref().map_or(postgres.port(), PgBouncer::port);
        let redis = match &stores {
            Stores::Single(redis) => redis.url(),
            Stores::Sentinel(setup) => setup.url(),
            Stores::Cluster(cluster) => cluster.nodes[0].url(),
        };
        let variables = [
            ("DATABASE_URL", postgres.url(port)),
            ("REDIS_URL", redis),
            ("ISSUER_URL", ISSUER.to_owned()),
            ("JWT_KEYS_FILE", keys.path().display().to_string()),
            ("CLIENTS_FILE", clients_file.path().display().to_string()),
            ("INTROSPECTION_CLIENT_ID", CLIENT.0.to_owned()),
            ("INTROSPECTION_CLIENT_SECRET", CLIENT.1.to_owned()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).into();
        let mut stack = Self {
            replicas: Vec::new(),
            variables,
            pooler,
            stores,
            postgres: Some(postgres),
            _keys: keys,
            _clients_file: clients_file,
            clients,
            key,
            folder,
            size,
            options: options.clone(),
            templates: None,
            used: Uuid::nil(),
            logins: 0,
            readers: Vec::new(),
        };
        stack.start_replicas().await?;
        Ok(stack)
    }

    async fn start_replicas(&mut self) -> anyhow::Result<()> {
        for number in 0..self.options.replicas {
            let mut replica = self.new_replica(&number.to_string())?;
            replica.wait_until_ready().await?;
            self.replicas.push(replica);
        }
        self.templates = Some(self.log_in().await?);
        Ok(())
    }

    fn new_replica(&self, name: &str) -> anyhow::Result<Replica> {
        Replica::start(&self.variables, &self.folder.path().join(format!("server-{name}.log")))
    }

    /// Restarts PostgreSQL with other settings, and the servers.
    pub async fn restart_with(&mut self, settings: &[&str]) -> anyhow::Result<()> {
        self.replicas.clear();
        let postgres = self.postgres.take().context("PostgreSQL runs")?;
        self.postgres = Some(postgres.restart(settings)?);
        self.start_replicas().await
    }

    /// The PostgreSQL.
    pub fn postgres(&self) -> &Instance {
        self.postgres.as_ref().expect("PostgreSQL runs")
    }

    /// The port that the servers connect to: of PostgreSQL or of PgBouncer.
    pub fn database_port(&self) -> u16 {
        self.pooler.as_ref().map_or(self.postgres().port(), PgBouncer::port)
    }

    /// The Redis servers.
    pub fn redis(&self) -> &[Redis] {
        match &self.stores {
            Stores::Single(redis) => std::slice::from_ref(redis),
            Stores::Sentinel(setup) => &setup.servers,
            Stores::Cluster(cluster) => &cluster.nodes,
        }
    }

    /// The Redis server that holds this key.
    pub async fn redis_of(&self, key: &str) -> &Redis {
        match &self.stores {
            Stores::Cluster(cluster) => &cluster.nodes[cluster.owner(key).await],
            _ => &self.redis()[0],
        }
    }

    /// The addresses of the servers.
    pub fn targets(&self) -> Vec<SocketAddr> {
        self.replicas.iter().map(|replica| replica.api).collect()
    }

    /// The CPU seconds of all servers.
    pub fn processor_seconds(&self) -> f64 {
        self.replicas.iter().map(|replica| replica.process.processor_seconds()).sum()
    }

    /// The tokens of a real login, as the templates of others.
    async fn log_in(&self) -> anyhow::Result<(Forged, Forged)> {
        let url = format!("http://{}{}", self.targets()[0], path::LOGIN);
        let form = [("username", "load-1"), ("password", PASSWORD)];
        let answer = reqwest::Client::new().post(url).form(&form).send().await?.error_for_status()?;
        let answer: Value = answer.json().await?;
        let token = |kind: &str| answer[kind]["token"].as_str().map(Forged::from_token).context("a token");
        Ok((token("access_token")?, token("refresh_token")?))
    }

    /// Tokens of sessions that were in the database from the beginning, and that no load has used.
    pub async fn sessions(&mut self, count: i64) -> anyhow::Result<Vec<Session>> {
        let sql = "SELECT sessions.id, sessions.user_id, refresh_tokens.jti
                   FROM sessions JOIN refresh_tokens ON refresh_tokens.session_id = sessions.id
                   WHERE sessions.id > $1 AND ended_at IS NULL AND address = '192.0.2.1' AND rotated_at IS NULL
                   ORDER BY sessions.id LIMIT $2";
        let mut connection = self.postgres().connect().await?;
        let query = sqlx::query_as(sql).bind(self.used).bind(count);
        let rows: Vec<(Uuid, i64, Uuid)> = query.fetch_all(&mut connection).await?;
        connection.close().await?;
        self.used = rows.last().context("the sessions of the database suffice")?.0;
        let now = Utc::now().timestamp();
        let sign = |template: &Forged, (sid, user, jti): &(Uuid, i64, Uuid)| {
            let token = template.clone().claim("sub", user.to_string()).claim("sid", sid.to_string());
            token.claim("jti", jti.to_string()).claim("iat", now).claim("nbf", now).sign(&self.key)
        };
        let (access, refresh) = self.templates.as_ref().context("the servers have started")?;
        Ok(rows
            .iter()
            .map(|row| Session { access: sign(access, row), refresh: sign(refresh, row) })
            .collect())
    }

    /// The requests of a call. `logouts`: how many of them a load may need.
    pub async fn flow(&mut self, call: Call, logouts: i64) -> anyhow::Result<Arc<dyn Flow>> {
        if self.readers.is_empty() {
            self.readers = self.sessions(READERS).await?;
        }
        let readers = &self.readers;
        Ok(match call {
            Call::Login => Arc::new(self.logins()),
            Call::Me => Arc::new(Read::new(path::ME, readers)),
            Call::Verify => Arc::new(Read::new(path::VERIFY, readers)),
            Call::Introspect => Arc::new(Introspect::new(CLIENT, readers)),
            Call::ClientToken => Arc::new(ClientTokens::new(&self.clients)),
            Call::Refresh => Arc::new(Refresh::new(self.sessions(REFRESHERS).await?)),
            Call::Logout => Arc::new(Logout(self.sessions(logouts).await?)),
        })
    }

    /// Logins of accounts that no earlier load has used, as far as there are so many.
    pub fn logins(&mut self) -> Login {
        self.logins += 5_000;
        let users = usize::try_from(self.size.users).unwrap_or(1);
        Login { users, password: PASSWORD.to_owned(), first: self.logins }
    }

    /// A load on the servers of this stack.
    pub fn load(&self, flow: Arc<dyn Flow>, connections: usize, pace: Pace) -> Load {
        load(&self.options, flow, self.targets(), connections, pace)
    }

    /// Runs a closed loop. Returns also the CPU microseconds of the servers for a request.
    pub async fn saturate(&mut self, call: Call, logouts: i64) -> anyhow::Result<(Report, f64)> {
        let flow = self.flow(call, logouts).await?;
        let before = self.processor_seconds();
        let report = self.load(flow, call.connections(), Pace::Closed).run().await?;
        let seconds = self.processor_seconds() - before;
        let micros = seconds * 1e6 / report.total.max(1) as f64;
        let report = report.checked().with_context(|| call.name().to_owned())?;
        Ok((report, micros))
    }
}

/// A load with the durations of the command line.
pub fn load(
    options: &Options,
    flow: Arc<dyn Flow>,
    targets: Vec<SocketAddr>,
    connections: usize,
    pace: Pace,
) -> Load {
    let (warm_up, duration) = (options.warm_up(), options.duration());
    Load { flow, targets, connections, threads: options.threads(), warm_up, duration, pace }
}
