//! The command `latchkey-server mail preview`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::mail::{Content, Templates, sample_facts};
use crate::store::MailKind;
use anyhow::{Context as _, bail};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, ValueEnum};

/// The commands for e-mails.
#[derive(Clone, Subcommand)]
pub enum MailCommand {
    /// Prints an e-mail with sample values, or writes all of them into a folder.
    Preview(Preview),
}

#[derive(Clone, Args)]
pub struct Preview {
    /// The kind of the e-mail.
    #[arg(long, default_value = "password_recovery",
          value_parser = PossibleValuesParser::new(MailKind::ALL.map(MailKind::as_str)))]
    kind: String,
    /// The language that the account's owner chose; the server falls back to another one if it has no such texts.
    #[arg(long, default_value = "en")]
    locale: String,
    /// The part of the e-mail to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Writes every e-mail in every language into this folder instead of printing one.
    #[arg(long, conflicts_with_all = ["kind", "locale", "format"])]
    out: Option<PathBuf>,
    /// The folder whose files replace the built-in texts.
    #[arg(long, env = "MAIL_TEMPLATES_DIR")]
    templates: Option<PathBuf>,
    /// The name of the service in the e-mails.
    #[arg(long, env = "EMAILS_FROM_NAME", default_value = "Example Accounts")]
    service: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Prints the subject and the plain text part.
    Text,
    /// Prints the HTML part.
    Html,
}

/// # Errors
/// A template is invalid or the output cannot be written.
pub fn run(command: &MailCommand) -> anyhow::Result<()> {
    let MailCommand::Preview(preview) = command;
    let folder = preview.templates.as_deref().filter(|folder| !folder.as_os_str().is_empty());
    let templates = Templates::load(folder)?;
    if let Some(out) = &preview.out {
        return write_all(&templates, &preview.service, out);
    }
    let Some(kind) = MailKind::ALL.into_iter().find(|kind| kind.as_str() == preview.kind) else {
        bail!("there is no message of the kind `{}`", preview.kind)
    };
    let locale = templates.choose_locale(kind, [preview.locale.as_str()]);
    let content = templates.render(kind, locale, &sample_facts(kind, &preview.service))?;
    let shown = match preview.format {
        Format::Text => text_of(&content),
        Format::Html => content.html,
    };
    write!(std::io::stdout(), "{shown}").context("the output cannot be written")
}

fn write_all(templates: &Templates, service: &str, out: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(out)
        .with_context(|| format!("the folder {} cannot be created", out.display()))?;
    let pairs = templates.pairs();
    for (kind, locale) in &pairs {
        let content = templates.render(*kind, locale, &sample_facts(*kind, service))?;
        for (part, text) in [("txt", text_of(&content)), ("html", content.html.clone())] {
            let file = out.join(format!("{}.{locale}.{part}", kind.as_str()));
            std::fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
        }
    }
    writeln!(std::io::stdout(), "{} messages written to {}", pairs.len(), out.display())
        .context("the output cannot be written")
}

fn text_of(content: &Content) -> String {
    format!("Subject: {}\n\n{}", content.subject, content.text)
}
