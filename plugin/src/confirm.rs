//! Questions before an action that cannot be undone.

use std::io::{BufRead, IsTerminal, Write};

use crate::failure::Failure;

/// Asks whether to do what `question` says. `yes` answers it.
pub fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::Failed(format!("{question} Nothing was done: confirm it with --yes.")));
    }
    let mut stderr = std::io::stderr();
    let asked = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = asked.and_then(|()| stdin.lock().read_line(&mut answer));
    let is_yes = ["y", "yes"].contains(&answer.trim().to_lowercase().as_str());
    match read {
        Ok(_) if is_yes => Ok(()),
        _ => Err(Failure::Failed("Nothing was done.".to_owned())),
    }
}
