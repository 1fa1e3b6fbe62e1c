//! Child processes that never outlive the test process.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::{scratch, wait};

/// The lines that a child process has written so far.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// All lines so far.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn push(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// Collects lines in a thread until the other end closes.
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

/// The signal that a child receives when the test process ends for any reason.
#[derive(Debug, Clone, Copy)]
pub enum OnParentDeath {
    /// SIGKILL, for programs that leave nothing behind.
    Kill,
    /// SIGQUIT, on which PostgreSQL ends immediately but returns its shared memory.
    Quit,
}

/// The memory of a process as reported by the kernel, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was resident.
    pub peak: u64,
}

impl Process {
    /// Starts `command`, which ends with the test process, and collects its standard error.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: &Command, on_parent_death: OnParentDeath) -> Self {
        Self::start_tied(command, tied(command, on_parent_death))
    }

    /// [`Process::start`] as another user, if the tests run as root.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_as(user: &str, command: &Command, on_parent_death: OnParentDeath) -> Self {
        // In this order, because the kernel resets the signal when the user changes.
        Self::start_tied(command, as_user(user, &tied(command, on_parent_death)))
    }

    fn start_tied(command: &Command, mut tied: Command) -> Self {
        tied.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = spawn_on_lasting_thread(tied).unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let stderr = Lines::default();
        let reader = child.stderr.take().map(|source| stderr.collect_from(source));
        Self { child, reader, stderr }
    }

    /// Requests its end (SIGTERM).
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        assert!(send_signal(self.child.id(), name), "the process had ended before SIG{name}");
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How much memory it takes.
    ///
    /// # Panics
    /// When it has ended.
    pub fn memory(&self) -> Memory {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()));
        let status = status.expect("the status of a running process");
        let bytes = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).expect("a line of it");
            line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("KiB") * 1024
        };
        Memory { resident: bytes("VmRSS"), peak: bytes("VmHWM") }
    }

    /// The CPU seconds that it has used.
    pub fn processor_seconds(&self) -> f64 {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a process id"));
        let clock = clock_getcpuclockid(pid).expect("the clock of a running process");
        Duration::from(clock_gettime(clock).expect("its time")).as_secs_f64()
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it has ended and all its output is collected.
    ///
    /// # Panics
    /// When that takes longer than [`wait::PATIENCE`].
    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let status = wait::until_blocking("a child process to end", || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            running => Err(running),
        });
        assert!(self.finish_reading(), "the child process has ended, but its standard error is still open");
        status
    }

    /// Kills it, if it is still running.
    pub fn kill(&mut self) {
        // Both only fail if it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A process that it started may hold its standard error open; the lines so far are all that is needed.
        let _ = self.finish_reading();
    }

    /// Waits until the reader has seen the end of standard error; whether it has.
    fn finish_reading(&mut self) -> bool {
        let Some(reader) = self.reader.take() else { return true };
        let deadline = Instant::now() + wait::PATIENCE;
        while !reader.is_finished() && Instant::now() < deadline {
            thread::park_timeout(Duration::from_millis(1));
        }
        reader.is_finished() && reader.join().is_ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The deadline of a program that a test runs.
const PROGRAM_PATIENCE: Duration = Duration::from_mins(10);

/// The deadline of a script that builds or installs programs and images.
const BUILD_PATIENCE: Duration = Duration::from_hours(1);

/// Runs a command to its end.
///
/// # Panics
/// When it cannot be started, or takes longer than ten minutes.
pub fn run(command: &mut Command) -> Output {
    run_within(PROGRAM_PATIENCE, command, "")
}

/// [`run`] with this text on the command's standard input.
///
/// # Panics
/// When it cannot be started, or takes longer than ten minutes.
pub fn run_with_input(command: &mut Command, input: &str) -> Output {
    run_within(PROGRAM_PATIENCE, command, input)
}

/// Runs a script that builds or installs programs, which may take long, and returns its output.
///
/// # Panics
/// When it fails, or takes longer than an hour.
pub fn build(command: &mut Command) -> String {
    let output = run_within(BUILD_PATIENCE, command, "");
    printed(command, &output)
}

fn run_within(patience: Duration, command: &mut Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let id = child.id();
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    // In threads: a program that reads and writes a lot must not wait for the test, nor the test for it.
    thread::spawn(move || {
        // A program that ends without reading everything says why in its output.
        let _ = stdin.write_all(input.as_bytes());
    });
    let (sender, outcome) = channel();
    thread::spawn(move || {
        // The receiver is gone if the deadline has passed.
        let _ = sender.send(child.wait_with_output());
    });
    let output = outcome.recv_timeout(patience).unwrap_or_else(|_| {
        send_signal(id, "KILL");
        let last = outcome.recv_timeout(wait::PATIENCE);
        panic!("{command:?} did not end within {patience:?}; its output: {last:?}")
    });
    output.unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

/// Sends a signal to a process; whether the process existed.
fn send_signal(process: u32, name: &str) -> bool {
    let sent = Command::new("kill").args(["-s", name, &process.to_string()]).output();
    sent.is_ok_and(|sent| sent.status.success())
}

/// Runs a command to its end and returns its standard output.
///
/// # Panics
/// When it fails.
pub fn run_ok(command: &mut Command) -> String {
    let output = run(command);
    printed(command, &output)
}

fn printed(command: &Command, output: &Output) -> String {
    assert!(
        output.status.success(),
        "{command:?} failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A folder that is removed when it is dropped, and at the latest when the test process has ended.
///
/// # Panics
/// When it cannot be created.
pub fn temporary_folder(name: &str) -> TempDir {
    static OF_THIS_PROCESS: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = scratch::folder_in(fastest_place(), "tests");
        // PostgreSQL runs as another user and must reach its data below this folder.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o711)).expect("the folder's permissions");
        folder
    });
    tempfile::Builder::new().prefix(name).tempdir_in(&*OF_THIS_PROCESS).expect("a temporary folder")
}

/// A file system in memory, if it is large enough: creating a database, about 300 small files, is ten times as fast
/// there, and every test creates one.
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
    // Below the range from which the kernel assigns ports, so that no other socket takes the port before the caller
    // listens; and never the same one twice.
    const FIRST: u32 = 15_000;
    const COUNT: u32 = 16_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Another test binary that runs concurrently starts at another port.
    let begin = std::process::id().wrapping_mul(997) % COUNT;
    (0..COUNT)
        .find_map(|_| {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            let port = u16::try_from(FIRST + (begin + next) % COUNT).ok()?;
            TcpListener::bind(("127.0.0.1", port)).ok().map(|_| port)
        })
        .expect("a free port on 127.0.0.1")
}

/// Whether the tests run as root, as which PostgreSQL refuses to run.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// The same command under `setpriv`, which sets the signal that the kernel sends when the parent dies.
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

/// The same command as another user if the tests run as root.
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

/// The kernel sends the signal when the *thread* that started the child ends (prctl(2), PR_SET_PDEATHSIG), and a
/// test's thread ends with its test. Therefore one thread that never ends starts every child.
fn spawn_on_lasting_thread(command: Command) -> io::Result<Child> {
    static STARTER: LazyLock<Sender<Request>> = LazyLock::new(|| {
        let (requests, inbox) = channel::<Request>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                // The receiver is only gone if its test has failed.
                let _ = answer.send(command.spawn());
            }
        });
        requests
    });
    let (answer, outcome) = channel();
    STARTER.send((command, answer)).map_err(io::Error::other)?;
    outcome.recv_timeout(wait::PATIENCE).map_err(io::Error::other)?
}
