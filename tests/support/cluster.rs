//! The test cluster: a real Kubernetes node on this machine (`tests/cluster`), with the images of this build.
//!
//! The first test starts it unless it is running. It keeps running, so that the next run need not start it again.

use std::env;
use std::fs::File;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::process::{build, run_ok};
use crate::{programs, wait};

/// The deadline of another run of these tests that uses the cluster.
const OTHER_RUN_PATIENCE: Duration = Duration::from_hours(1);

/// The cluster. All tests of a process share it; concurrent processes use it one after the other.
#[derive(Debug)]
pub struct Cluster {
    kubeconfig: PathBuf,
    /// The images that pods can use.
    pub images: Images,
    /// Held until this process ends, so that two processes never use the cluster concurrently.
    _lock: File,
}

/// Image references.
#[derive(Debug)]
pub struct Images {
    /// The auth server of this build.
    pub server: String,
    /// The operator of this build.
    pub operator: String,
    /// PostgreSQL.
    pub postgres: String,
    /// Valkey.
    pub valkey: String,
    /// Mailpit, an SMTP server that shows the received messages.
    pub mailpit: String,
    /// curl and a shell.
    pub client: String,
}

impl Cluster {
    /// The cluster; the first caller starts it and loads all images.
    ///
    /// # Panics
    /// When it does not start, or the programs are not built.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Cluster> = LazyLock::new(Cluster::up);
        &SHARED
    }

    fn up() -> Self {
        build(&mut script("up"));
        let kubeconfig = kubeconfig();
        let lock = lock(&kubeconfig.with_file_name("e2e.lock"));
        Self { images: Images::load(), kubeconfig, _lock: lock }
    }

    /// A client with all permissions. It belongs to the runtime in which it is created, so that each test creates its
    /// own.
    ///
    /// # Panics
    /// When the cluster's kubeconfig cannot be read.
    pub async fn client(&self) -> Client {
        let config = Kubeconfig::read_from(&self.kubeconfig).expect("a kubeconfig");
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
        Client::try_from(config.expect("a configuration")).expect("a client")
    }

    /// The auth server of this build under another tag, which is another version for Kubernetes.
    pub fn load_next_server(&self) -> String {
        build(script("load-image").arg(product("server", "-next"))).trim().to_owned()
    }

    /// kubectl with all permissions.
    pub fn kubectl(&self) -> Command {
        self.program("kubectl")
    }

    /// helm with all permissions.
    pub fn helm(&self) -> Command {
        self.program("helm")
    }

    /// Loads an image of `tests/cluster/images` that only one test needs, and returns its reference.
    ///
    /// # Panics
    /// When it cannot be built or loaded.
    pub fn load_image(&self, name: &str) -> String {
        build(script("load-image").arg(name)).trim().to_owned()
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.kubeconfig.with_file_name("bin").join(name));
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }
}

impl Images {
    fn load() -> Self {
        let server = product("server", "");
        let operator = product("operator", "");
        let loaded = build(script("load-image").args([&server, &operator]).args([
            "postgres",
            "valkey",
            "mailpit",
            "test-client",
        ]));
        let mut names = loaded.lines().map(str::to_owned);
        let mut next = || names.next().expect("load-image prints a name for each image");
        Self {
            server: next(),
            operator: next(),
            postgres: next(),
            valkey: next(),
            mailpit: next(),
            client: next(),
        }
    }
}

/// Builds the archive of the server's or the operator's image, and returns its path. The binary is that of this build,
/// unless `LATCHKEY_SERVER_BIN` or `LATCHKEY_OPERATOR_BIN` names another. The tag is a hash of the binary, so that the
/// cluster never uses an image of an earlier build.
fn product(name: &str, suffix: &str) -> String {
    let binary = env::var_os(format!("LATCHKEY_{}_BIN", name.to_uppercase()))
        .map_or_else(|| built_binary(&format!("latchkey-{name}")), PathBuf::from);
    let digest = run_ok(Command::new("sha256sum").arg(&binary));
    let tag = format!("{}{suffix}", digest.get(..12).expect("a digest"));
    build(script("images").arg(name).arg("--binary").arg(&binary).args(["--tag", &tag])).trim().to_owned()
}

/// The program that was built with this test. Its profile is the tests' own, so that nothing is compiled twice.
fn built_binary(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the path of this test executable");
    let path = test.ancestors().nth(2).expect("the target folder").join(name);
    assert!(path.exists(), "{} is missing: cargo build --workspace --bins", path.display());
    path
}

/// A script of the test bed. It never uses the developer's own cluster.
fn script(name: &str) -> Command {
    let mut command = Command::new(programs::workspace().join("tests/cluster").join(name));
    command.env_remove("KUBECONFIG");
    command
}

fn kubeconfig() -> PathBuf {
    let mut shell = Command::new("bash");
    shell.args(["-ec", "settings=$(tests/cluster/env); eval \"$settings\"; echo \"$KUBECONFIG\""]);
    let path = run_ok(shell.current_dir(programs::workspace()).env_remove("KUBECONFIG"));
    PathBuf::from(path.trim())
}

/// Locks the cluster for this process.
fn lock(path: &Path) -> File {
    let file = File::create(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if file.try_lock().is_err() {
        note("another run of these tests uses the cluster; waiting for it to end");
        wait::until_blocking_within(OTHER_RUN_PATIENCE, "another run of these tests to end", || {
            file.try_lock()
        });
    }
    file
}

/// Prints a line even for a test that passes, whose output the harness does not show.
pub fn note(text: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(stderr(), "{text}");
}
