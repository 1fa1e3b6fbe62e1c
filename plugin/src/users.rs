//! `users import`: streams a file of this machine into the server's command in a pod.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitCode, Stdio};

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncWriteExt};

use crate::cli::ImportArguments;
use crate::cluster::Cluster;
use crate::exec;
use crate::failure::Failure;
use crate::output::Printer;

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
    let mut child = exec::start(cluster, &options.name, &arguments(options), Stdio::piped(), printer).await?;
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
    exec::exit_code(child).await
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
    if options.assume_verified {
        arguments.push("--assume-verified".into());
    }
    arguments
}
