//! Completion of arguments. kubectl calls `kubectl_complete-latchkey` with the words of the command line, and expects a
//! candidate on each line and a directive of Cobra on the last one.

use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::{Arguments, ClusterArguments};
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::output::Printer;

const SCRIPT: &str = "#!/bin/sh\n\
    # Completes the arguments of kubectl latchkey. Save it as kubectl_complete-latchkey in a folder of PATH.\n\
    exec kubectl-latchkey __complete -- \"$@\"\n";
/// Cobra's directive against completing file names.
const NO_FILES: &str = ":4";
/// Cobra's directive to complete file names.
const FILES: &str = ":0";

/// Prints the script.
pub fn print_script(printer: &Printer) -> Result<ExitCode, Failure> {
    printer.print(SCRIPT)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the candidates for the last word. A cluster that does not answer gives no candidates.
pub async fn print_candidates(
    arguments: &ClusterArguments,
    words: &[String],
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let (word, before) = match words.split_last() {
        Some((word, before)) => (word.as_str(), before),
        None => ("", [].as_slice()),
    };
    let (candidates, directive) = match candidates(before, word) {
        Candidates::Listed(candidates) => (candidates, NO_FILES),
        Candidates::Files => (Vec::new(), FILES),
        Candidates::Names => (names(arguments, before, Kind::AuthService).await, NO_FILES),
        Candidates::Clients => (names(arguments, before, Kind::AuthClient).await, NO_FILES),
    };
    let begins = candidates.iter().filter(|candidate| candidate.starts_with(word));
    let lines: String = begins.flat_map(|candidate| [candidate.as_str(), "\n"]).collect();
    printer.print(&format!("{lines}{directive}\n"))?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, PartialEq, Eq)]
enum Candidates {
    Listed(Vec<String>),
    /// The names of AuthServices.
    Names,
    /// The names of AuthClients.
    Clients,
    Files,
}

/// The objects that have the names.
enum Kind {
    AuthService,
    AuthClient,
}

fn candidates(before: &[String], word: &str) -> Candidates {
    let mut root = Arguments::command();
    root.build();
    let mut command = &root;
    let (mut positionals, mut skip) = (0, false);
    for given in before {
        if std::mem::take(&mut skip) {
            continue;
        }
        if given.starts_with('-') {
            skip = takes_value(command, given);
        } else if let Some(inner) = command.find_subcommand(given) {
            command = inner;
        } else {
            positionals += 1;
        }
    }
    if word.starts_with('-') {
        let options = command.get_arguments().filter_map(clap::Arg::get_long);
        return Candidates::Listed(options.map(|name| format!("--{name}")).collect());
    }
    if skip {
        let option = before.last().and_then(|given| option(command, given));
        let values = option.map(clap::Arg::get_possible_values).unwrap_or_default();
        let values: Vec<String> = values.iter().map(|value| value.get_name().to_owned()).collect();
        return if values.is_empty() { Candidates::Files } else { Candidates::Listed(values) };
    }
    if command.has_subcommands() {
        let visible = command.get_subcommands().filter(|inner| !inner.is_hide_set());
        return Candidates::Listed(visible.map(|inner| inner.get_name().to_owned()).collect());
    }
    let names: Vec<&str> = command.get_positionals().map(|argument| argument.get_id().as_str()).collect();
    match names.get(positionals) {
        Some(&"name") => Candidates::Names,
        Some(&"client") => Candidates::Clients,
        Some(_) => Candidates::Files,
        None => Candidates::Listed(Vec::new()),
    }
}

fn option<'a>(command: &'a clap::Command, given: &str) -> Option<&'a clap::Arg> {
    let long = given.strip_prefix("--");
    let short =
        given.strip_prefix('-').filter(|name| name.chars().count() == 1).and_then(|name| name.chars().next());
    command.get_arguments().find(|option| {
        (long.is_some() && option.get_long() == long) || (short.is_some() && option.get_short() == short)
    })
}

fn takes_value(command: &clap::Command, given: &str) -> bool {
    !given.contains('=') && option(command, given).is_some_and(|option| option.get_action().takes_values())
}

async fn names(arguments: &ClusterArguments, words: &[String], kind: Kind) -> Vec<String> {
    let mut arguments = arguments.clone();
    let value = |names: [&str; 2]| {
        let at = words.iter().position(|word| names.contains(&word.as_str()));
        at.and_then(|at| words.get(at + 1).cloned())
    };
    arguments.namespace = value(["-n", "--namespace"]).or(arguments.namespace);
    arguments.context = value(["--context", "--context"]).or(arguments.context);
    arguments.kubeconfig = value(["--kubeconfig", "--kubeconfig"]).map(Into::into).or(arguments.kubeconfig);
    let Ok(cluster) = Cluster::connect(arguments).await else { return Vec::new() };
    match kind {
        Kind::AuthService => {
            cluster.auth_services(false).await.map(|found| found.names()).unwrap_or_default()
        }
        Kind::AuthClient => cluster.auth_clients(false).await.map(|found| found.names()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Candidates {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let word = words.pop().expect("a word");
        candidates(&words, &word)
    }

    #[test]
    fn commands_options_values_names_and_files_are_completed() {
        let Candidates::Listed(commands) = of("") else { panic!("commands") };
        assert!(commands.contains(&"status".to_owned()) && !commands.contains(&"__complete".to_owned()));
        assert_eq!(of("sessions "), Candidates::Listed(vec!["end-all".to_owned(), "help".to_owned()]));
        assert_eq!(of("status "), Candidates::Names);
        assert_eq!(of("-n apps status "), Candidates::Names);
        assert_eq!(of("clients rotate "), Candidates::Clients);
        assert_eq!(of("clients list "), Candidates::Listed(Vec::new()));
        assert_eq!(of("users import auth "), Candidates::Files);
        assert_eq!(of("status -o "), Candidates::Listed(vec!["json".to_owned(), "yaml".to_owned()]));
        assert_eq!(of("check -f "), Candidates::Files);
        let Candidates::Listed(options) = of("rotate-keys auth --") else { panic!("options") };
        assert!(
            options.contains(&"--wait".to_owned()) && options.contains(&"--context".to_owned()),
            "{options:?}"
        );
    }
}
