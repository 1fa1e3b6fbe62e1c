//! `latchkey-server superuser create`

use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use latchkey_config::PasswordPolicy;

use super::print_line;
use crate::domain::Password;
use crate::service::{self, ServiceError, UserForm};
use crate::store::Store;

/// Who the superuser is. No option takes the password itself, since the arguments of a process are visible to others.
#[derive(Debug, Clone, Args)]
pub struct SuperuserArguments {
    /// The name that the superuser logs in with.
    #[arg(long)]
    username: String,
    /// The superuser's e-mail address, which counts as verified.
    #[arg(long)]
    email: String,
    /// The person's name; the username is used if this is absent.
    #[arg(long)]
    name: Option<String>,
    /// Reads the password from this file instead of the terminal or standard input.
    #[arg(long, value_name = "PATH")]
    password_file: Option<PathBuf>,
}

/// Creates the account and prints the result.
///
/// # Errors
/// One sentence: what is not valid, what is taken, or that the database does not answer.
pub async fn create_superuser(
    store: &Store,
    arguments: SuperuserArguments,
    policy: &PasswordPolicy,
) -> anyhow::Result<()> {
    let password = read_password(arguments.password_file.as_deref())?;
    let form = UserForm {
        name: arguments.name.unwrap_or_else(|| arguments.username.clone()),
        username: arguments.username.clone(),
        email: arguments.email,
        password: Password::presented(password),
    };
    match service::create_superuser(store, form, policy).await {
        Ok(id) => print_line(&format!("{} is a superuser, with the id {id}", arguments.username)),
        Err(ServiceError::Invalid(faults)) => {
            let sentences: Vec<_> =
                faults.iter().map(|fault| format!("{} {}", fault.field, fault.message)).collect();
            bail!("{}", sentences.join("; "))
        }
        // These two have the cause in their message, which API responses do not show.
        Err(ServiceError::Unavailable(cause) | ServiceError::Internal(cause)) => bail!("{cause}"),
        Err(error) => Err(error.into()),
    }
}

fn read_password(file: Option<&Path>) -> anyhow::Result<String> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the password file {} cannot be read", path.display()))?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    if std::io::stdin().is_terminal() {
        let unreadable = "the password cannot be read from the terminal";
        let password = rpassword::prompt_password("Password: ").context(unreadable)?;
        if rpassword::prompt_password("Again: ").context(unreadable)? != password {
            bail!("the two passwords are not the same");
        }
        return Ok(password);
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("the password cannot be read")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
