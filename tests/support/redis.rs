//! Redis, or Valkey: one instance for each test that wants one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use redis::{AsyncCommands, Client, aio::MultiplexedConnection};
use tempfile::TempDir;

use crate::authority::Certificate;
use crate::process::{OnParentDeath, Process, free_port, temporary_folder};
use crate::{logs, programs, wait};

/// An instance that listens on 127.0.0.1 and asks for a password.
#[derive(Debug)]
pub struct Redis {
    process: Option<Process>,
    port: u16,
    password: String,
    folder: TempDir,
    eviction: &'static str,
    certificate: Option<Certificate>,
    /// More lines of its configuration.
    settings: String,
}

impl Redis {
    /// Starts one that never writes to disk by itself.
    pub fn start() -> Self {
        Self::with_eviction("noeviction")
    }

    /// Starts one with a `maxmemory-policy`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn with_eviction(eviction: &'static str) -> Self {
        Self::begin(eviction, None, "", logs::secret("redis"))
    }

    /// Starts one that speaks TLS and nothing else.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with_tls(certificate: &Certificate) -> Self {
        Self::begin("noeviction", Some(certificate), "", logs::secret("redis"))
    }

    /// Starts one that speaks TLS and requires a client certificate of the authority in the file `authority`.
    pub fn start_with_client_certificates(certificate: &Certificate, authority: &Path) -> Self {
        let settings = format!("tls-auth-clients yes\ntls-ca-cert-file {}\n", authority.display());
        Self::begin("noeviction", Some(certificate), &settings, logs::secret("redis"))
    }

    /// Starts one with more lines in its configuration and this password.
    pub fn start_with_settings(settings: &str, password: &str) -> Self {
        Self::begin("noeviction", None, settings, password.to_owned())
    }

    fn begin(
        eviction: &'static str,
        certificate: Option<&Certificate>,
        settings: &str,
        password: String,
    ) -> Self {
        let folder = temporary_folder("redis-");
        let certificate = certificate.map(|certificate| certificate.copied_into(folder.path()));
        let (port, settings) = (free_port(), settings.to_owned());
        let mut redis = Self { process: None, port, password, folder, eviction, certificate, settings };
        redis.start_again();
        redis
    }

    /// Starts it on the same port, with what the last [`Redis::dump`] wrote, or empty.
    pub fn start_again(&mut self) {
        // The password goes through a file: arguments can be read by everybody on the machine.
        let settings = self.folder.path().join("redis.conf");
        let port = match &self.certificate {
            None => format!("port {}", self.port),
            Some(Certificate { certificate, key }) => format!(
                "port 0\ntls-port {}\ntls-cert-file {}\ntls-key-file {}\ntls-auth-clients no",
                self.port,
                certificate.display(),
                key.display()
            ),
        };
        let text = format!(
            "bind 127.0.0.1\n{port}\nrequirepass {}\nsave \"\"\nappendonly no\ndir {}\nmaxmemory-policy {}\n{}",
            self.password,
            self.folder.path().display(),
            self.eviction,
            self.settings
        );
        fs::write(&settings, text).expect("Redis's configuration");
        let mut command = Command::new(programs::redis_server());
        command.arg(settings);
        let mut process = Process::start(&command, OnParentDeath::Kill);
        wait::until_blocking("Redis to listen", || {
            assert!(process.is_running(), "Redis ended at once: {:?}", process.stderr.all());
            std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
        self.process = Some(process);
    }

    /// Stops it at once; nothing is written.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Its URL, with the password.
    pub fn url(&self) -> String {
        self.url_through(self.port)
    }

    /// The same URL by way of another port.
    pub fn url_through(&self, port: u16) -> String {
        let scheme = if self.certificate.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://:{}@127.0.0.1:{port}", self.password)
    }

    /// Its URL, with the login of an ACL user.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("redis://{user}:{password}@127.0.0.1:{}", self.port)
    }

    /// Its password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Runs a command that an administrator would run.
    ///
    /// # Panics
    /// When Redis refuses it.
    pub async fn run(&self, command: &str) -> redis::Value {
        let mut words = command.split_whitespace();
        let mut sent = redis::cmd(words.next().expect("a command"));
        sent.arg(words.collect::<Vec<_>>());
        sent.query_async(&mut self.connect().await).await.unwrap_or_else(|e| panic!("{command}: {e}"))
    }

    /// Makes every attempt to save a snapshot fail, and waits until writes are refused because of it.
    ///
    /// # Panics
    /// When Redis does not answer.
    pub async fn break_snapshots(&self) {
        // A folder in the place of the file, which no permission of root can overcome.
        fs::create_dir(self.dump_file()).expect("a folder");
        let mut connection = self.connect().await;
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg("save").arg("3600 1");
        let _: () = command.query_async(&mut connection).await.expect("CONFIG SET");
        self.run("BGSAVE").await;
        wait::until("a failed snapshot", || async {
            let info: String = redis::cmd("INFO")
                .arg("persistence")
                .query_async(&mut self.connect().await)
                .await
                .expect("INFO");
            info.contains("rdb_last_bgsave_status:err").then_some(())
        })
        .await;
    }

    /// Ends [`Redis::break_snapshots`].
    ///
    /// # Panics
    /// When Redis does not answer.
    pub async fn repair_snapshots(&self) {
        fs::remove_dir(self.dump_file()).expect("the folder is removed");
        self.run("SAVE").await;
        self.forget_dump();
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes it hang: connections stay open and nothing is answered.
    pub fn pause(&self) {
        self.running().signal("STOP");
    }

    /// Ends [`Redis::pause`].
    pub fn resume(&self) {
        self.running().signal("CONT");
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("Redis runs")
    }

    /// A connection, for what a test does behind the server's back.
    ///
    /// # Panics
    /// When Redis does not answer.
    pub async fn connect(&self) -> MultiplexedConnection {
        let client = Client::open(self.url()).expect("a Redis URL");
        wait::until_ok("Redis to answer", || client.get_multiplexed_async_connection()).await
    }

    /// Makes it a replica of another one, and waits until it has taken over the other one's data.
    ///
    /// # Panics
    /// When that does not happen.
    pub async fn follow(&self, primary: &Self) {
        let mut connection = self.connect().await;
        for (name, value) in [("masterauth", primary.password.as_str()), ("repl-diskless-sync-delay", "0")] {
            let mut command = redis::cmd("CONFIG");
            let _: () = command
                .arg("SET")
                .arg(name)
                .arg(value)
                .query_async(&mut connection)
                .await
                .expect("CONFIG SET");
        }
        let mut command = redis::cmd("REPLICAOF");
        command.arg("127.0.0.1").arg(primary.port);
        let _: () = command.query_async(&mut connection).await.expect("REPLICAOF");
        wait::until("the data of the primary", || async {
            let info: String = redis::cmd("INFO")
                .arg("replication")
                .query_async(&mut self.connect().await)
                .await
                .expect("INFO");
            info.contains("master_link_status:up").then_some(())
        })
        .await;
    }

    /// Ends [`Redis::follow`]: it is a primary again, with the data that it has.
    ///
    /// # Panics
    /// When Redis does not answer.
    pub async fn promote(&self) {
        let mut command = redis::cmd("REPLICAOF");
        let _: () =
            command.arg("NO").arg("ONE").query_async(&mut self.connect().await).await.expect("REPLICAOF");
    }

    /// Names the history of its data: another one after each promotion and each resynchronization.
    ///
    /// # Panics
    /// When Redis does not answer.
    pub async fn replication_id(&self) -> String {
        let mut command = redis::cmd("INFO");
        let info: String =
            command.arg("replication").query_async(&mut self.connect().await).await.expect("INFO");
        let id = info.lines().find_map(|line| line.strip_prefix("master_replid:"));
        id.expect("a replication id").trim().to_owned()
    }

    /// Changes the `maxmemory-policy` while it runs.
    ///
    /// # Panics
    /// When Redis does not answer.
    pub async fn set_eviction(&self, policy: &str) {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg("maxmemory-policy").arg(policy);
        let _: () = command.query_async(&mut self.connect().await).await.expect("CONFIG SET");
    }

    /// Evicts every key that expires, in a moment that is too short to be seen from outside.
    ///
    /// # Panics
    /// When Redis does not answer.
    pub async fn evict_expiring_keys(&self) {
        let mut pipeline = redis::pipe();
        for (name, value) in [
            ("maxmemory-policy", "volatile-ttl"),
            ("maxmemory", "1"),
            ("maxmemory", "0"),
            ("maxmemory-policy", "noeviction"),
        ] {
            pipeline.cmd("CONFIG").arg("SET").arg(name).arg(value).ignore();
        }
        let _: () = pipeline.query_async(&mut self.connect().await).await.expect("CONFIG SET");
    }

    /// Removes every key.
    ///
    /// # Panics
    /// When Redis does not answer.
    pub async fn flush(&self) {
        let mut connection = self.connect().await;
        let _: () = redis::cmd("FLUSHALL").query_async(&mut connection).await.expect("FLUSHALL");
    }

    /// Every key.
    ///
    /// # Panics
    /// When Redis does not answer.
    pub async fn keys(&self) -> Vec<String> {
        self.connect().await.keys("*").await.expect("KEYS")
    }

    /// Writes everything to disk, so that the next start begins with it.
    ///
    /// # Panics
    /// When Redis does not answer.
    pub async fn dump(&self) {
        let mut connection = self.connect().await;
        let _: () = redis::cmd("SAVE").query_async(&mut connection).await.expect("SAVE");
    }

    /// Forgets what [`Redis::dump`] wrote, so that the next start is empty.
    ///
    /// # Panics
    /// When the file cannot be removed.
    pub fn forget_dump(&self) {
        let file = self.dump_file();
        if file.exists() {
            fs::remove_file(file).expect("the dump is removed");
        }
    }

    fn dump_file(&self) -> PathBuf {
        self.folder.path().join("dump.rdb")
    }
}
