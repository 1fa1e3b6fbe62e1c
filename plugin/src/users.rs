//! `users import`: streams a file of this machine into the server's command in a pod.

use std::ffi::OsString;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{ExitCode, Stdio};

use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
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
    let mut sources = Vec::new();
    for path in options.hash_config.iter().chain([&options.file]) {
        sources.push((path, open(path).await?));
    }
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
    let Some(mut stdin) = child.stdin.take() else {
        return Err(Failure::Failed("kubectl exec has no standard input".to_owned()));
    };
    for (path, mut source) in sources {
        match tokio::io::copy(&mut source, &mut stdin).await {
            Ok(_) => {}
            // The command ended before it had read everything; its status says why.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => break,
            Err(error) => return Err(Failure::Failed(format!("{}: {error}", path.display()))),
        }
        // The hash parameters may have no last newline.
        if Some(path) == options.hash_config.as_ref() {
            let _ = stdin.write_all(b"\n").await;
        }
    }
    // The command reads until the end of its input.
    let _ = stdin.shutdown().await;
    drop(stdin);
    let code = exec::exit_code(child).await?;
    let failed = |error: String| Failure::Failed(format!("the report cannot be written: {error}"));
    copied.await.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
    Ok(code)
}

/// The file for refused records. The command writes them to its standard output, because a pod has no place for a file.
struct Report(BufWriter<std::fs::File>);

impl Report {
    fn create(path: &Path) -> Result<Self, Failure> {
        let file = std::fs::File::create(path);
        let file = file.map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
        Ok(Self(BufWriter::new(file)))
    }

    /// Writes the refused records to the file, and prints the other lines.
    async fn split(mut self, output: ChildStdout) -> std::io::Result<()> {
        let mut lines = BufReader::new(output).lines();
        while let Some(line) = lines.next_line().await? {
            if is_refusal(&line) {
                writeln!(self.0, "{line}")?;
            } else {
                writeln!(std::io::stdout(), "{}", printable(&line))?;
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

async fn open(path: &Path) -> Result<Box<dyn AsyncRead + Unpin>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(tokio::io::stdin()));
    }
    let failed = |why: String| Failure::Failed(format!("{}: {why}", path.display()));
    let file = File::open(path).await.map_err(|error| failed(error.to_string()))?;
    let metadata = file.metadata().await.map_err(|error| failed(error.to_string()))?;
    if metadata.is_dir() {
        return Err(failed("it is a folder".to_owned()));
    }
    Ok(Box::new(file))
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
