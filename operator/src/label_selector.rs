//! Parses label selectors as kubectl writes them: `team=a,tier in (gold,silver),!legacy`. Pure.

use std::collections::BTreeSet;
use std::str::FromStr;

use kube::core::{Expression, Selector};

/// A label selector of the command line. An empty one selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelectorOption(pub(crate) Selector);

/// A part of a selector that is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no expression of a label selector, such as team=a, team!=a, team in (a,b), team notin (a,b), team or !team"
)]
pub struct SelectorError(String);

impl FromStr for LabelSelectorOption {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let mut selector = Selector::default();
        for part in split(text) {
            let part = part.trim();
            if part.is_empty() && text.trim().is_empty() {
                continue;
            }
            selector.extend(expression(part).ok_or_else(|| SelectorError(part.to_owned()))?);
        }
        Ok(Self(selector))
    }
}

/// Splits at the commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn expression(part: &str) -> Option<Expression> {
    if let Some(key) = part.strip_prefix('!') {
        return Some(Expression::DoesNotExist(key_of(key)?));
    }
    if let Some((key, set)) = part.split_once(" notin ") {
        return Some(Expression::NotIn(key_of(key)?, values_of(set)?));
    }
    if let Some((key, set)) = part.split_once(" in ") {
        return Some(Expression::In(key_of(key)?, values_of(set)?));
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Some(Expression::NotEqual(key_of(key)?, value_of(value)?));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Some(Expression::Equal(key_of(key)?, value_of(value)?));
    }
    Some(Expression::Exists(key_of(part)?))
}

fn is_label_text(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.')
}

fn key_of(text: &str) -> Option<String> {
    let key = text.trim();
    let valid = !key.is_empty() && key.chars().all(|c| is_label_text(c) || c == '/');
    valid.then(|| key.to_owned())
}

fn value_of(text: &str) -> Option<String> {
    let value = text.trim();
    (value.len() <= 63 && value.chars().all(is_label_text)).then(|| value.to_owned())
}

fn values_of(text: &str) -> Option<BTreeSet<String>> {
    let values = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    values.split(',').map(value_of).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kube::core::SelectorExt;

    use super::*;

    fn selects(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels: BTreeMap<String, String> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        selector.parse::<LabelSelectorOption>().unwrap().0.matches(&labels)
    }

    #[test]
    fn a_selector_means_what_it_means_to_kubectl() {
        let gold = [("team", "a"), ("tier", "gold")];
        for selector in [
            "",
            "team=a",
            "team==a,tier=gold",
            "team in (a, b)",
            "tier notin (silver)",
            "team",
            "!legacy",
            "x.io/y!=z",
        ] {
            assert!(selects(selector, &gold), "{selector}");
        }
        for selector in ["team=b", "team!=a", "team in (b)", "tier notin (gold,silver)", "!team", "legacy"] {
            assert!(!selects(selector, &gold), "{selector}");
        }
    }

    #[test]
    fn anything_else_is_an_error() {
        for text in ["team=a,", ",", "team in a", "te am", "=a", "team=a b", "!"] {
            assert!(text.parse::<LabelSelectorOption>().is_err(), "{text}");
        }
    }
}
