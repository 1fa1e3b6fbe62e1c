//! `users import`: streams a file of this machine into the server's command in a pod.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use latchkey_exports::{PasswordFile, join_auth0};
use tokio::io::AsyncBufReadExt;
use tokio::process::ChildStdout;

use crate::cli::ImportArguments;
use crate::cluster::Cluster;
use crate::exec;
use crate::failure::Failure;
use crate::output::{Printer, printable};

/// Runs the server's command in a pod. The contents of the files are only sent on its standard input.
pub async fn import(
    cluster: &Cluster,
    options: &ImportArguments,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    // Opened first: a wrong path needs no cluster.
    let input = Input::open(options)?;
    let report = options.report.as_deref().map(Report::create).transpose()?;
    let stdout = if report.is_some() { Stdio::piped() } else { Stdio::inherit() };
    let streams = (Stdio::piped(), stdout);
    let mut child = exec::start(cluster, &options.name, &arguments(options), streams, printer).await?;
    // Read while the file is sent: the command writes refusals before it has read everything.
    let output = child.stdout.take();
    let copied = tokio::spawn(async move {
        match (report, output) {
            (Some(report), Some(output)) => report.split(output).await,
            _ => Ok(()),
        }
    });
    let stdin = child.stdin.take().map(tokio::process::ChildStdin::into_owned_fd);
    let Some(Ok(stdin)) = stdin else {
        return Err(Failure::Failed("kubectl exec has no standard input".to_owned()));
    };
    // The command reads until the end of its input, which is closed when everything is sent.
    let sent = tokio::task::spawn_blocking(move || input.send(&File::from(stdin)));
    sent.await.map_err(|error| Failure::Failed(format!("the file cannot be sent: {error}")))??;
    let code = exec::exit_code(child).await?;
    let failed = |error: String| Failure::Failed(format!("the report cannot be written: {error}"));
    copied.await.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
    Ok(code)
}

/// The files that are sent.
struct Input {
    config: Option<Source>,
    file: Source,
    passwords: Option<PasswordFile>,
}

/// An open file.
struct Source {
    path: PathBuf,
    reader: Box<dyn Read + Send>,
}

impl Input {
    fn open(options: &ImportArguments) -> Result<Self, Failure> {
        let config = options.hash_config.as_deref().map(Source::open).transpose()?;
        let file = Source::open(&options.file)?;
        let Some(path) = &options.password_hashes else { return Ok(Self { config, file, passwords: None }) };
        if options.format.as_deref() != Some("auth0") {
            return Err(Failure::Failed("--password-hashes belongs to --format auth0".to_owned()));
        }
        let passwords = PasswordFile::open(path);
        let passwords = passwords
            .map_err(|error| Failure::Failed(format!("{} cannot be read: {error}", path.display())))?;
        Ok(Self { config, file, passwords: Some(passwords) })
    }

    fn send(self, mut stdin: &File) -> Result<(), Failure> {
        if let Some(config) = self.config {
            // It may have no last newline.
            config
                .send(|mut reader| io::copy(&mut reader, &mut stdin).and_then(|_| stdin.write_all(b"\n")))?;
        }
        match self.passwords {
            Some(mut passwords) => {
                self.file.send(|reader| join_auth0(BufReader::new(reader), &mut passwords, stdin))
            }
            None => self.file.send(|mut reader| io::copy(&mut reader, &mut stdin).map(|_| ())),
        }
    }
}

impl Source {
    fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |why: String| Failure::Failed(format!("{}: {why}", path.display()));
        let reader: Box<dyn Read + Send> = if path == Path::new("-") {
            Box::new(io::stdin())
        } else {
            let file = File::open(path).map_err(|error| failed(error.to_string()))?;
            let metadata = file.metadata().map_err(|error| failed(error.to_string()))?;
            if metadata.is_dir() {
                return Err(failed("it is a folder".to_owned()));
            }
            Box::new(file)
        };
        Ok(Self { path: path.to_owned(), reader })
    }

    fn send(self, copy: impl FnOnce(Box<dyn Read + Send>) -> io::Result<()>) -> Result<(), Failure> {
        match copy(self.reader) {
            // The command ended before it had read everything; its status says why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            copied => copied.map_err(|error| Failure::Failed(format!("{}: {error}", self.path.display()))),
        }
    }
}

/// The file for refused records. The command writes them to its standard output, because a pod has no place for a file.
struct Report(BufWriter<File>);

impl Report {
    fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path);
        let file = file.map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
        Ok(Self(BufWriter::new(file)))
    }

    /// Writes the refused records to the file, and prints the other lines.
    async fn split(mut self, output: ChildStdout) -> io::Result<()> {
        let mut lines = tokio::io::BufReader::new(output).lines();
        while let Some(line) = lines.next_line().await? {
            if is_refusal(&line) {
                writeln!(self.0, "{line}")?;
            } else {
                writeln!(io::stdout(), "{}", printable(&line))?;
            }
        }
        self.0.flush()
    }
}

fn is_refusal(line: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(line).is_ok_and(|value| {
        value["reason"].is_string() && (value["line"].is_u64() || value["record"].is_u64())
    })
}

/// The format that the server's command derives from the name of a file; standard input has no name.
fn format_of(file: &Path) -> Option<&'static str> {
    match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "jsonl" | "ndjson" => Some("jsonl"),
        "csv" => Some("csv"),
        _ => None,
    }
}

fn arguments(options: &ImportArguments) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["users", "import", "-"].map(Into::into).to_vec();
    let format = options.format.as_deref().or_else(|| format_of(&options.file));
    arguments.extend(format.map(|format| format!("--format={format}").into()));
    if options.dry_run {
        arguments.push("--dry-run".into());
    }
    if options.report.is_some() {
        arguments.push("--report=/dev/stdout".into());
    }
    if options.assume_verified {
        arguments.push("--assume-verified".into());
    }
    arguments
}
