//! Redis or Valkey: one instance per test that needs one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use redis::{AsyncCommands, Client, aio::MultiplexedConnection};
use tempfile::TempDir;

use crate::authority::Certificate;
use crate::process::{OnParentDeath, Process, free_port, temporary_folder};
use crate::{logs, programs, wait};

/// An instance that listens on 127.0.0.1 and requires a password.
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
    /// The authority of its certificate, in PEM form, for connections of the tests.
    authority: Option<String>,
    program: PathBuf,
}

impl Redis {
    /// Starts one that only writes to disk in [`Redis::dump`].
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

    /// Starts one that only accepts TLS.
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

    /// The same with TLS, also between the instances, with a certificate of the authority in the file `authority`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with_tls_and_settings(
        certificate: &Certificate,
        authority: &Path,
        settings: &str,
        password: &str,
    ) -> Self {
        let own = tls_settings(authority);
        let settings = format!("{own}tls-cluster yes\n{settings}");
        let mut redis = Self::begin("noeviction", Some(certificate), &settings, password.to_owned());
        redis.authority = Some(fs::read_to_string(authority).expect("the certificate of the authority"));
        redis
    }

    /// Starts one with this program.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_from(program: &Path) -> Self {
        let mut redis = Self::new("noeviction", None, "", logs::secret("redis"));
        program.clone_into(&mut redis.program);
        redis.start_again();
        redis
    }

    fn begin(
        eviction: &'static str,
        certificate: Option<&Certificate>,
        settings: &str,
        password: String,
    ) -> Self {
        let mut redis = Self::new(eviction, certificate, settings, password);
        redis.start_again();
        redis
    }

    fn new(
        eviction: &'static str,
        certificate: Option<&Certificate>,
        settings: &str,
        password: String,
    ) -> Self {
        let folder = temporary_folder("redis-");
        let certificate = certificate.map(|certificate| certificate.copied_into(folder.path()));
        Self {
            process: None,
            port: free_port(),
            password,
            folder,
            eviction,
            certificate,
            settings: settings.to_owned(),
            authority: None,
            program: programs::redis_server().to_owned(),
        }
    }

    /// Starts it on the same port, with the data of the last [`Redis::dump`], or empty.
    pub fn start_again(&mut self) {
        // The password is passed in a file, because every user of the machine can read arguments.
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
        let mut command = Command::new(&self.program);
        command.arg(settings);
        let mut process = Process::start(&command, OnParentDeath::Kill);
        wait::until_blocking("Redis to listen", || {
            assert!(process.is_running(), "Redis ended: {:?}", process.stderr.all());
            std::net::TcpStream::connect(("127.0.0.1", self.port))
        });
        self.process = Some(process);
    }

    /// Kills it; its data is lost.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// The URL, with the password.
    pub fn url(&self) -> String {
        self.url_through(self.port)
    }

    /// The URL through a proxy at this port.
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
            wait::check(info.contains("rdb_last_bgsave_status:err"), info)
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

    /// Suspends it (SIGSTOP): connections stay open, but it does not respond.
    pub fn pause(&self) {
        self.running().signal("STOP");
    }

    /// Resumes it after [`Redis::pause`] (SIGCONT).
    pub fn resume(&self) {
        self.running().signal("CONT");
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("Redis runs")
    }

    /// Connects, for changes without the server's knowledge.
    ///
    /// # Panics
    /// When Redis does not respond in time.
    pub async fn connect(&self) -> MultiplexedConnection {
        let client = match &self.authority {
            None => Client::open(self.url()).expect("a Redis URL"),
            Some(authority) => {
                let root_cert = Some(authority.clone().into_bytes());
                let certificates = redis::TlsCertificates { client_tls: None, root_cert };
                Client::build_with_tls(self.url(), certificates).expect("a Redis URL")
            }
        };
        wait::until("Redis to respond", || client.get_multiplexed_async_connection()).await
    }

    /// Makes it a replica of another instance, and waits until it has copied the data of that.
    ///
    /// # Panics
    /// When that takes too long.
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
        wait::until("the data of the primary to be copied", || async {
            let info: String = redis::cmd("INFO")
                .arg("replication")
                .query_async(&mut self.connect().await)
                .await
                .expect("INFO");
            wait::check(info.contains("master_link_status:up"), info)
        })
        .await;
    }

    /// Makes it a primary again after [`Redis::follow`], with its present data.
    ///
    /// # Panics
    /// When Redis does not respond.
    pub async fn promote(&self) {
        let mut command = redis::cmd("REPLICAOF");
        let _: () =
            command.arg("NO").arg("ONE").query_async(&mut self.connect().await).await.expect("REPLICAOF");
    }

    /// The replication id, which changes with each promotion and each full resynchronization.
    ///
    /// # Panics
    /// When Redis does not respond.
    pub async fn replication_id(&self) -> String {
        let mut command = redis::cmd("INFO");
        let info: String =
            command.arg("replication").query_async(&mut self.connect().await).await.expect("INFO");
        let id = info.lines().find_map(|line| line.strip_prefix("master_replid:"));
        id.expect("a replication id").trim().to_owned()
    }

    /// Changes the `maxmemory-policy` of the running instance.
    ///
    /// # Panics
    /// When Redis does not respond.
    pub async fn set_eviction(&self, policy: &str) {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg("maxmemory-policy").arg(policy);
        let _: () = command.query_async(&mut self.connect().await).await.expect("CONFIG SET");
    }

    /// Evicts every key with an expiry, faster than the server can observe the policy in between, and returns the keys
    /// that are left before the server can write any again.
    ///
    /// # Panics
    /// When Redis does not respond.
    pub async fn evict_expiring_keys(&self) -> Vec<String> {
        let mut pipeline = redis::pipe();
        for (name, value) in [
            ("maxmemory-policy", "volatile-ttl"),
            ("maxmemory", "1"),
            ("maxmemory", "0"),
            ("maxmemory-policy", "noeviction"),
        ] {
            pipeline.cmd("CONFIG").arg("SET").arg(name).arg(value).ignore();
        }
        pipeline.cmd("KEYS").arg("*");
        let (left,) = pipeline.query_async(&mut self.connect().await).await.expect("CONFIG SET and KEYS");
        left
    }

    /// Removes every key.
    ///
    /// # Panics
    /// When Redis does not respond.
    pub async fn flush(&self) {
        let mut connection = self.connect().await;
        let _: () = redis::cmd("FLUSHALL").query_async(&mut connection).await.expect("FLUSHALL");
    }

    /// Every key.
    ///
    /// # Panics
    /// When Redis does not respond.
    pub async fn keys(&self) -> Vec<String> {
        self.connect().await.keys("*").await.expect("KEYS")
    }

    /// Writes all data to disk, from where the next start reads it.
    ///
    /// # Panics
    /// When Redis does not respond.
    pub async fn dump(&self) {
        let mut connection = self.connect().await;
        let _: () = redis::cmd("SAVE").query_async(&mut connection).await.expect("SAVE");
    }

    /// Removes the file of [`Redis::dump`], so that the next start is empty.
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

/// Lines of a configuration by which an instance or a Sentinel uses TLS for connections to others.
pub(crate) fn tls_settings(authority: &Path) -> String {
    format!("tls-ca-cert-file {}\ntls-replication yes\n", authority.display())
}
