//! The output of `--help` of both programs, for every command and option.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use latchkey_tests::process::run_ok;
use latchkey_tests::programs::{latchkey_operator, latchkey_server};

/// The help of a command and of its subcommands. Without environment variables, because clap shows their values.
fn help(program: &Path, path: &[&str]) -> String {
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
fn commands(text: &str) -> Vec<&str> {
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

/// Asserts that every command and option is explained: the text starts with a capital letter and has at least two
/// words.
#[track_caller]
fn assert_explained(text: &str, at_least: usize) {
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
