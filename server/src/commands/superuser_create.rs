//! The command `latchkey-server superuser create`.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use latchkey_config::PasswordPolicy;

use super::print_line;
use crate::domain::Password;
use crate::service::{self, ServiceError, UserForm};
use crate::store::Store;

/// The new superuser. No option takes the password itself, because other processes can see command-line arguments.
#[derive(Debug, Clone, Args)]
pub struct SuperuserArguments {
    /// The name that the superuser logs in with.
    #[arg(long)]
    username: String,
    /// The superuser's e-mail address, which is stored as verified.
    #[arg(long)]
    email: String,
    /// The superuser's display name [default: the username].
    #[arg(long)]
    name: Option<String>,
    /// Reads the password from this file instead of the terminal or standard input.
    #[arg(long, value_name = "PATH")]
    password_file: Option<PathBuf>,
}

/// # Errors
/// An argument is not valid, the username or address is in use, or the database does not respond.
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
        Ok(id) => print_line(&format!("superuser {} created with the id {id}", arguments.username)),
        Err(ServiceError::Invalid(faults)) => {
            let sentences: Vec<_> =
                faults.iter().map(|fault| format!("{} {}", fault.field, fault.message)).collect();
            bail!("{}", sentences.join("; "))
        }
        // The cause is for the operator of the service; API responses do not contain it.
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
        if rpassword::prompt_password("Repeat the password: ").context(unreadable)? != password {
            bail!("the passwords do not match");
        }
        return Ok(password);
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("the password cannot be read")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
