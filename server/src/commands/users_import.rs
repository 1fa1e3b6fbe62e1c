//! `latchkey-server users import`

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

/// How often the progress is shown.
const INTERVAL: Duration = Duration::from_secs(1);
/// So many refusals are shown when there is no report to write them to.
const SHOWN: u64 = 20;

/// What to import, and how.
#[derive(Debug, Clone, Args)]
pub struct ImportArguments {
    /// The file to import, or `-` for standard input.
    file: PathBuf,
    /// The format of the file; the extension (.jsonl, .ndjson, .csv) decides if this is absent.
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
    /// The lines are comma-separated values, and the first line names the columns.
    Csv,
}

/// Imports the file. `1` when some records were refused.
///
/// # Errors
/// The file cannot be read, the report cannot be written, or the database does not answer.
pub async fn import_users(store: &Store, arguments: &ImportArguments) -> anyhow::Result<ExitCode> {
    let shown = arguments.file.display();
    let records = open(arguments).with_context(|| format!("{shown} cannot be imported"))?;
    let mut observer = Observer::new(arguments.report.as_deref())?;
    let run = format!("import-{}", Uuid::now_v7());
    let started = Instant::now();
    let counts = service::import_users(store, records, &run, &mut observer)
        .await
        .context("the import ended early; run it again to go on")?;
    observer.finish(counts)?;
    print_line(&format!(
        "{} records read in {:.1} s: {} accounts made, {} were there already, {} records refused",
        counts.read,
        started.elapsed().as_secs_f64(),
        counts.made,
        counts.present,
        counts.refused
    ))?;
    if counts.made > 0 {
        print_line(&format!("the audit knows this import as request_id {run}"))?;
    }
    if counts.unverified > 0 {
        print_line(&format!(
            "{} of them have an address that is not verified and log in only where UNVERIFIED_LOGIN_ENABLED is true; give email_verified where it is known",
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

fn decide_format(file: &Path, said: Option<Format>) -> anyhow::Result<ImportFormat> {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match (said, extension.to_ascii_lowercase().as_str()) {
        (Some(Format::Jsonl), _) | (None, "jsonl" | "ndjson") => Ok(ImportFormat::JsonLines),
        (Some(Format::Csv), _) | (None, "csv") => Ok(ImportFormat::Csv),
        (None, _) => bail!("its name does not say how it is written; give --format jsonl or --format csv"),
    }
}

/// Shows the progress and notes down what is refused.
struct Observer {
    report: Option<BufWriter<File>>,
    shown: u64,
    last_shown: Instant,
}

impl Observer {
    fn new(report: Option<&Path>) -> anyhow::Result<Self> {
        let report = report
            .map(|path| {
                let file = File::create(path);
                file.with_context(|| format!("the report {} cannot be written", path.display()))
            })
            .transpose()?;
        Ok(Self { report: report.map(BufWriter::new), shown: 0, last_shown: Instant::now() })
    }

    fn finish(&mut self, counts: ImportCounts) -> anyhow::Result<()> {
        if let Some(report) = &mut self.report {
            report.flush().context("the report cannot be written")?;
        } else if counts.refused > self.shown {
            let more = counts.refused - self.shown;
            say(&format!("… and {more} more; --report PATH lists them all"));
        }
        Ok(())
    }
}

impl ImportObserver for Observer {
    fn progress(&mut self, counts: ImportCounts) {
        if self.last_shown.elapsed() >= INTERVAL {
            self.last_shown = Instant::now();
            let ImportCounts { read, made, present, refused, .. } = counts;
            say(&format!("{read} read: {made} made, {present} there already, {refused} refused"));
        }
    }

    fn refused(&mut self, refusal: &ImportRefusal) -> io::Result<()> {
        let ImportRefusal { line, username, reason } = refusal;
        if let Some(report) = &mut self.report {
            let note = json!({ "line": line, "username": username, "reason": reason });
            return writeln!(report, "{note}");
        }
        if self.shown < SHOWN {
            self.shown += 1;
            say(&format!("line {line}: {reason}"));
        }
        Ok(())
    }
}

/// Nobody may be reading; the import goes on all the same.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
