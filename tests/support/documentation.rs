//! The pages of the documentation, which tests compare with the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::programs::workspace;

/// The text of a file of the repository, such as `docs/reference/metrics.md`.
pub fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The part of a page from a heading, such as `## Kinds`, to the next heading.
pub fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    rest.split("\n#").next().unwrap_or_default()
}

/// The cells of each row of the tables in a page, without the rows of headings.
pub fn rows(page: &str) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for line in page.lines().filter_map(|line| line.strip_prefix('|')) {
        if line.starts_with("---") {
            rows.pop();
            continue;
        }
        let mut cells: Vec<_> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
        cells.pop();
        rows.push(cells);
    }
    assert!(!rows.is_empty(), "no table in {page:?}");
    rows
}

/// The texts of a cell that are formatted as code.
pub fn code_spans(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The code of the first cells, which must not repeat.
pub fn names(page: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for name in rows(page).iter().flat_map(|row| code_spans(&row[0])) {
        assert!(names.insert(name.clone()), "{name} is listed twice");
    }
    names
}

/// The label names of each metric, with the values of each.
pub type MetricLabels = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// The metrics below a heading of docs/reference/metrics.md. A label without a list of values has none here.
pub fn documented_metrics(heading: &str) -> MetricLabels {
    let mut metrics = MetricLabels::new();
    for row in rows(section(&read("docs/reference/metrics.md"), heading)) {
        let mut labels = BTreeMap::new();
        // `label`: value, value (explanation); `label`
        let mut parts = row[1].split('`').skip(1);
        while let (Some(label), Some(rest)) = (parts.next(), parts.next()) {
            let list = rest.strip_prefix(": ").unwrap_or_default().trim_end_matches("; ");
            let values = list.split(", ").filter_map(|value| value.split_whitespace().next());
            labels.insert(label.to_owned(), values.map(str::to_owned).collect());
        }
        for name in code_spans(&row[0]) {
            assert!(metrics.insert(name.clone(), labels.clone()).is_none(), "{name} is listed twice");
        }
    }
    metrics
}

/// The metrics in the Prometheus text format. The label `le` belongs to every histogram.
pub fn exported_metrics(text: &str) -> MetricLabels {
    let mut metrics = MetricLabels::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, _)) = line.rsplit_once(' ') else { continue };
        let (name, pairs) = series.split_once('{').unwrap_or((series, ""));
        let ends = ["_bucket", "_sum", "_count"];
        let name = ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let labels = metrics.entry(name.to_owned()).or_default();
        for pair in pairs.trim_end_matches('}').split("\",") {
            if let Some((label, value)) = pair.split_once("=\"").filter(|(label, _)| *label != "le") {
                labels.entry(label.to_owned()).or_default().insert(value.trim_end_matches('"').to_owned());
            }
        }
    }
    metrics
}
