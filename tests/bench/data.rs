//! Filled databases. They are cached as archives, since filling one takes a minute.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use argon2::{Argon2, PasswordHasher};
use latchkey_tests::process::run_ok;
use latchkey_tests::programs::{latchkey_server, postgres_bin, workspace};
use sqlx::Connection as _;

use crate::instance::Instance;
use crate::progress;

/// The password of all accounts.
pub const PASSWORD: &str = "correct-horse-battery-staple";

/// The address of the sessions that are there from the beginning.
const FILLED: &str = "192.0.2.1";

/// The rows of the bare durable transaction.
pub const BARE_ROWS: i32 = 100_000;

/// Nothing is lost if the filling fails, and the archive should not contain old write-ahead log.
const FILLING: [&str; 6] = [
    "fsync=off",
    "full_page_writes=off",
    "autovacuum=off",
    "max_wal_size=4GB",
    "min_wal_size=80MB",
    "wal_recycle=off",
];

/// Tokens expire 30 days after the database was filled, so it is filled again earlier.
const FRESH: Duration = Duration::from_hours(14 * 24);

/// How much is in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    pub users: i32,
    pub sessions: i32,
    pub revocations: i32,
}

/// `$1` users, `$2` sessions, `$3` revocations, `$4` the hash of the password, `$5` the address of the sessions. Every
/// session has a login in the audit log.
const ROWS: [&str; 6] = [
    "INSERT INTO users (username, email, name, password_hash, email_verified_at, created_at)
     SELECT 'load-' || n, 'load-' || n || '@example.test', 'Load ' || md5(n::text), $4, now(),
            now() - random() * interval '300 days'
     FROM generate_series(1, $1) AS n WHERE ($2::int, $3::int, $5::text) IS NOT NULL",
    "INSERT INTO sessions (id, user_id, created_at, last_used_at, access_tokens_expire_at, expires_at, address)
     SELECT gen_random_uuid(), 1 + n % $1, at, at, now() + interval '30 days', now() + interval '365 days', $5
     FROM generate_series(1, $2) AS n, LATERAL (SELECT now() - random() * interval '300 days' + n * interval '0' AS at) AS time
     WHERE ($3::int, $4::text) IS NOT NULL",
    "INSERT INTO refresh_tokens (jti, session_id, issued_at, expires_at)
     SELECT gen_random_uuid(), id, last_used_at, expires_at FROM sessions
     WHERE address = $5 AND ($1::int, $2::int, $3::int, $4::text) IS NOT NULL",
    "INSERT INTO revocations (session_id, revoked_at, expires_at)
     SELECT gen_random_uuid(), now() - random() * interval '6 days', now() + interval '30 days'
     FROM generate_series(1, $3) WHERE ($1::int, $2::int, $4::text, $5::text) IS NOT NULL",
    "INSERT INTO audit_events (kind, actor_id, user_id, session_id, request_id, at, address)
     SELECT 'login', user_id, user_id, id, gen_random_uuid()::text, created_at, address FROM sessions
     WHERE address = $5 AND ($1::int, $2::int, $3::int, $4::text) IS NOT NULL",
    "INSERT INTO bench_rows SELECT n, 0 FROM generate_series(1, 100000) AS n
     WHERE ($1::int, $2::int, $3::int, $4::text, $5::text) IS NOT NULL",
];

impl Size {
    /// Unpacks the database into a folder, after it was filled if necessary.
    pub async fn unpack(self, folder: &Path) -> anyhow::Result<()> {
        let archive = self.archive()?;
        if !is_fresh(&archive) {
            progress(&format!("filling a database: {self:?}; cached in {}", archive.display()));
            self.fill(folder).await?;
            // Renamed when it is complete.
            let new = archive.with_extension("new");
            run_ok(Command::new("tar").arg("-C").arg(folder).arg("-cf").arg(&new).args(["data", "password"]));
            fs::rename(&new, &archive).context("the cached database")?;
            return Ok(());
        }
        run_ok(Command::new("tar").arg("-C").arg(folder).arg("-xpf").arg(&archive));
        Ok(())
    }

    fn archive(self) -> anyhow::Result<PathBuf> {
        let cache = std::env::var_os("LATCHKEY_CACHE").context("LATCHKEY_CACHE is not set")?;
        let folder = Path::new(&cache).join("bench");
        fs::create_dir_all(&folder)?;
        let mut hasher = DefaultHasher::new();
        let mut migrations: Vec<_> =
            fs::read_dir(workspace().join("migrations"))?.flatten().map(|entry| entry.path()).collect();
        migrations.sort();
        for file in migrations {
            fs::read(file)?.hash(&mut hasher);
        }
        (postgres_bin(), ROWS).hash(&mut hasher);
        let Self { users, sessions, revocations } = self;
        Ok(folder.join(format!("{users}-{sessions}-{revocations}-{:016x}.tar", hasher.finish())))
    }

    async fn fill(self, folder: &Path) -> anyhow::Result<()> {
        Instance::create(folder)?;
        let instance = Instance::start(folder, &FILLING)?;
        let mut migrate = Command::new(latchkey_server());
        run_ok(migrate.arg("migrate").env("DATABASE_URL", instance.url(instance.port())));
        let mut connection = instance.connect().await?;
        for sql in [
            // The rows satisfy the constraints by construction.
            "SET session_replication_role = replica",
            "CREATE TABLE bench_rows (id int PRIMARY KEY, value bigint NOT NULL)",
            "CREATE EXTENSION pg_stat_statements",
        ] {
            sqlx::query(sql).execute(&mut connection).await.context(sql)?;
        }
        let hash =
            Argon2::default().hash_password(PASSWORD.as_bytes()).expect("valid parameters").to_string();
        for sql in ROWS {
            let query = sqlx::query(sql).bind(self.users).bind(self.sessions).bind(self.revocations);
            query.bind(&hash).bind(FILLED).execute(&mut connection).await.context(sql)?;
        }
        for sql in ["VACUUM ANALYZE", "CHECKPOINT"] {
            sqlx::query(sql).execute(&mut connection).await.context(sql)?;
        }
        connection.close().await?;
        Ok(())
    }
}

fn is_fresh(archive: &Path) -> bool {
    let age = fs::metadata(archive).and_then(|file| file.modified()).map(|time| time.elapsed());
    matches!(age, Ok(Ok(age)) if age < FRESH)
}
