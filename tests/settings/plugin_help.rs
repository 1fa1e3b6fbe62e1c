//! The help of `kubectl latchkey`, and its page in the documentation.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_tests::documentation::{code_spans, read, rows, section};
use latchkey_tests::programs::kubectl_latchkey;

use crate::help::{assert_explained, commands, help};

/// The heading of the options that every command has.
const EVERYWHERE: &str = "Options of every command:";

fn text() -> String {
    help(&kubectl_latchkey(), &[]).replace(env!("CARGO_PKG_VERSION"), "VERSION")
}

/// Without the options of every command, except those of the first help.
fn shortened(text: &str) -> String {
    let mut shortened = String::new();
    for (index, part) in text.split("$ ").enumerate().skip(1) {
        let own = part.split(EVERYWHERE).next().unwrap_or_default();
        shortened += "$ ";
        shortened += if index == 1 { part } else { own };
    }
    shortened
}

/// The commands without subcommands, each with its own options.
fn leaf_commands(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for part in text.split("$ ").skip(1).filter(|part| commands(part).is_empty()) {
        let call = part.lines().next().unwrap_or_default();
        let words: Vec<&str> = call.split(' ').skip(1).filter(|word| *word != "--help").collect();
        let own = part.split(EVERYWHERE).next().unwrap_or_default();
        found.insert(words.join(" "), options(own));
    }
    found
}

/// The options in a help text.
fn options(text: &str) -> BTreeSet<String> {
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with('-'));
    let names =
        lines.filter_map(|line| line.split("--").nth(1)).filter_map(|rest| rest.split([' ', '\n']).next());
    names.filter(|name| !["help", "version"].contains(name)).map(|name| format!("--{name}")).collect()
}

#[test]
fn the_plugin_explains_every_command_and_option() {
    let text = text();
    assert_explained(&text, 25);
    insta::assert_snapshot!(shortened(&text));
}

#[test]
fn the_page_lists_every_command_and_option_of_the_plugin() {
    let page = read("docs/reference/kubectl-plugin.md");
    let mut listed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows(section(&page, "## Commands")) {
        let options = code_spans(&row[2]).into_iter().collect();
        assert_eq!(
            listed.insert(row[0].trim_matches('`').to_owned(), options),
            None,
            "{} is listed twice",
            row[0]
        );
    }
    let text = text();
    assert_eq!(listed, leaf_commands(&text));
    let first = text.split("$ ").nth(1).expect("the first help");
    let everywhere = options(first.split(EVERYWHERE).nth(1).expect("the options of every command"));
    assert!(everywhere.len() > 5, "{everywhere:?}");
    for name in everywhere {
        assert!(page.contains(&format!("`{name}")), "{name}");
    }
}

/// The exit statuses on the page are those of the help.
#[test]
fn the_page_lists_every_exit_status() {
    let page = read("docs/reference/kubectl-plugin.md");
    let source = read("plugin/src/failure.rs");
    let listed: BTreeSet<String> =
        rows(section(&page, "## Exit status")).into_iter().map(|row| row[0].clone()).collect();
    let (_, body) = source.split_once("fn exit_code").expect("the exit statuses");
    let body = body.split("\n    }").next().unwrap_or_default();
    let mut codes: BTreeSet<String> = body
        .lines()
        .filter_map(|line| line.split("=> ").nth(1))
        .map(|code| code.trim_end_matches(',').to_owned())
        .collect();
    // Success, and clap's for wrong arguments.
    codes.extend(["0".to_owned(), "2".to_owned()]);
    assert_eq!(listed, codes);
    for code in codes {
        assert!(text().contains(&format!("{code} ")), "{code}");
    }
}
