//! Parses single variables and records their errors.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use url::Url;

use crate::postgres_url::PostgresUrl;
use crate::redis_url::{SENTINEL_SCHEMES, SentinelUrl};
use crate::settings::Minutes;
use crate::variables as v;
use crate::{Environment, SecretSource, SettingsError};

/// Proves that an error was recorded. Only [`Given::refuse`] creates one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recorded(());

/// A value, or the proof that its error was recorded. Parse every variable before the first `?`, so that one error
/// does not hide another.
pub(crate) type Parsed<T> = Result<T, Recorded>;

pub(crate) struct Given<'a> {
    variables: &'a BTreeMap<String, String>,
    not_text: Option<&'a BTreeSet<String>>,
    faults: RefCell<Vec<SettingsError>>,
}

impl<'a> Given<'a> {
    pub(crate) fn of_variables(variables: &'a BTreeMap<String, String>) -> Self {
        Self { variables, not_text: None, faults: RefCell::default() }
    }

    pub(crate) fn of_environment(environment: &'a Environment) -> Self {
        let given = Self {
            variables: &environment.variables,
            not_text: Some(&environment.not_text),
            faults: RefCell::default(),
        };
        for name in &environment.not_text {
            let _ = given.refuse(SettingsError::NotText { name: name.clone() });
        }
        given
    }

    pub(crate) fn into_faults(self) -> Vec<SettingsError> {
        self.faults.into_inner()
    }

    pub(crate) fn refuse(&self, fault: SettingsError) -> Recorded {
        self.faults.borrow_mut().push(fault);
        Recorded(())
    }

    pub(crate) fn invalid(&self, name: &'static str, reason: impl Into<String>) -> Recorded {
        self.refuse(invalid(name, reason))
    }

    pub(crate) fn conflict(&self, name: &'static str, reason: &'static str) -> Recorded {
        self.refuse(SettingsError::Conflict { name, reason })
    }

    pub(crate) fn required<T>(&self, name: &'static str, value: Parsed<Option<T>>) -> Parsed<T> {
        value?.ok_or_else(|| self.refuse(SettingsError::Missing { name, hint: "" }))
    }

    /// Requires a value for the given reason.
    pub(crate) fn needed<T>(
        &self,
        name: &'static str,
        reason: &'static str,
        value: Parsed<Option<T>>,
    ) -> Parsed<T> {
        value?.ok_or_else(|| self.conflict(name, reason))
    }

    pub(crate) fn text(&self, name: &str) -> Parsed<Option<&'a str>> {
        if self.not_text.is_some_and(|names| names.contains(name)) {
            return Err(Recorded(()));
        }
        Ok(self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty()))
    }

    pub(crate) fn path(&self, name: &str) -> Parsed<Option<PathBuf>> {
        Ok(self.text(name)?.map(PathBuf::from))
    }

    pub(crate) fn owned(&self, name: &str) -> Parsed<Option<String>> {
        Ok(self.text(name)?.map(str::to_owned))
    }

    pub(crate) fn secret(&self, name: &'static str) -> Parsed<Option<SecretSource>> {
        match (self.text(name)?, self.text(&v::file_variant(name))?) {
            (Some(_), Some(_)) => Err(self.refuse(SettingsError::GivenTwice { name })),
            (Some(text), None) => Ok(Some(SecretSource::inline(text))),
            (None, Some(path)) => Ok(Some(SecretSource::File(PathBuf::from(path)))),
            (None, None) => Ok(None),
        }
    }

    pub(crate) fn required_secret(&self, name: &'static str) -> Parsed<SecretSource> {
        let hint = " (a path may be given instead, with _FILE after the name)";
        let source = self.secret(name)?.ok_or_else(|| self.refuse(SettingsError::Missing { name, hint }))?;
        if let SecretSource::Inline(text) = &source {
            check_secret(name, text.expose()).map_err(|fault| self.refuse(fault))?;
        }
        Ok(source)
    }

    pub(crate) fn parsed<T: std::str::FromStr>(
        &self,
        name: &'static str,
        default: T,
        expected: &str,
    ) -> Parsed<T> {
        match self.text(name)? {
            None => Ok(default),
            Some(text) => {
                text.parse().map_err(|_| self.invalid(name, format!("{} is not {expected}", shown(text))))
            }
        }
    }

    pub(crate) fn address(&self, name: &'static str, default: &str) -> Parsed<SocketAddr> {
        let text = self.text(name)?.unwrap_or(default);
        text.parse().map_err(|_| {
            let expected = "an address with a port, such as 0.0.0.0:8080 or [::]:8080";
            self.invalid(name, format!("{} is not {expected}", shown(text)))
        })
    }

    pub(crate) fn url(&self, name: &'static str) -> Parsed<Option<Url>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let url = Url::parse(text).map_err(|_| {
            self.invalid(name, format!("{} is not a URL such as https://auth.example.com", shown(text)))
        })?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(self.invalid(name, format!("{} is not an http or https URL", shown(text))));
        }
        if url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(self.invalid(name, "it must have no query, fragment, user or password"));
        }
        Ok(Some(url))
    }

    pub(crate) fn minutes(&self, name: &'static str, default: u32) -> Parsed<Minutes> {
        let number: u32 = self.parsed(name, default, "a whole number of minutes")?;
        Minutes::new(number).ok_or_else(|| {
            self.invalid(name, format!("`{number}` is not between 1 and {} minutes", Minutes::MAX))
        })
    }

    pub(crate) fn flag(&self, name: &'static str) -> Parsed<Option<bool>> {
        match self.text(name)? {
            None => Ok(None),
            Some("true" | "True" | "1") => Ok(Some(true)),
            Some("false" | "False" | "0") => Ok(Some(false)),
            Some(text) => Err(self.invalid(name, format!("{} is neither true nor false", shown(text)))),
        }
    }

    pub(crate) fn flag_or(&self, name: &'static str, default: bool) -> Parsed<bool> {
        Ok(self.flag(name)?.unwrap_or(default))
    }

    /// Parses comma-separated values.
    pub(crate) fn list<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Parsed<Vec<T>> {
        let texts = self.text(name)?.unwrap_or_default().split(',').map(str::trim);
        texts
            .filter(|text| !text.is_empty())
            .map(|text| {
                parse(text)
                    .map_err(|expected| self.invalid(name, format!("{} is not {expected}", shown(text))))
            })
            .collect()
    }
}

pub(crate) fn invalid(name: &'static str, reason: impl Into<String>) -> SettingsError {
    SettingsError::Invalid { name, reason: reason.into() }
}

/// Formats a value for a message: on one line, and redacted if it may be a URL with credentials.
pub(crate) fn shown(text: &str) -> String {
    if text.contains('@') && text.contains(':') {
        return "its value".to_owned();
    }
    let mut shown = String::from("`");
    for char in text.chars() {
        if char.is_control() {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown + "`"
}

/// Checks a secret that is a URL. For a secret in a file, the server calls it after reading the file.
///
/// # Errors
/// [`SettingsError::Invalid`], which does not contain the value because it may contain a password.
pub fn check_secret(name: &'static str, text: &str) -> Result<(), SettingsError> {
    let refusal = match name {
        v::DATABASE_URL => PostgresUrl::parse(text).err(),
        v::REDIS_URL => match SentinelUrl::parse(text) {
            Some(Ok(_)) => None,
            Some(Err(reason)) => Some(reason.to_owned()),
            None => {
                let schemes = ["redis://", "rediss://", SENTINEL_SCHEMES[0], SENTINEL_SCHEMES[1]];
                let is_known = schemes.iter().any(|scheme| text.starts_with(scheme));
                (!is_known).then(|| format!("it must start with {}", schemes.join(" or ")))
            }
        },
        _ => None,
    };
    refusal.map_or(Ok(()), |reason| Err(invalid(name, reason)))
}
