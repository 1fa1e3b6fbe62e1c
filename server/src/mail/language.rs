//! The choice of a message's language.

/// Returns the first wanted language that is available. Each is looked up with all its subtags, and then with ever
/// fewer (RFC 4647 §3.4), so that `de` is chosen for `de-AT`.
pub(super) fn choose_language<'a, 'w>(
    available: impl Fn(&str) -> Option<&'a str>,
    wanted: impl IntoIterator<Item = &'w str>,
) -> Option<&'a str> {
    wanted.into_iter().find_map(|tag| ranges(tag).find_map(|range| available(&range)))
}

/// The tags to look up: `zh-Hant-TW` -> `zh-hant-tw`, `zh-hant`, `zh`. A tag never ends with a single letter, which
/// introduces an extension.
fn ranges(tag: &str) -> impl Iterator<Item = String> {
    let subtags: Vec<String> = tag.split('-').map(str::to_ascii_lowercase).collect();
    let lengths = (1..=subtags.len()).rev().filter({
        let subtags = subtags.clone();
        move |length| *length == subtags.len() || subtags[length - 1].len() > 1
    });
    lengths.map(move |length| subtags[..length].join("-"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn choose(wanted: &[&str]) -> Option<&'static str> {
        let available = |range: &str| ["en", "de", "pt-br"].into_iter().find(|locale| *locale == range);
        choose_language(available, wanted.iter().copied())
    }

    #[test]
    fn a_region_falls_back_to_its_language() {
        assert_eq!(choose(&["de-AT"]), Some("de"));
        assert_eq!(choose(&["DE"]), Some("de"));
        assert_eq!(choose(&["pt-BR"]), Some("pt-br"));
        assert_eq!(choose(&["pt-BR-x-quick"]), Some("pt-br"));
        assert_eq!(choose(&["pt-PT"]), None);
    }

    #[test]
    fn the_first_available_language_is_chosen() {
        assert_eq!(choose(&["it", "de-CH", "en"]), Some("de"));
        assert_eq!(choose(&["it", ""]), None);
    }

    proptest! {
        #[test]
        fn the_choice_is_always_an_available_language(tag in ".{0,60}", other in "[a-zA-Z0-9-]{0,40}") {
            let chosen = choose(&[&tag, &other, "en"]);
            prop_assert!(chosen.is_some_and(|language| ["en", "de", "pt-br"].contains(&language)));
        }
    }
}
