//! E-mail templates: the built-in ones, and custom ones that override them (docs/decisions/0007).

use std::collections::BTreeSet;
use std::path::Path;

use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value, escape_formatter};

use super::builtin;
use super::language::choose_language;
use super::message::{Facts, sample_facts};
use crate::store::MailKind;

/// The template that the HTML templates extend.
const LAYOUT: &str = "layout.html";
/// The language if none of the wanted ones is available.
const FALLBACK_LOCALE: &str = "en";
/// The prefix of the first line of a text template.
const SUBJECT: &str = "Subject:";
/// The maximum number of instructions of a template, so that an infinite loop does not block a sender. The longest
/// built-in template takes about 300.
const FUEL: u64 = 50_000;

/// A rendered message without its recipient.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// An unusable template. `Display` names the file and contains no value.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error("MAIL_TEMPLATES_DIR is not valid: `{path}` cannot be read: {reason}")]
    Unreadable { path: String, reason: std::io::ErrorKind },
    #[error(
        "MAIL_TEMPLATES_DIR is not valid: `{file}` is not the name of a template; the name must be `layout.html`, or a kind, a language and `html` or `txt`, such as `password_recovery.de.html`"
    )]
    UnknownName { file: String },
    /// A custom language has only one of its two parts.
    #[error("MAIL_TEMPLATES_DIR is not valid: `{file}` is missing; a new language needs both parts")]
    MissingPart { file: String },
    /// The template has a syntax error or uses an undefined variable.
    #[error("the mail template `{file}` cannot be used: {reason}")]
    Invalid { file: String, reason: String },
}

/// The compiled templates.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    /// The languages of each kind, in lower case.
    locales: BTreeSet<(&'static str, String)>,
}

impl Templates {
    /// Loads the built-in templates and overrides them with those in `folder`. Renders all of them with sample
    /// values, so that errors are found at startup.
    ///
    /// # Errors
    /// [`TemplateError`]
    pub fn load(folder: Option<&Path>) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_formatter(|out, state, value| match value.as_str() {
            // The same escaping as in pages. minijinja's also escapes the slashes of links, which spam filters
            // consider an obfuscation.
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

    /// All combinations of a kind and one of its languages.
    pub fn pairs(&self) -> Vec<(MailKind, String)> {
        let locales_of = |kind: MailKind| {
            let of_kind = self.locales.iter().filter(move |(name, _)| *name == kind.as_str());
            of_kind.map(move |(_, locale)| (kind, locale.clone()))
        };
        MailKind::ALL.into_iter().flat_map(locales_of).collect()
    }

    /// The language of a message: the first of `wanted` for which the kind has templates, or English.
    pub fn choose_locale<'w>(&self, kind: MailKind, wanted: impl IntoIterator<Item = &'w str>) -> &str {
        let available = |range: &str| {
            let found = self.locales.get(&(kind.as_str(), range.to_owned()));
            found.map(|(_, locale)| locale.as_str())
        };
        choose_language(available, wanted).unwrap_or(FALLBACK_LOCALE)
    }

    /// Renders a message in a language that [`Templates::choose_locale`] returned.
    ///
    /// # Errors
    /// [`TemplateError::Invalid`] if a template uses a variable that the message does not have.
    pub fn render(&self, kind: MailKind, locale: &str, facts: &Facts<'_>) -> Result<Content, TemplateError> {
        let mut values = facts.values();
        values.push(("locale", Value::from(locale)));
        let file = file_name(kind, locale, "txt");
        let whole = self.fill(&file, &values)?;
        let (subject, text) = split_subject(&whole).ok_or_else(|| TemplateError::Invalid {
            file,
            reason: "its first line must be `Subject:` followed by text, and its second line must be empty"
                .to_owned(),
        })?;
        values.push(("subject", Value::from(subject.as_str())));
        let html = self.fill(&file_name(kind, locale, "html"), &values)?;
        Ok(Content { subject, text, html })
    }

    fn fill(&self, file: &str, values: &[(&'static str, Value)]) -> Result<String, TemplateError> {
        let values = Value::from_pairs(values.iter().cloned());
        let rendered = self.environment.get_template(file).and_then(|template| template.render(values));
        rendered.map_err(|error| invalid(file, &error))
    }

    fn add(&mut self, name: &str, source: String) -> Result<(), TemplateError> {
        let added = self.environment.add_template_owned(name.to_owned(), source);
        added.map_err(|error| invalid(name, &error))
    }

    fn add_overrides(&mut self, folder: &Path) -> Result<(), TemplateError> {
        let unreadable = |error: &std::io::Error, path: &Path| TemplateError::Unreadable {
            path: path.display().to_string(),
            reason: error.kind(),
        };
        let mut new = Vec::new();
        let entries = std::fs::read_dir(folder).map_err(|error| unreadable(&error, folder))?;
        for entry in entries {
            let path = entry.map_err(|error| unreadable(&error, folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Kubernetes mounts ConfigMaps and Secrets with folders whose names begin with two dots.
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
                    return Err(TemplateError::MissingPart { file });
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

/// The canonical name of a custom template, and its kind and language. Languages are case-insensitive.
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

/// Splits a rendered text into subject and body. Control characters in the subject, such as line breaks from a value,
/// become spaces.
fn split_subject(text: &str) -> Option<(String, String)> {
    let (first, rest) = text.split_once('\n')?;
    let subject = first.strip_prefix(SUBJECT)?.split(char::is_control).collect::<Vec<_>>().join(" ");
    let subject = subject.trim().to_owned();
    let (empty, body) = rest.split_once('\n')?;
    (!subject.is_empty() && empty.trim().is_empty()).then(|| (subject, format!("{}\n", body.trim_end())))
}

fn invalid(file: &str, error: &Error) -> TemplateError {
    // minijinja wraps an error inside a block; the innermost error describes the cause.
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    TemplateError::Invalid { file: file.to_owned(), reason: innermost.to_string() }
}
