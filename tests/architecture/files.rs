//! Rules that every file keeps to.

use std::fs;
use std::path::Path;

use latchkey_tests::programs::workspace;

use crate::sources::repository_files;

/// A file that is longer is asking to be two rooms.
const MOST_LINES: usize = 400;

fn is_code(file: &Path) -> bool {
    let kind = file.extension().and_then(|kind| kind.to_str());
    match kind {
        Some("rs" | "sh" | "sql" | "tpl") => true,
        // The scripts that people call have no extension; what they are stands in their first line.
        None => fs::read(workspace().join(file)).is_ok_and(|bytes| bytes.starts_with(b"#!")),
        Some(_) => false,
    }
}

#[test]
fn no_file_of_code_is_longer_than_a_few_screens() {
    let code = repository_files().into_iter().filter(|file| is_code(file));
    let long: Vec<_> = code
        .filter_map(|file| {
            let lines = fs::read_to_string(workspace().join(&file)).ok()?.lines().count();
            (lines > MOST_LINES).then(|| format!("{}: {lines} lines", file.display()))
        })
        .collect();
    assert!(long.is_empty(), "longer than {MOST_LINES} lines:\n{}", long.join("\n"));
}

#[test]
fn no_module_is_called_after_nothing() {
    const SAYING_NOTHING: [&str; 9] =
        ["util", "utils", "common", "helper", "helpers", "manager", "misc", "shared", "lib_utils"];
    let files = repository_files();
    let rust = files.iter().filter(|file| file.extension().is_some_and(|kind| kind == "rs"));
    let found: Vec<_> = rust
        .filter(|file| {
            file.with_extension("")
                .iter()
                .any(|part| SAYING_NOTHING.contains(&part.to_string_lossy().as_ref()))
        })
        .map(|file| file.display().to_string())
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}
