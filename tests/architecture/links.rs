//! Every relative link in a Markdown file leads to a file or folder of the repository, and its anchor to a heading.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use latchkey_tests::programs::workspace;

use crate::sources::repository_files;

/// The text of a page without code: fenced blocks, indented blocks and code spans contain no links and no headings.
fn without_code(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut fence: Option<&str> = None;
    let mut after_blank = true;
    for line in page.lines() {
        let trimmed = line.trim_start();
        let marker = ["```", "~~~"].into_iter().find(|marker| trimmed.starts_with(marker));
        match (fence, marker) {
            (None, Some(marker)) => fence = Some(marker),
            (Some(open), Some(marker)) if open == marker => fence = None,
            (Some(_), _) => {}
            // An indented block begins after an empty line; a continued list item does not.
            (None, None) if line.starts_with("    ") && after_blank => continue,
            (None, None) => text.push_str(line),
        }
        text.push('\n');
        after_blank = trimmed.is_empty();
    }
    text
}

fn without_code_spans(text: &str) -> String {
    text.split('`').enumerate().filter(|(at, _)| at % 2 == 0).map(|(_, part)| part).collect()
}

/// The targets of `[text](target)` and `[text]: target`.
fn links(page: &str) -> Vec<String> {
    let text = without_code(page);
    let mut targets = Vec::new();
    // By paragraph, since a link may continue on the next line, and an odd backtick must not hide the rest of a page.
    for paragraph in text.split("\n\n") {
        let paragraph = without_code_spans(paragraph);
        for (at, _) in paragraph.match_indices("](") {
            let rest = &paragraph[at + 2..];
            targets.extend(rest.split_once(')').map(|(target, _)| target.to_owned()));
        }
        let definitions = paragraph.lines().filter(|line| line.starts_with('['));
        targets.extend(definitions.filter_map(|line| Some(line.split_once("]: ")?.1.trim().to_owned())));
    }
    targets.into_iter().filter_map(|target| Some(target.split_whitespace().next()?.to_owned())).collect()
}

/// The anchors of a page's headings, as GitHub generates them.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut counts = BTreeMap::<String, usize>::new();
    let text = without_code(page);
    let headings = text.lines().filter_map(|line| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len() && title.starts_with(' ')).then(|| title.trim())
    });
    headings
        .map(|title| {
            let anchor: String = link_text(title)
                .to_lowercase()
                .chars()
                .filter(|character| character.is_alphanumeric() || " -_".contains(*character))
                .map(|character| if character == ' ' { '-' } else { character })
                .collect();
            let count = counts.entry(anchor.clone()).or_default();
            *count += 1;
            if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
        })
        .collect()
}

/// A heading with each link replaced by its text.
fn link_text(title: &str) -> String {
    let mut text = String::new();
    let mut rest = title;
    while let Some((before, link)) = rest.split_once("](") {
        text.push_str(before);
        rest = link.split_once(')').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text
}

/// A path relative to the repository, without `.` and `..`; `None` if it leaves the repository.
fn resolve(page: &Path, target: &str) -> Option<PathBuf> {
    let mut resolved = PathBuf::new();
    for part in page.parent().expect("a folder").join(target).components() {
        match part {
            Component::Normal(name) => resolved.push(name),
            Component::ParentDir => resolved.pop().then_some(())?,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(resolved)
}

/// What is wrong with a link, if anything is.
fn problem(page: &Path, text: &str, target: &str) -> Option<String> {
    let is_elsewhere = ["https://", "http://", "mailto:"].iter().any(|scheme| target.starts_with(scheme));
    // Templates of helm-docs are filled in later.
    if is_elsewhere || target.contains("{{") {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let Some(path) = (if file.is_empty() { Some(page.to_owned()) } else { resolve(page, file) }) else {
        return Some("leaves the repository".to_owned());
    };
    if !workspace().join(&path).exists() {
        return Some(format!("{} does not exist", path.display()));
    }
    let anchor = anchor?;
    let other;
    let headings = if path == page {
        anchors(text)
    } else {
        other = fs::read_to_string(workspace().join(&path)).unwrap_or_default();
        anchors(&other)
    };
    (!headings.contains(anchor)).then(|| format!("{} has no heading #{anchor}", path.display()))
}

fn pages() -> Vec<PathBuf> {
    let files = repository_files().into_iter();
    files.filter(|file| file.extension().is_some_and(|kind| kind == "md")).collect()
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut broken = Vec::new();
    let mut checked = 0;
    for page in pages() {
        let text = fs::read_to_string(workspace().join(&page)).expect("a readable page");
        for target in links(&text) {
            checked += 1;
            if let Some(problem) = problem(&page, &text, &target) {
                broken.push(format!("{}: ({target}) {problem}", page.display()));
            }
        }
    }
    assert!(checked > 100, "only {checked} links were found");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_page_of_the_documentation_is_linked_from_another_page() {
    let mut linked = BTreeSet::new();
    for page in pages() {
        let text = fs::read_to_string(workspace().join(&page)).expect("a readable page");
        let targets = links(&text).into_iter();
        linked.extend(
            targets
                .filter_map(|target| resolve(&page, target.split('#').next()?))
                .filter(|path| *path != page),
        );
    }
    let lost: Vec<_> = pages()
        .into_iter()
        .filter(|page| page.starts_with("docs") && !linked.contains(page))
        .map(|page| page.display().to_string())
        .collect();
    assert!(lost.is_empty(), "no page links to {lost:?}");
}

/// The paths below `docs/` that a text names, such as `docs/decisions/0002` or `docs/README.md`; not those of addresses.
fn documentation_paths(text: &str) -> Vec<&str> {
    let is_path = |character: char| character.is_ascii_alphanumeric() || "-_./".contains(character);
    text.match_indices("docs/")
        .filter(|(at, _)| {
            let before = text[..*at].trim_end_matches("blob/main/");
            before.len() < *at || !before.ends_with(|character: char| is_path(character) || character == '$')
        })
        .map(|(at, _)| {
            let rest = &text[at..];
            let end = rest.find(|character: char| !is_path(character)).unwrap_or(rest.len());
            // scripts/generate writes beside a file first.
            rest[..end].trim_end_matches(['.', '/']).trim_end_matches(".new")
        })
        .collect()
}

#[test]
fn every_path_to_the_documentation_exists() {
    let files = repository_files();
    let mut checked = 0;
    let mut missing = Vec::new();
    for file in &files {
        // What was in a release stays as it was; the OpenAPI document and lock files name none.
        let is_history = file.ends_with("CHANGELOG.md");
        let Ok(text) = fs::read_to_string(workspace().join(file)) else { continue };
        if is_history || file.extension().is_some_and(|kind| kind == "json" || kind == "lock") {
            continue;
        }
        for path in documentation_paths(&text).into_iter().filter(|path| *path != "docs") {
            checked += 1;
            // A decision may be named by its number.
            let is_there = workspace().join(path).exists()
                || (path.starts_with("docs/decisions/0")
                    && files.iter().any(|file| file.to_string_lossy().starts_with(path)));
            if !is_there {
                missing.push(format!("{}: {path}", file.display()));
            }
        }
    }
    assert!(checked > 50, "only {checked} paths were found");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// The files that a page names by their paths, such as `tests/api/limits` or `server/src/http/<noun>`.
fn named_paths(page: &str) -> BTreeSet<&str> {
    const FOLDERS: [&str; 7] =
        ["charts/", "crds/src/", "migrations/", "operator/src/", "scripts/", "server/", "tests/"];
    let is_path = |character: char| character.is_ascii_alphanumeric() || "-_./".contains(character);
    let words = page.split(|character: char| !is_path(character));
    words
        .filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)))
        .map(|word| word.trim_end_matches(['.', '/']))
        .collect()
}

#[test]
fn every_file_that_a_page_names_exists() {
    let files = repository_files();
    let mut missing = Vec::new();
    for page in pages().into_iter().filter(|page| !page.ends_with("CHANGELOG.md")) {
        let text = fs::read_to_string(workspace().join(&page)).expect("a readable page");
        let lost = named_paths(&text).into_iter().filter(|path| {
            // A name may end in a placeholder.
            !files.iter().any(|file| file.to_string_lossy().starts_with(path))
        });
        missing.extend(lost.map(|path| format!("{}: {path}", page.display())));
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn broken_links_are_found() {
    let page = Path::new("docs/README.md");
    let text = "# Title\n\n## `spec` and [a link](x.md)\n\n## Same\n\n## Same\n";
    for good in
        ["../README.md", "#title", "#spec-and-a-link", "#same-1", "samples/", "https://example.com/x#y"]
    {
        assert_eq!(problem(page, text, good), None, "{good}");
    }
    for bad in ["nowhere.md", "#other", "#same-2", "../../x", "/etc/passwd", "../README.md#nothing"] {
        assert!(problem(page, text, bad).is_some(), "{bad}");
    }
}

#[test]
fn code_contains_no_links() {
    let text = "[a](b.md) `[c](d.md)`\n\n```sh\n[e](f.md)\n```\n\n    [g](h.md)\n\n[i\nj](k.md \"title\")\n\n[l]: m.md\n";
    assert_eq!(links(text), ["b.md", "k.md", "m.md"]);
}
