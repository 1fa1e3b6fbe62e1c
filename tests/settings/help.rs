//! The output of `--help` of both programs, for every command and option.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use latchkey_tests::documentation::{code_spans, read, rows, section};
use latchkey_tests::process::run_ok;
use latchkey_tests::programs::{latchkey_operator, latchkey_server};

/// The help of a command and of its subcommands. Without environment variables, because clap shows their values.
pub fn help(program: &Path, path: &[&str]) -> String {
    let text = run_ok(Command::new(program).args(path).arg("--help").env_clear());
    let name = program.file_name().unwrap().to_string_lossy();
    let mut all = String::new();
    let call = [&[name.as_ref()], path, &["--help"]].concat().join(" ");
    writeln!(all, "$ {call}\n{}\n", text.trim_end()).unwrap();
    for command in commands(&text) {
        all += &help(program, &[path, &[command]].concat());
    }
    all
}

/// The commands in a help text.
pub fn commands(text: &str) -> Vec<&str> {
    let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed.take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").collect()
}

#[test]
fn the_server_explains_every_command_and_option() {
    let text = help(&latchkey_server(), &[]);
    assert_explained(&text, 20);
    insta::assert_snapshot!(text);
}

#[test]
fn the_operator_explains_every_command_and_option() {
    let text = help(&latchkey_operator(), &[]).replace(env!("CARGO_PKG_VERSION"), "VERSION");
    assert_explained(&text, 10);
    insta::assert_snapshot!(text);
}

/// The commands that have no subcommands, by the words that call them, and the options of each.
fn leaf_commands(help: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for text in help.split("$ ").skip(1) {
        let call = text.lines().next().unwrap_or_default();
        let words: Vec<_> = call.split(' ').skip(1).filter(|word| *word != "--help").collect();
        if commands(text).is_empty() {
            found.insert(words.join(" "), options(text).map(|(name, _)| name).collect());
        }
    }
    found
}

/// The options in a help text with the lines of their descriptions, except those that every command has.
fn options(text: &str) -> impl Iterator<Item = (String, &str)> {
    text.split("\n      --").skip(1).map(|part| {
        let name = part.split([' ', '\n']).next().unwrap_or_default();
        (format!("--{name}"), part)
    })
}

#[test]
fn the_page_lists_every_command_and_option_of_the_server() {
    let page = read("docs/reference/commands.md");
    let mut listed = BTreeMap::new();
    for row in rows(section(&page, "## latchkey-server")) {
        // Without the names of arguments.
        let words: Vec<_> =
            row[0].trim_matches('`').split(' ').filter(|word| *word != word.to_uppercase()).collect();
        let options: BTreeSet<_> = code_spans(&row[2]).into_iter().collect();
        assert_eq!(listed.insert(words.join(" "), options), None, "{} is listed twice", row[0]);
    }
    assert_eq!(listed, leaf_commands(&help(&latchkey_server(), &[])));
}

#[test]
fn the_page_lists_every_command_and_option_of_the_operator() {
    let page = read("docs/reference/commands.md");
    let (commands, options_of_run) =
        section(&page, "## latchkey-operator").split_once("\n\nEach option").expect("two tables");
    let listed: BTreeSet<_> = rows(commands).iter().flat_map(|row| code_spans(&row[0])).collect();
    let known = leaf_commands(&help(&latchkey_operator(), &[]));
    assert_eq!(listed, known.keys().cloned().collect());

    let text = help(&latchkey_operator(), &["run"]);
    let described: BTreeMap<_, _> = options(&text).collect();
    let value = |part: &str, name: &str| {
        let (_, rest) = part.split_once(&format!("[{name}"))?;
        // The value itself may contain brackets.
        let value = rest.lines().next().unwrap_or_default().trim_end();
        Some(value.strip_suffix(']').unwrap_or(value).trim_matches(['=', ' ', '"']).to_owned())
    };
    let mut listed = BTreeSet::new();
    for row in rows(options_of_run) {
        let name = row[0].trim_matches('`').to_owned();
        let part = described.get(&name).unwrap_or_else(|| panic!("run has no option {name}"));
        assert_eq!(Some(row[1].trim_matches('`').to_owned()), value(part, "env: "), "{name}");
        // Another default is described in words.
        if let Some(stated) = row[2].strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
            assert_eq!(value(part, "default: ").as_deref(), Some(stated), "{name}");
        }
        listed.insert(name);
    }
    assert_eq!(listed, described.into_keys().collect());
}

/// Asserts that every command and option is explained: the text starts with a capital letter and has at least two
/// words.
#[track_caller]
pub fn assert_explained(text: &str, at_least: usize) {
    let mut explained = 0;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        let option = trimmed.starts_with('-') && !trimmed.starts_with("- ") && line.starts_with(' ');
        // The explanation of a command, or of a value of an option, is in the same line.
        let (name, sentence) = match trimmed.split_once("  ") {
            Some((name, sentence)) if line.starts_with("  ") => (name, sentence.trim()),
            _ if option => (trimmed, lines.peek().map_or("", |next| next.trim())),
            _ => continue,
        };
        if name.starts_with("-h") || name.starts_with("-V") || name == "help" {
            continue;
        }
        let capital = sentence.starts_with(|first: char| first.is_uppercase() || first == '`');
        assert!(capital && sentence.split(' ').count() >= 2, "{name} is not explained: {sentence}");
        explained += 1;
    }
    assert!(explained >= at_least, "only {explained} commands and options were found");
}
