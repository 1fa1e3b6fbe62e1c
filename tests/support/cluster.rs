//! The test cluster: a real Kubernetes node on this machine (`tests/cluster`), with the images of this build.
//!
//! It is brought up when it is not, and left up: whoever starts the tests decides when it goes.

use std::fs::File;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::{env, thread};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::process::run_ok;
use crate::programs;

/// The cluster. There is one for all tests of a process, and for one process at a time.
#[derive(Debug)]
pub struct Cluster {
    kubeconfig: PathBuf,
    /// What pods can ask for.
    pub images: Images,
    /// Held until this process ends, so that two runs never share the cluster.
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
    /// An SMTP server that shows what it got.
    pub mailpit: String,
    /// curl and a shell.
    pub client: String,
}

impl Cluster {
    /// The cluster, brought up with all images loaded by the first caller.
    ///
    /// # Panics
    /// When it does not come up, or the programs are not built.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Cluster> = LazyLock::new(Cluster::up);
        &SHARED
    }

    fn up() -> Self {
        let up = script("up").output().expect("tests/cluster/up starts");
        assert!(up.status.success(), "tests/cluster/up failed: {}", String::from_utf8_lossy(&up.stderr));
        let kubeconfig = kubeconfig();
        let lock = lock(&kubeconfig.with_file_name("e2e.lock"));
        Self { images: Images::load(), kubeconfig, _lock: lock }
    }

    /// A client that may do anything. It belongs to the runtime it is made on, so each test makes its own.
    ///
    /// # Panics
    /// When the cluster's kubeconfig cannot be read, which does not happen.
    pub async fn client(&self) -> Client {
        let config = Kubeconfig::read_from(&self.kubeconfig).expect("a kubeconfig");
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
        Client::try_from(config.expect("a configuration")).expect("a client")
    }

    /// The auth server of this build under another tag: what a next version is, as far as Kubernetes can tell.
    pub fn load_next_server(&self) -> String {
        run_ok(script("load-image").arg(product("server", "-next"))).trim().to_owned()
    }

    /// kubectl, with every right.
    pub fn kubectl(&self) -> Command {
        self.program("kubectl")
    }

    /// helm.
    pub fn helm(&self) -> Command {
        self.program("helm")
    }

    /// Loads an image of `tests/cluster/images` that only one test needs, and returns the name pods ask for.
    ///
    /// # Panics
    /// When it cannot be built or loaded.
    pub fn load_image(&self, name: &str) -> String {
        run_ok(script("load-image").arg(name)).trim().to_owned()
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
        let loaded = run_ok(script("load-image").args([&server, &operator]).args([
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

/// The archive of the server's or the operator's image, of this build unless `LATCHKEY_SERVER_BIN` or
/// `LATCHKEY_OPERATOR_BIN` names another. The tag follows from the binary, so that a rebuilt
/// one is another image and never hides behind the name of the last.
fn product(name: &str, suffix: &str) -> String {
    let binary = env::var_os(format!("LATCHKEY_{}_BIN", name.to_uppercase()))
        .map_or_else(|| built_binary(&format!("latchkey-{name}")), PathBuf::from);
    let digest = run_ok(Command::new("sha256sum").arg(&binary));
    let tag = format!("{}{suffix}", digest.get(..12).expect("a digest"));
    run_ok(script("images").arg(name).arg("--binary").arg(&binary).args(["--tag", &tag])).trim().to_owned()
}

/// The program that was built with this test. Its profile is the tests' own, so that nothing is compiled twice.
fn built_binary(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the path of this test executable");
    let path = test.ancestors().nth(2).expect("the target folder").join(name);
    assert!(path.exists(), "{} is missing: cargo build --workspace --bins", path.display());
    path
}

/// A script of the test bed. It never looks at a cluster of somebody's own.
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

fn lock(path: &Path) -> File {
    let file = File::create(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if file.try_lock().is_err() {
        note("another run of these tests uses the cluster; waiting for it to end");
        file.lock().expect("the lock of the cluster's tests");
    }
    file
}

/// Tells whoever runs the tests something, also about tests that pass, whose output is not shown.
pub fn note(text: &str) {
    // Nobody to tell it to is no reason to fail.
    let _ = writeln!(stderr(), "{text}");
}

/// Runs a command to its end with something on its standard input.
///
/// # Panics
/// When it cannot be started.
pub fn run_with_input(command: &mut Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    // A program that has ended without reading everything says why in its output.
    let _ = writer.join();
    output
}
