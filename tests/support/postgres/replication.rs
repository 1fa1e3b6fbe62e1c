//! Standbys and failovers.

use std::process::Command;
use std::sync::OnceLock;

use super::{Postgres, USER, client};
use crate::process::{as_user, free_port, is_root, run_ok, temporary_folder};
use crate::wait;

impl Postgres {
    /// Starts a hot standby, which replicates this instance until it is promoted.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_standby(&self) -> Self {
        let temporary = temporary_folder("standby-");
        let folder = temporary.path().to_owned();
        if is_root() {
            run_ok(Command::new("chown").arg(USER).arg(&folder));
        }
        let mut copy = client("pg_basebackup", self.port, &self.password);
        copy.arg("-D").arg(folder.join("data"));
        // Writes `standby.signal` and the address of the primary.
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "--no-sync"]);
        run_ok(&mut as_user(USER, copy.current_dir(&folder)));
        let mut standby = Self {
            process: None,
            port: free_port(),
            password: self.password.clone(),
            folder: temporary,
            template: OnceLock::new(),
            is_shared: false,
            certificate: None,
            settings: Vec::new(),
            bin: self.bin.clone(),
        };
        standby.start_again();
        standby
    }

    /// Promotes a standby to a primary, and waits until it is one.
    ///
    /// # Panics
    /// When that takes longer than half a minute.
    pub fn promote(&self) {
        let mut promote = Command::new(self.bin.join("pg_ctl"));
        promote.args(["promote", "--wait", "--timeout=30", "--silent", "-D"]);
        promote.arg(self.folder.path().join("data")).current_dir(self.folder.path());
        run_ok(&mut as_user(USER, &promote));
    }

    /// Makes a standby receive nothing from its primary any more.
    pub async fn detach(&self) {
        let mut admin = self.database("postgres").connect().await;
        for sql in ["ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"] {
            sqlx::query(sql).execute(&mut admin).await.expect(sql);
        }
        wait::until_equal("receivers of the standby", 0, || async {
            self.database("postgres")
                .count("SELECT count(*) FROM pg_stat_wal_receiver WHERE status <> $1", "")
                .await
        })
        .await;
    }

    /// Kills it: what only this instance has is lost.
    pub fn crash(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }
}
