//! Searching by the beginning of a name, so that an index can answer.

/// The names that begin with a text, as a range of texts in the order of their code points, which is the order of
/// PostgreSQL's collation "C". The case of ASCII letters counts for nothing, as it is with the names themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePrefix {
    /// The first text of the range.
    pub from: String,
    /// The first text beyond it; `None` when there is none.
    pub below: Option<String>,
}

impl NamePrefix {
    /// The range of a beginning; `None` when no name can begin so, since none has control characters.
    pub fn build(beginning: &str) -> Option<Self> {
        if beginning.chars().any(char::is_control) {
            return None;
        }
        let from = beginning.to_ascii_lowercase();
        let mut rest: Vec<char> = from.chars().collect();
        let mut below = None;
        while let Some(last) = rest.pop() {
            if let Some(next) = following(last) {
                rest.push(next);
                below = Some(rest.into_iter().collect());
                break;
            }
        }
        Some(Self { from, below })
    }
}

/// The next character; `None` after the last.
fn following(character: char) -> Option<char> {
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
        fn holds_what_begins_so_and_nothing_else(beginning in "\\PC{1,6}", other in "\\PC{0,8}", rest in "\\PC{0,4}") {
            let range = NamePrefix::build(&beginning).unwrap();
            let holds = |name: &str| {
                let folded = name.to_ascii_lowercase();
                folded >= range.from && range.below.as_ref().is_none_or(|below| folded < *below)
            };
            let whole = format!("{beginning}{rest}");
            prop_assert!(holds(&whole));
            let begins = other.to_ascii_lowercase().starts_with(&beginning.to_ascii_lowercase());
            prop_assert_eq!(holds(&other), begins);
        }
    }

    #[test]
    fn the_last_character_and_the_gap_of_the_surrogates_are_no_end() {
        let below = |text: &str| NamePrefix::build(text).unwrap().below;
        assert_eq!(below("a\u{10ffff}"), Some("b".to_owned()));
        assert_eq!(below("\u{10ffff}"), None);
        assert_eq!(below("\u{d7ff}"), Some("\u{e000}".to_owned()));
        assert_eq!(NamePrefix::build("a\0"), None);
    }
}
