//! A running Latchkey: replicas of the server with PostgreSQL, Redis and, on request, an SMTP server.

use std::net::SocketAddr;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::answer::{Answer, Answered};
use crate::clients_file::ClientsFile;
use crate::key_set::{self, KeyFile};
use crate::logs::SECRET_MARK;
use crate::pgbouncer::PgBouncer;
use crate::postgres::{Database, Postgres};
use crate::redis::Redis;
use crate::server::{Server, Variables};
use crate::smtp::{Mailpit, Smtp};
use crate::wait;

/// The paths of the endpoints.
pub mod path {
    #![expect(missing_docs, reason = "the names are those of the endpoints")]
    pub const LOGIN: &str = "/api/v1/auth/login";
    pub const TOKEN: &str = "/api/v1/auth/token";
    pub const REFRESH: &str = "/api/v1/auth/refresh";
    pub const ME: &str = "/api/v1/auth/me";
    pub const LOGOUT: &str = "/api/v1/auth/logout";
    pub const RECOVERY: &str = "/api/v1/auth/password-recovery";
    pub const RESET: &str = "/api/v1/auth/reset-password";
    pub const VERIFY: &str = "/api/v1/auth/verify";
    pub const INTROSPECT: &str = "/api/v1/auth/introspect";
    pub const REVOKE: &str = "/api/v1/auth/revoke";
    pub const REGISTER: &str = "/api/v1/auth/register";
    pub const VERIFY_EMAIL: &str = "/api/v1/auth/verify-email";
    pub const RESEND_VERIFICATION: &str = "/api/v1/auth/verify-email/resend";
    pub const PREFERENCES: &str = "/api/v1/auth/me/preferences";
    pub const MY_PASSWORD: &str = "/api/v1/auth/me/password";
    pub const MY_EMAIL: &str = "/api/v1/auth/me/email";
    pub const CONFIRM_EMAIL: &str = "/api/v1/auth/confirm-email";
    pub const SESSIONS: &str = "/api/v1/auth/sessions";
    pub const LOGOUT_ALL: &str = "/api/v1/auth/logout-all";
    pub const USERS: &str = "/api/v1/users";
    pub const GROUPS: &str = "/api/v1/groups";
    pub const METADATA: &str = "/.well-known/oauth-authorization-server";
    pub const JWKS: &str = "/.well-known/jwks.json";
}

/// The `ISSUER_URL` of every server in the tests.
pub const ISSUER: &str = "https://auth.example.test";

/// The user name of the first superuser.
pub const SUPERUSER: &str = "root.admin";

/// A running Latchkey. Dropping it stops all its programs.
#[derive(Debug)]
pub struct App {
    /// The replicas.
    pub servers: Vec<Server>,
    /// The database that all replicas use.
    pub database: Database,
    /// The Redis that all replicas use.
    pub redis: Redis,
    /// The SMTP server, if the test requested one.
    pub mail: Option<Mailpit>,
    /// The key set file that all replicas read.
    pub keys: KeyFile,
    /// The client registry that all replicas read, if the test requested one.
    pub clients: Option<ClientsFile>,
    /// The connection pooler, if the test requested one.
    pub pooler: Option<PgBouncer>,
    /// The separate PostgreSQL instance, if the test requested one.
    pub postgres: Option<Postgres>,
    /// The environment of each replica.
    pub variables: Variables,
    timed: bool,
    superuser: OnceCell<Session>,
}

/// The configuration of an [`App`].
#[derive(Debug, Default)]
pub struct Setup {
    replicas: usize,
    smtp: Option<Smtp>,
    own_postgres: bool,
    c_locale: bool,
    pooler: Option<&'static str>,
    keys: Option<Vec<Value>>,
    pub(crate) clients: Option<ClientsFile>,
    is_timed: bool,
    variables: Variables,
}

/// An account that a test created.
#[derive(Debug, Clone)]
pub struct User {
    /// The `id` in `/me`.
    pub id: i64,
    /// User name.
    pub username: String,
    /// Address.
    pub email: String,
    /// Password.
    pub password: String,
}

/// The tokens of a session.
#[derive(Debug, Clone)]
pub struct Session {
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
}

impl Setup {
    /// This many replicas instead of one.
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Enables e-mail with an SMTP server of this kind.
    #[must_use]
    pub fn mail(mut self, smtp: Smtp) -> Self {
        self.smtp = Some(smtp);
        self
    }

    /// For a test that measures response times ([`Server::start_timed`]).
    #[must_use]
    pub fn timed(mut self) -> Self {
        self.is_timed = true;
        self
    }

    /// A separate PostgreSQL instance, which the test may stop.
    #[must_use]
    pub fn own_postgres(mut self) -> Self {
        self.own_postgres = true;
        self
    }

    /// A database whose locale only knows the case of ASCII letters.
    #[must_use]
    pub fn in_c_locale(mut self) -> Self {
        self.c_locale = true;
        self
    }

    /// PgBouncer between the servers and PostgreSQL, with these lines in its configuration. `App::database` leads to
    /// PostgreSQL itself.
    #[must_use]
    pub fn pgbouncer(mut self, settings: &'static str) -> Self {
        self.pooler = Some(settings);
        self
    }

    /// These signing keys instead of one new ES256 key.
    #[must_use]
    pub fn keys(mut self, keys: Vec<Value>) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Sets an environment variable of the servers.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts all programs and waits until all replicas are ready.
    pub async fn start(self) -> App {
        let app = self.start_parts().await;
        for server in &app.servers {
            server.wait_until_ready().await;
        }
        app
    }

    /// Starts all programs, but does not wait until the replicas are ready.
    pub async fn start_parts(self) -> App {
        let postgres = self.own_postgres.then(Postgres::start);
        let instance = postgres.as_ref().unwrap_or_else(|| Postgres::shared());
        let database = if self.c_locale {
            let database = instance.create_empty_database_in_c_locale().await;
            database.migrate();
            database
        } else {
            instance.create_database().await
        };
        let redis = Redis::start();
        let keys = KeyFile::new(&self.keys.unwrap_or_else(|| vec![key_set::of_this_process().clone()]));
        let mut variables = default_variables(&database, &redis, &keys);
        let mail = match self.smtp {
            Some(smtp) => Some(Mailpit::start(smtp).await),
            None => None,
        };
        let pooler = self.pooler.map(|settings| PgBouncer::start(&database, settings));
        if let Some(pooler) = &pooler {
            variables.insert("DATABASE_URL".to_owned(), database.by_port(pooler.port()).url());
        }
        for (name, value) in mail.iter().flat_map(Mailpit::variables) {
            variables.insert(name.to_owned(), value);
        }
        variables.extend(self.variables);
        let mut servers = Vec::new();
        for _ in 0..self.replicas.max(1) {
            servers.push(Server::start_either(&variables, self.is_timed).await);
        }
        let (clients, timed, superuser) = (self.clients, self.is_timed, OnceCell::new());
        App { servers, database, redis, mail, keys, clients, pooler, postgres, variables, timed, superuser }
    }
}

/// The variables that a server needs; it listens on free ports.
pub fn default_variables(database: &Database, redis: &Redis, keys: &KeyFile) -> Variables {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0)).to_string();
    let text = [
        ("DATABASE_URL", database.url()),
        ("REDIS_URL", redis.url()),
        ("LISTEN_ADDR", any_port.clone()),
        ("MANAGEMENT_ADDR", any_port),
        ("ISSUER_URL", ISSUER.to_owned()),
        ("JWT_KEYS_FILE", keys.path().display().to_string()),
        ("FIRST_SUPERUSER", SUPERUSER.to_owned()),
        ("FIRST_SUPERUSER_EMAIL", "Root@Example.Test".to_owned()),
        ("FIRST_SUPERUSER_PASSWORD", superuser_password()),
    ];
    text.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The password of the first superuser.
pub fn superuser_password() -> String {
    format!("{SECRET_MARK} first superuser")
}

impl App {
    /// Starts one replica without e-mail.
    pub async fn start() -> Self {
        Self::setup().start().await
    }

    /// The configuration of another one.
    pub fn setup() -> Setup {
        Setup::default()
    }

    /// The first replica.
    pub fn server(&self) -> &Server {
        &self.servers[0]
    }

    /// The SMTP server.
    ///
    /// # Panics
    /// When the test has not requested one.
    pub fn mail(&self) -> &Mailpit {
        self.mail.as_ref().expect("Setup::mail was called")
    }

    /// Kills a replica and starts another one in its place.
    pub async fn restart(&mut self, replica: usize) {
        self.servers[replica].kill();
        self.servers[replica] = Server::start_either(&self.variables, self.timed).await;
        self.servers[replica].wait_until_ready().await;
    }

    /// A GET request to the first replica.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.server().get(path)
    }

    /// A POST request to the first replica.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.server().post(path)
    }

    /// A session of the first superuser, which all calls share.
    pub async fn superuser(&self) -> &Session {
        self.superuser.get_or_init(async || self.log_in_as(SUPERUSER, &superuser_password()).await).await
    }

    /// The user ids in the audit events of a kind that unauthenticated requests of this test caused; `-` for an event
    /// without a user id.
    pub async fn audited_requests(&self, kind: &str) -> String {
        let sql =
            "SELECT coalesce(string_agg(coalesce(user_id::text, '-'), ' ' ORDER BY user_id NULLS FIRST), '')
                   FROM audit_events
                   WHERE kind = $1 AND actor_id IS NULL AND address = '127.0.0.1' AND request_id IS NOT NULL";
        self.database.text(sql, kind).await
    }

    /// Waits until the outbox is empty: every e-mail is sent or was refused for good.
    pub async fn wait_until_outbox_is_empty(&self) {
        let messages = "SELECT count(*) FROM outbox WHERE $1 <> ''";
        wait::until_equal("the number of messages in the outbox", 0, || self.database.count(messages, "any"))
            .await;
    }

    /// Creates an account whose user name starts with `name`.
    pub async fn create_user(&self, name: &str) -> User {
        let unique = Uuid::new_v4().simple().to_string();
        let username = format!("{name}-{}", &unique[..8]);
        let user = User {
            id: 0,
            email: format!("{username}@example.test"),
            password: format!("{SECRET_MARK} {unique}"),
            username,
        };
        let answer = self.post_user(&new_user(&user)).await;
        User { id: answer.ok(201)["id"].as_i64().expect("an id"), ..user }
    }

    /// `POST /api/v1/users` as the first superuser.
    pub async fn post_user(&self, body: &Value) -> Answer {
        let superuser = self.superuser().await;
        self.post(path::USERS).bearer_auth(&superuser.access).json(body).answer().await
    }

    /// `POST /login`.
    pub async fn post_login(&self, username: &str, password: &str) -> Answer {
        self.post(path::LOGIN).form(&[("username", username), ("password", password)]).answer().await
    }

    /// Logs a user in.
    pub async fn log_in(&self, user: &User) -> Session {
        self.log_in_as(&user.username, &user.password).await
    }

    /// Logs in with a user name and password.
    pub async fn log_in_as(&self, username: &str, password: &str) -> Session {
        Session::from_answer(&self.post_login(username, password).await)
    }

    /// Creates an account and logs in.
    pub async fn new_session(&self, name: &str) -> (User, Session) {
        let user = self.create_user(name).await;
        let session = self.log_in(&user).await;
        (user, session)
    }

    /// `GET /me` at a replica.
    pub async fn me_at(&self, replica: usize, access: &str) -> Answer {
        self.servers[replica].get(path::ME).bearer_auth(access).answer().await
    }

    /// `GET /me` at the first replica.
    pub async fn me(&self, access: &str) -> Answer {
        self.me_at(0, access).await
    }

    /// `POST /refresh` at the first replica with the tokens of a session.
    pub async fn refresh(&self, session: &Session) -> Answer {
        self.refresh_at(0, session).await
    }

    /// `POST /refresh` at a replica.
    pub async fn refresh_at(&self, replica: usize, session: &Session) -> Answer {
        let body = json!({ "token": session.refresh });
        self.servers[replica].post(path::REFRESH).bearer_auth(&session.access).json(&body).answer().await
    }

    /// `POST /logout` at the first replica with the tokens of a session.
    pub async fn log_out(&self, session: &Session) -> Answer {
        self.log_out_at(0, session).await
    }

    /// `POST /logout` at a replica.
    pub async fn log_out_at(&self, replica: usize, session: &Session) -> Answer {
        let cookie = format!("refresh_token={}", session.refresh);
        let request = self.servers[replica].post(path::LOGOUT).header("cookie", cookie);
        request.bearer_auth(&session.access).answer().await
    }
}

/// The body of `POST /api/v1/users` for a user.
pub fn new_user(user: &User) -> Value {
    json!({
        "username": user.username,
        "email": user.email,
        "name": "John Doe",
        "password": user.password,
    })
}

impl Session {
    /// The tokens in a response of `/login` or `/refresh`.
    ///
    /// # Panics
    /// When the response is an error.
    #[track_caller]
    pub fn from_answer(answer: &Answer) -> Self {
        let body = answer.ok(200);
        let token = |kind: &str| body[kind]["token"].as_str().expect("a token").to_owned();
        Self { access: token("access_token"), refresh: token("refresh_token") }
    }
}
