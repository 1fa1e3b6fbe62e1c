//! Prefix search that uses an index.

/// The names with a prefix, as a range in the order of code points, which is the order of PostgreSQL's collation "C".
/// ASCII letters are compared case-insensitively, as in the names themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePrefix {
    /// The inclusive lower bound.
    pub from: String,
    /// The exclusive upper bound; `None` if the range has no upper bound.
    pub below: Option<String>,
}

impl NamePrefix {
    /// Returns `None` for a prefix with control characters, which no name contains.
    pub fn build(prefix: &str) -> Option<Self> {
        if prefix.chars().any(char::is_control) {
            return None;
        }
        let from = prefix.to_ascii_lowercase();
        let mut rest: Vec<char> = from.chars().collect();
        let mut below = None;
        while let Some(last) = rest.pop() {
            if let Some(next) = next_char(last) {
                rest.push(next);
                below = Some(rest.into_iter().collect());
                break;
            }
        }
        Some(Self { from, below })
    }
}

/// The next Unicode scalar value; `None` after the last one.
fn next_char(character: char) -> Option<char> {
    let mut rest = character..=char::MAX;
    rest.next();
    rest.next()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_range_has_exactly_the_names_with_the_prefix(prefix in "\\PC{1,6}", other in "\\PC{0,8}", rest in "\\PC{0,4}") {
            let range = NamePrefix::build(&prefix).unwrap();
            let holds = |name: &str| {
                let folded = name.to_ascii_lowercase();
                folded >= range.from && range.below.as_ref().is_none_or(|below| folded < *below)
            };
            let whole = format!("{prefix}{rest}");
            prop_assert!(holds(&whole));
            let begins = other.to_ascii_lowercase().starts_with(&prefix.to_ascii_lowercase());
            prop_assert_eq!(holds(&other), begins);
        }
    }

    #[test]
    fn the_upper_bound_skips_surrogates_and_the_last_character() {
        let below = |text: &str| NamePrefix::build(text).unwrap().below;
        assert_eq!(below("a\u{10ffff}"), Some("b".to_owned()));
        assert_eq!(below("\u{10ffff}"), None);
        assert_eq!(below("\u{d7ff}"), Some("\u{e000}".to_owned()));
        assert_eq!(NamePrefix::build("a\0"), None);
    }
}
