//! The command `latchkey-server users import`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use chrono::Utc;
use clap::{Args, ValueEnum};
use latchkey_config::HashLimits;
use latchkey_exports::PasswordFile;
use serde_json::json;
use uuid::Uuid;

use super::print_line;
use crate::cgroup::available_cores;
use crate::cgroup::memory_limit;
use crate::crypto::HashPool;
use crate::service::{
    self, ExportFormat, HashConfig, ImportCounts, ImportFormat, ImportObserver, ImportOptions, ImportRefusal,
    Place, Records, read_export, read_records,
};
use crate::store::{ImportedGroups, Store};

const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// The maximum number of refused records that are printed if there is no report file.
const MAX_PRINTED_REFUSALS: u64 = 20;
/// The maximum number of concurrent hashes. The command shares the memory of the pod in which it runs.
const MAX_HASH_WORKERS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

#[derive(Debug, Clone, Args)]
pub struct ImportArguments {
    /// The file to import, or `-` for standard input.
    file: PathBuf,
    /// The format of the file [default: determined by the extension .jsonl, .ndjson or .csv].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Writes each refused record to this file, as JSON lines with line or record, username and reason.
    #[arg(long, value_name = "PATH")]
    report: Option<PathBuf>,
    /// Reads and checks the whole file and reports what an import would do, without writing to the database.
    #[arg(long)]
    dry_run: bool,
    /// Treats every address as verified.
    #[arg(long)]
    assume_verified: bool,
    /// A file with the password hash parameters that the Firebase console shows.
    #[arg(long, value_name = "PATH")]
    hash_config: Option<PathBuf>,
    /// Auth0's export of password hashes, if FILE is its export of users.
    #[arg(long, value_name = "PATH")]
    password_hashes: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Each line is a JSON object.
    Jsonl,
    /// Comma-separated values; the first line names the columns.
    Csv,
    /// The export of a Keycloak realm, or its files of users.
    Keycloak,
    /// The export of users or of password hashes of Auth0, or a file for its bulk import.
    Auth0,
    /// The output of `firebase auth:export`, JSON or CSV.
    Firebase,
    /// The table auth.users of Supabase, JSON or CSV.
    Supabase,
    /// The output of Django's dumpdata, JSON.
    Django,
}

/// Imports the file. The exit status is 1 if any record was refused.
///
/// # Errors
/// The file cannot be read, the report cannot be written, or the database does not respond.
pub async fn import_users(store: &Store, arguments: &ImportArguments) -> anyhow::Result<ExitCode> {
    let shown = arguments.file.display();
    let records = open(arguments).with_context(|| format!("{shown} cannot be imported"))?;
    let mut observer = Observer::new(arguments.report.as_deref())?;
    let options = ImportOptions {
        hashing: HashPool::new(HashLimits::derive(
            available_cores().min(MAX_HASH_WORKERS),
            memory_limit(),
            None,
        ))?,
        assume_verified: arguments.assume_verified,
        dry_run: arguments.dry_run,
        run: format!("import-{}", Uuid::now_v7()),
    };
    let started = Instant::now();
    let counts = service::import_users(store, records, &options, &mut observer)
        .await
        .context("the import was interrupted; run it again to continue")?;
    observer.finish(counts)?;
    print_summary(counts, &options, started.elapsed())?;
    Ok(if counts.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_summary(counts: ImportCounts, options: &ImportOptions, took: Duration) -> anyhow::Result<()> {
    print_line(&format!(
        "{} records read in {:.1} s: {} accounts {}, {} already existed, {} records refused",
        counts.read,
        took.as_secs_f64(),
        counts.made,
        if options.dry_run { "would be created" } else { "created" },
        counts.present,
        counts.refused
    ))?;
    if options.dry_run {
        print_line("this was a dry run: nothing was written")?;
    } else if counts.made > 0 {
        print_line(&format!("the audit log has this import as request_id {}", options.run))?;
    }
    if counts.unverified > 0 {
        print_line(&format!(
            "{} of them have an unverified address and can log in only if UNVERIFIED_LOGIN_ENABLED is true; set email_verified for verified addresses, or use --assume-verified",
            counts.unverified
        ))?;
    }
    if counts.without_password > 0 {
        print_line(&format!(
            "{} of them have no password; their users set one with password recovery",
            counts.without_password
        ))?;
    }
    if counts.derived > 0 {
        print_line(&format!(
            "{} of them have a derived username; their users log in with the address",
            counts.derived
        ))?;
    }
    if counts.superusers > 0 {
        print_line(&format!("{} of them are superusers", counts.superusers))?;
    }
    print_groups(counts.groups, options)
}

fn print_groups(groups: ImportedGroups, options: &ImportOptions) -> anyhow::Result<()> {
    if groups.created + groups.members > 0 {
        print_line(&format!(
            "{} groups and {} memberships {}",
            groups.created,
            groups.members,
            if options.dry_run { "would be created" } else { "created" }
        ))?;
    }
    if groups.left_out > 0 {
        print_line(&format!(
            "{} memberships left out: a group of that name holds permissions, or is spelled with other letters in upper and lower case",
            groups.left_out
        ))?;
    }
    Ok(())
}

fn open(arguments: &ImportArguments) -> anyhow::Result<Records<'static>> {
    let format = decide_format(arguments)?;
    let input: Box<dyn BufRead> = if arguments.file == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(&arguments.file)?))
    };
    Ok(match format {
        FileFormat::Records(format) => read_records(format, input)?,
        FileFormat::Export(format) => read_export(format, input)?,
    })
}

/// Latchkey's formats and those of other systems.
enum FileFormat {
    Records(ImportFormat),
    Export(ExportFormat),
}

fn decide_format(arguments: &ImportArguments) -> anyhow::Result<FileFormat> {
    let ImportArguments { file, format, hash_config, password_hashes, .. } = arguments;
    if hash_config.is_some() && *format != Some(Format::Firebase) {
        bail!("--hash-config belongs to --format firebase");
    }
    if password_hashes.is_some() && *format != Some(Format::Auth0) {
        bail!("--password-hashes belongs to --format auth0");
    }
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let export = match (format, extension.to_ascii_lowercase().as_str()) {
        (Some(Format::Jsonl), _) | (None, "jsonl" | "ndjson") => {
            return Ok(FileFormat::Records(ImportFormat::JsonLines));
        }
        (Some(Format::Csv), _) | (None, "csv") => return Ok(FileFormat::Records(ImportFormat::Csv)),
        (Some(Format::Keycloak), _) => ExportFormat::Keycloak,
        (Some(Format::Auth0), _) => {
            let opened = password_hashes.as_deref().map(|path| {
                PasswordFile::open(path).with_context(|| format!("{} cannot be read", path.display()))
            });
            ExportFormat::Auth0 { passwords: opened.transpose()? }
        }
        (Some(Format::Firebase), _) => {
            ExportFormat::Firebase { hashes: hash_config.as_deref().map(read_hash_config).transpose()? }
        }
        (Some(Format::Supabase), _) => ExportFormat::Supabase { now: Utc::now() },
        (Some(Format::Django), _) => ExportFormat::Django,
        (None, _) => bail!(
            "the extension does not determine the format; add --format jsonl, --format csv, or the system that exported the file"
        ),
    };
    Ok(FileFormat::Export(export))
}

fn read_hash_config(path: &Path) -> anyhow::Result<HashConfig> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{shown} cannot be read"))?;
    HashConfig::parse(&text).with_context(|| format!("{shown} does not have the password hash parameters"))
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
        let ImportRefusal { place, username, reason } = refusal;
        if let Some(report) = &mut self.report {
            let (unit, number) = match place {
                Place::Line(number) => ("line", number),
                Place::Record(number) => ("record", number),
            };
            let note = json!({ unit: number, "username": username, "reason": reason });
            return writeln!(report, "{note}");
        }
        if self.printed_refusals < MAX_PRINTED_REFUSALS {
            self.printed_refusals += 1;
            print_error(&format!("{place}: {reason}"));
        }
        Ok(())
    }
}

/// Prints to standard error. A write error does not stop the import.
fn print_error(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
