//! Reading Rust sources: which modules and crates a file names, outside comments and texts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use latchkey_tests::process::run_ok;
use latchkey_tests::programs::workspace;

/// Every file of the repository, committed or about to be, relative to the checkout.
pub fn repository_files() -> Vec<PathBuf> {
    let mut git = Command::new("git");
    git.current_dir(workspace()).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let files: Vec<_> = run_ok(&mut git).lines().map(PathBuf::from).collect();
    assert!(!files.is_empty(), "git lists no files");
    // A file that was removed but not yet committed is still listed.
    files.into_iter().filter(|file| workspace().join(file).exists()).collect()
}

/// The Rust sources below a folder of the repository.
///
/// # Panics
/// When there are none: then a rule about them would hold for nothing.
pub fn rust_sources(folder: &str) -> Vec<PathBuf> {
    let all = repository_files().into_iter();
    let found: Vec<_> = all
        .filter(|file| file.starts_with(folder) && file.extension().is_some_and(|kind| kind == "rs"))
        .collect();
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

/// A file's code, without comments, and with every text emptied.
pub fn code_of(file: &Path) -> String {
    strip(&std::fs::read_to_string(workspace().join(file)).expect("a readable source"))
}

fn strip(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(character) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
        } else if let Some(after) = raw_text(rest) {
            code.push_str("\"\"");
            rest = after;
        } else if character == '"' {
            code.push_str("\"\"");
            rest = after_text(&rest[1..]);
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            rest = &rest[rest[1..].find('\'').map_or(1, |end| end + 2)..];
        } else {
            code.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    code
}

/// What follows a text whose opening quote has been read.
fn after_text(text: &str) -> &str {
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

/// What follows a raw text (`r#"…"#`), if one begins here.
fn raw_text(rest: &str) -> Option<&str> {
    let body = rest.strip_prefix('r')?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let text = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(text.find(&end).map_or("", |at| &text[at + end.len()..]))
}

/// The names that follow `path` in a file's code: with `crate::`, the modules it uses, in groups too.
pub fn names_after(code: &str, path: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(path) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|character| character.is_alphanumeric() || character == '_' || character == ':')
        {
            continue;
        }
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(first_names_in_group(group)),
            None => names.extend(first_name(rest)),
        }
    }
    names
}

fn first_name(text: &str) -> Option<String> {
    let name: String = text
        .trim_start()
        .chars()
        .take_while(|character| character.is_alphanumeric() || *character == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

/// `a, b::{c, d}}…` -> a, b.
fn first_names_in_group(group: &str) -> Vec<String> {
    let (mut names, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.extend(first_name(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.extend(first_name(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names
}

/// Whether a file's code names a crate: `sqlx::…`, `use sqlx;`.
pub fn mentions_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let whole = |character: char| !(character.is_alphanumeric() || character == '_' || character == ':');
        let after = &code[at + name.len()..];
        before.is_none_or(whole)
            && (after.starts_with("::") || (after.starts_with(';') && before == Some(' ')))
    })
}

#[test]
fn comments_and_texts_are_not_code() {
    let source = "use crate::{a, b::{c, d}}; // crate::x\n/* crate::y */ let s = \"crate::z \\\" crate::z\";\n\
                  let r = r#\"crate::w\"#; let c = '\"'; crate::e::f();";
    let names: Vec<_> = names_after(&strip(source), "crate::").into_iter().collect();
    assert_eq!(names, ["a", "b", "e"]);
}

#[test]
fn a_crate_is_named_by_its_path() {
    for (code, expected) in [
        ("use sqlx::query;", true),
        ("use sqlx;", true),
        ("crate::sqlx::x()", false),
        ("let sqlx = 1;", false),
        ("my_sqlx::x()", false),
    ] {
        assert_eq!(mentions_crate(code, "sqlx"), expected, "{code}");
    }
}
