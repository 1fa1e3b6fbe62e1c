//! Child processes that never outlive the test process.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::{scratch, wait};

/// What a child writes, line by line, while it runs.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Every line so far.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn push(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// Collects lines on a thread of its own until the other end closes.
    fn collect_from(&self, source: impl Read + Send + 'static) -> thread::JoinHandle<()> {
        let lines = self.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(source);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
        })
    }
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    reader: Option<thread::JoinHandle<()>>,
    /// What it wrote to stderr.
    pub stderr: Lines,
}

/// Which signal a child gets when the test process ends, however that ends.
#[derive(Debug, Clone, Copy)]
pub enum OnParentDeath {
    /// SIGKILL: it leaves nothing behind.
    Kill,
    /// SIGQUIT, which PostgreSQL takes for "end at once, but give the shared memory back".
    Quit,
}

impl Process {
    /// Starts `command`, tied to the test process, collecting what it writes to stderr.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: &Command, on_parent_death: OnParentDeath) -> Self {
        Self::start_tied(command, tied(command, on_parent_death))
    }

    /// The same as another user, when the tests run as root.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_as(user: &str, command: &Command, on_parent_death: OnParentDeath) -> Self {
        // In this order: a change of user makes the kernel forget what to send when the parent dies.
        Self::start_tied(command, as_user(user, &tied(command, on_parent_death)))
    }

    fn start_tied(command: &Command, mut tied: Command) -> Self {
        tied.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = spawn_on_lasting_thread(tied).unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let stderr = Lines::default();
        let reader = child.stderr.take().map(|source| stderr.collect_from(source));
        Self { child, reader, stderr }
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).output();
        assert!(sent.is_ok_and(|sent| sent.status.success()), "the process had ended before SIG{name}");
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How many seconds of the processors it has used since it began.
    pub fn processor_seconds(&self) -> f64 {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a process id"));
        let clock = clock_getcpuclockid(pid).expect("the clock of a running process");
        Duration::from(clock_gettime(clock).expect("its time")).as_secs_f64()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it has ended and everything it wrote has been collected.
    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let status = wait::until_blocking("a child process to end", || child.try_wait().ok().flatten());
        self.finish_reading();
        status
    }

    /// Kills it, if it still runs.
    pub fn kill(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.finish_reading();
    }

    fn finish_reading(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command to its end.
///
/// # Panics
/// When it cannot be started.
pub fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

/// Runs a command to its end and returns what it printed.
///
/// # Panics
/// When it fails.
pub fn run_ok(command: &mut Command) -> String {
    let output = run(command);
    assert!(
        output.status.success(),
        "{command:?} failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A folder that goes when it is dropped, and at the latest when the test process has ended.
///
/// # Panics
/// When it cannot be made.
pub fn temporary_folder(name: &str) -> TempDir {
    static OF_THIS_PROCESS: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = scratch::folder_in(fastest_place(), "tests");
        // PostgreSQL runs as a user of its own and has to reach its data, somewhere below.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o711)).expect("the folder's permissions");
        folder
    });
    tempfile::Builder::new().prefix(name).tempdir_in(&*OF_THIS_PROCESS).expect("a temporary folder")
}

/// Memory, where there is enough of it that looks like a disk: making a database, some 300 small files, is ten
/// times as fast there, and every test makes one.
fn fastest_place() -> &'static Path {
    const MEMORY: &str = "/dev/shm";
    const ENOUGH_KIB: u64 = 1024 * 1024;
    static ELSEWHERE: LazyLock<PathBuf> = LazyLock::new(std::env::temp_dir);
    let asked = Command::new("df").args(["--output=avail", "-k", MEMORY]).output();
    let free = asked.ok().and_then(|output| {
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .nth(1)
            .and_then(|line| line.trim().parse::<u64>().ok())
    });
    if free.is_some_and(|free| free >= ENOUGH_KIB) { Path::new(MEMORY) } else { &ELSEWHERE }
}

/// A TCP port that was free a moment ago.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    // Below those that the system gives to outgoing connections and to whoever asks for any port, so that nobody gets
    // one before its owner listens; and none twice.
    const FIRST: u32 = 15_000;
    const COUNT: u32 = 16_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Another test binary beside this one begins elsewhere.
    let begin = std::process::id().wrapping_mul(997) % COUNT;
    (0..COUNT)
        .find_map(|_| {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            let port = u16::try_from(FIRST + (begin + next) % COUNT).ok()?;
            TcpListener::bind(("127.0.0.1", port)).ok().map(|_| port)
        })
        .expect("a free port on 127.0.0.1")
}

/// Whether the tests run as root, which PostgreSQL refuses to.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// The same command under `setpriv`, which tells the kernel what to send when the parent dies.
fn tied(command: &Command, on_parent_death: OnParentDeath) -> Command {
    let mut tied = Command::new("setpriv");
    tied.args([
        "--pdeathsig",
        match on_parent_death {
            OnParentDeath::Kill => "KILL",
            OnParentDeath::Quit => "QUIT",
        },
    ]);
    wrap(tied, command)
}

/// The same command as another user, when the tests run as root, whom PostgreSQL refuses.
pub fn as_user(user: &str, command: &Command) -> Command {
    let mut switching = Command::new(if is_root() { "setpriv" } else { "env" });
    if is_root() {
        switching.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]);
    }
    wrap(switching, command)
}

/// `wrapper -- command`, with the command's environment and folder.
fn wrap(mut wrapper: Command, command: &Command) -> Command {
    wrapper.arg("--").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapper.env(name, value),
            None => wrapper.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapper.current_dir(folder);
    }
    wrapper
}

type Request = (Command, Sender<io::Result<Child>>);

/// The kernel sends the signal when the *thread* that started the child ends (prctl(2), PR_SET_PDEATHSIG),
/// and a test's thread ends with its test. So one thread that never ends starts every child.
fn spawn_on_lasting_thread(command: Command) -> io::Result<Child> {
    static STARTER: LazyLock<Sender<Request>> = LazyLock::new(|| {
        let (requests, inbox) = channel::<Request>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                // Whoever asked has gone only when its test failed meanwhile.
                let _ = answer.send(command.spawn());
            }
        });
        requests
    });
    let (answer, outcome) = channel();
    STARTER.send((command, answer)).map_err(io::Error::other)?;
    outcome.recv().map_err(io::Error::other)?
}
