//! The texts of mail: the built-in ones, and those of a folder that take their place (docs/decisions/0007).

use std::collections::BTreeSet;
use std::path::Path;

use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value, escape_formatter};

use super::builtin;
use super::language::choose_language;
use super::message::{Facts, sample_facts};
use crate::store::MailKind;

/// The template that the others extend.
const LAYOUT: &str = "layout.html";
/// The last resort among languages.
const DEFAULT_LOCALE: &str = "en";
/// What the first line of a text template begins with.
const SUBJECT: &str = "Subject:";
/// Steps of a template. The longest of ours takes some 300; one that never ends must not hold up a sender.
const FUEL: u64 = 50_000;

/// A message ready to be addressed.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// One line.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

/// A template that cannot be used. `Display` names the file and holds none of the values.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The folder cannot be read.
    #[error("MAIL_TEMPLATES_DIR is not valid: `{folder}` cannot be read: {reason}")]
    Folder {
        /// The folder, or the file in it.
        folder: String,
        /// The system's word for it.
        reason: std::io::ErrorKind,
    },
    /// A file of the folder whose name is that of no template.
    #[error(
        "MAIL_TEMPLATES_DIR is not valid: `{file}` is the name of no template; it has to be `layout.html`, or a kind, a language and `html` or `txt`, such as `password_recovery.de.html`"
    )]
    UnknownName {
        /// The file.
        file: String,
    },
    /// A new language with only one of its two parts.
    #[error("MAIL_TEMPLATES_DIR is not valid: `{file}` is missing; a new language needs both parts")]
    HalfMissing {
        /// The file that is missing.
        file: String,
    },
    /// It does not parse, or uses what it does not have.
    #[error("the mail template `{file}` cannot be used: {reason}")]
    Broken {
        /// The file.
        file: String,
        /// The engine's sentence, or ours.
        reason: String,
    },
}

/// All texts, compiled. Share it with an `Arc`.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    /// The languages of each kind, in lower case.
    locales: BTreeSet<(&'static str, String)>,
}

impl Templates {
    /// The built-in texts, with those of `folder` in their places. Everything is tried with sample values, so that
    /// a mistake is seen now and not when the first message is due.
    ///
    /// # Errors
    /// [`TemplateError`], one sentence that names the file.
    pub fn load(folder: Option<&Path>) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_formatter(|out, state, value| match value.as_str() {
            // As pages do it; the engine's own escaping would also write the slashes of links as numbers, which
            // scanners of mail take for an attempt to hide something.
            Some(text) if matches!(state.auto_escape(), AutoEscape::Html) && !value.is_safe() => {
                let Ok(escaped) = askama::filters::escape(text, askama::filters::Html);
                write!(out, "{escaped}").map_err(Error::from)
            }
            _ => escape_formatter(out, state, value),
        });
        let mut templates = Self { environment, locales: BTreeSet::new() };
        for (name, source) in builtin::FILES {
            templates.add(name, (*source).to_owned())?;
        }
        for kind in MailKind::ALL {
            templates.locales.extend(builtin::LOCALES.map(|locale| (kind.as_str(), locale.to_owned())));
        }
        if let Some(folder) = folder {
            templates.add_overrides(folder)?;
        }
        for (kind, locale) in templates.pairs() {
            templates.render(kind, &locale, &sample_facts(kind, "Example"))?;
        }
        Ok(templates)
    }

    /// Every kind with each of its languages.
    pub fn pairs(&self) -> Vec<(MailKind, String)> {
        let locales_of = |kind: MailKind| {
            let of_kind = self.locales.iter().filter(move |(name, _)| *name == kind.as_str());
            of_kind.map(move |(_, locale)| (kind, locale.clone()))
        };
        MailKind::ALL.into_iter().flat_map(locales_of).collect()
    }

    /// The language of a message: the first of `wanted` that its kind is written in, or English.
    pub fn choose_locale<'w>(&self, kind: MailKind, wanted: impl IntoIterator<Item = &'w str>) -> &str {
        let available = |range: &str| {
            let found = self.locales.get(&(kind.as_str(), range.to_owned()));
            found.map(|(_, locale)| locale.as_str())
        };
        choose_language(available, wanted).unwrap_or(DEFAULT_LOCALE)
    }

    /// Writes a message; `locale` is one of [`Templates::choose_locale`].
    ///
    /// # Errors
    /// [`TemplateError::Broken`] when a template uses a value that this message does not have.
    pub fn render(&self, kind: MailKind, locale: &str, facts: &Facts<'_>) -> Result<Content, TemplateError> {
        let mut values = facts.values();
        values.push(("locale", Value::from(locale)));
        let file = file_name(kind, locale, "txt");
        let whole = self.fill(&file, &values)?;
        let (subject, text) = split_subject(&whole).ok_or_else(|| TemplateError::Broken {
            file,
            reason: "its first line has to be `Subject:` and a text, its second line empty".to_owned(),
        })?;
        values.push(("subject", Value::from(subject.as_str())));
        let html = self.fill(&file_name(kind, locale, "html"), &values)?;
        Ok(Content { subject, text, html })
    }

    fn fill(&self, file: &str, values: &[(&'static str, Value)]) -> Result<String, TemplateError> {
        let values = Value::from_pairs(values.iter().cloned());
        let rendered = self.environment.get_template(file).and_then(|template| template.render(values));
        rendered.map_err(|error| broken(file, &error))
    }

    fn add(&mut self, name: &str, source: String) -> Result<(), TemplateError> {
        let added = self.environment.add_template_owned(name.to_owned(), source);
        added.map_err(|error| broken(name, &error))
    }

    fn add_overrides(&mut self, folder: &Path) -> Result<(), TemplateError> {
        let unreadable = |error: &std::io::Error, path: &Path| TemplateError::Folder {
            folder: path.display().to_string(),
            reason: error.kind(),
        };
        let mut new = Vec::new();
        let entries = std::fs::read_dir(folder).map_err(|error| unreadable(&error, folder))?;
        for entry in entries {
            let path = entry.map_err(|error| unreadable(&error, folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // A volume of Kubernetes holds its own folders, whose names begin with two dots.
            let is_template =
                Path::new(&name).extension().is_some_and(|kind| kind == "html" || kind == "txt");
            if name.starts_with('.') || !is_template {
                continue;
            }
            let (name, pair) = parse_name(&name).ok_or(TemplateError::UnknownName { file: name })?;
            let source = std::fs::read_to_string(&path).map_err(|error| unreadable(&error, &path))?;
            self.add(&name, source)?;
            new.extend(pair);
        }
        for (kind, locale) in new {
            for part in ["html", "txt"] {
                let file = file_name(kind, &locale, part);
                if self.environment.get_template(&file).is_err() {
                    return Err(TemplateError::HalfMissing { file });
                }
            }
            self.locales.insert((kind.as_str(), locale));
        }
        Ok(())
    }
}

fn file_name(kind: MailKind, locale: &str, part: &str) -> String {
    format!("{}.{locale}.{part}", kind.as_str())
}

/// The name that a file of the folder has here, and what it belongs to; a language is the same whatever its case.
fn parse_name(file: &str) -> Option<(String, Option<(MailKind, String)>)> {
    if file == LAYOUT {
        return Some((LAYOUT.to_owned(), None));
    }
    let mut parts = file.split('.');
    let (kind, locale, part) = (parts.next()?, parts.next()?.to_ascii_lowercase(), parts.next()?);
    let kind = MailKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
    let is_language = locale.split('-').all(|subtag| {
        (1..=8).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    (is_language && parts.next().is_none()).then(|| (file_name(kind, &locale, part), Some((kind, locale))))
}

/// The subject, on one line whatever is in its values, and the rest.
fn split_subject(text: &str) -> Option<(String, String)> {
    let (first, rest) = text.split_once('\n')?;
    let subject = first.strip_prefix(SUBJECT)?.split(char::is_control).collect::<Vec<_>>().join(" ");
    let subject = subject.trim().to_owned();
    let (empty, body) = rest.split_once('\n')?;
    (!subject.is_empty() && empty.trim().is_empty()).then(|| (subject, format!("{}\n", body.trim_end())))
}

fn broken(file: &str, error: &Error) -> TemplateError {
    // An error inside a block comes wrapped; what is wrong is said by the innermost.
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    TemplateError::Broken { file: file.to_owned(), reason: innermost.to_string() }
}
