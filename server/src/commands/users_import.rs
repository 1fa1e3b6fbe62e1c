//! The command `latchkey-server users import`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde_json::json;
use uuid::Uuid;

use super::print_line;
use crate::service::{
    self, ImportCounts, ImportFormat, ImportObserver, ImportRefusal, Records, read_records,
};
use crate::store::Store;

const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// The maximum number of refused records that are printed if there is no report file.
const MAX_PRINTED_REFUSALS: u64 = 20;

#[derive(Debug, Clone, Args)]
pub struct ImportArguments {
    /// The file to import, or `-` for standard input.
    file: PathBuf,
    /// The format of the file [default: determined by the extension .jsonl, .ndjson or .csv].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Writes each refused record to this file, as JSON lines with line, username and reason.
    #[arg(long, value_name = "PATH")]
    report: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Each line is a JSON object.
    Jsonl,
    /// Comma-separated values; the first line names the columns.
    Csv,
}

/// Imports the file. The exit status is 1 if any record was refused.
///
/// # Errors
/// The file cannot be read, the report cannot be written, or the database does not respond.
pub async fn import_users(store: &Store, arguments: &ImportArguments) -> anyhow::Result<ExitCode> {
    let shown = arguments.file.display();
    let records = open(arguments).with_context(|| format!("{shown} cannot be imported"))?;
    let mut observer = Observer::new(arguments.report.as_deref())?;
    let run = format!("import-{}", Uuid::now_v7());
    let started = Instant::now();
    let counts = service::import_users(store, records, &run, &mut observer)
        .await
        .context("the import was interrupted; run it again to continue")?;
    observer.finish(counts)?;
    print_line(&format!(
        "{} records read in {:.1} s: {} accounts created, {} already existed, {} records refused",
        counts.read,
        started.elapsed().as_secs_f64(),
        counts.made,
        counts.present,
        counts.refused
    ))?;
    if counts.made > 0 {
        print_line(&format!("the audit log has this import as request_id {run}"))?;
    }
    if counts.unverified > 0 {
        print_line(&format!(
            "{} of them have an unverified address and can log in only if UNVERIFIED_LOGIN_ENABLED is true; set email_verified for verified addresses",
            counts.unverified
        ))?;
    }
    Ok(if counts.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn open(arguments: &ImportArguments) -> anyhow::Result<Records<'static>> {
    let format = decide_format(&arguments.file, arguments.format)?;
    let input: Box<dyn BufRead> = if arguments.file == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(&arguments.file)?))
    };
    Ok(read_records(format, input)?)
}

fn decide_format(file: &Path, format: Option<Format>) -> anyhow::Result<ImportFormat> {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match (format, extension.to_ascii_lowercase().as_str()) {
        (Some(Format::Jsonl), _) | (None, "jsonl" | "ndjson") => Ok(ImportFormat::JsonLines),
        (Some(Format::Csv), _) | (None, "csv") => Ok(ImportFormat::Csv),
        (None, _) => bail!("the extension does not determine the format; add --format jsonl or --format csv"),
    }
}

/// Prints the progress and reports refused records.
struct Observer {
    report: Option<BufWriter<File>>,
    printed_refusals: u64,
    last_progress: Instant,
}

impl Observer {
    fn new(report: Option<&Path>) -> anyhow::Result<Self> {
        let report = report
            .map(|path| {
                let file = File::create(path);
                file.with_context(|| format!("the report {} cannot be written", path.display()))
            })
            .transpose()?;
        Ok(Self { report: report.map(BufWriter::new), printed_refusals: 0, last_progress: Instant::now() })
    }

    fn finish(&mut self, counts: ImportCounts) -> anyhow::Result<()> {
        if let Some(report) = &mut self.report {
            report.flush().context("the report cannot be written")?;
        } else if counts.refused > self.printed_refusals {
            let more = counts.refused - self.printed_refusals;
            print_error(&format!("… and {more} more; use --report PATH to list all of them"));
        }
        Ok(())
    }
}

impl ImportObserver for Observer {
    fn progress(&mut self, counts: ImportCounts) {
        if self.last_progress.elapsed() >= PROGRESS_INTERVAL {
            self.last_progress = Instant::now();
            let ImportCounts { read, made, present, refused, .. } = counts;
            print_error(&format!(
                "{read} read: {made} created, {present} already existed, {refused} refused"
            ));
        }
    }

    fn refused(&mut self, refusal: &ImportRefusal) -> io::Result<()> {
        let ImportRefusal { line, username, reason } = refusal;
        if let Some(report) = &mut self.report {
            let note = json!({ "line": line, "username": username, "reason": reason });
            return writeln!(report, "{note}");
        }
        if self.printed_refusals < MAX_PRINTED_REFUSALS {
            self.printed_refusals += 1;
            print_error(&format!("line {line}: {reason}"));
        }
        Ok(())
    }
}

/// Prints to standard error. A write error does not stop the import.
fn print_error(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
