//! Language tags.

use icu_locale_core::subtags::{Language, Region, Script, Variant};

/// The longest accepted tag (RFC 5646 §4.4.1).
const MAX_CHARS: usize = 35;

/// A language tag (BCP 47, RFC 5646 §2.1) in its recommended case: a language, and optionally a script, a region and
/// variants, such as `de`, `pt-BR`, `zh-Hant-TW` or `de-1996`. Extensions are refused because they do not affect the
/// choice of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locale(String);

impl Locale {
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-').peekable();
        let language =
            Language::try_from_str(parts.next()?).ok().filter(|language| !language.is_unknown())?;
        let mut tag = language.as_str().to_owned();
        let mut push = |subtag: &str| {
            tag.push('-');
            tag.push_str(subtag);
        };
        if let Some(script) = parts.peek().and_then(|part| Script::try_from_str(part).ok()) {
            push(script.as_str());
            parts.next();
        }
        if let Some(region) = parts.peek().and_then(|part| Region::try_from_str(part).ok()) {
            push(region.as_str());
            parts.next();
        }
        for part in parts {
            push(Variant::try_from_str(part).ok()?.as_str());
        }
        (tag.len() <= MAX_CHARS).then_some(Self(tag))
    }

    /// The languages of an `Accept-Language` header (RFC 9110 §12.5.4) in descending order of preference, without
    /// invalid entries and those with `q=0`.
    pub fn accepted(header: &str) -> Vec<Self> {
        let mut wanted: Vec<(f32, Self)> = header.split(',').filter_map(parse_weighted).collect();
        // A stable sort: entries with the same weight keep the order of the header.
        wanted.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        wanted.into_iter().map(|(_, locale)| locale).collect()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The primary language subtag.
    pub fn language(&self) -> &str {
        self.0.split('-').next().unwrap_or_default()
    }
}

/// Parses an entry such as `pt-BR;q=0.8`.
fn parse_weighted(entry: &str) -> Option<(f32, Locale)> {
    let mut parts = entry.split(';').map(str::trim);
    let locale = Locale::parse(parts.next()?)?;
    let weight = match parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="))) {
        Some(text) => text.parse().ok()?,
        None => 1.0,
    };
    (weight > 0.0 && weight <= 1.0).then_some((weight, locale))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Option<String> {
        Locale::parse(text).map(|locale| locale.as_str().to_owned())
    }

    #[test]
    fn the_language_is_the_first_subtag() {
        for (tag, language) in [("en", "en"), ("pt-BR", "pt"), ("zh-Hant-TW", "zh")] {
            assert_eq!(Locale::parse(tag).unwrap().language(), language);
        }
    }

    #[test]
    fn tags_get_their_recommended_case() {
        for (given, expected) in [
            ("EN", "en"),
            ("pt-br", "pt-BR"),
            ("ZH-hant-tw", "zh-Hant-TW"),
            ("es-419", "es-419"),
            ("sl-ROZAJ-biske", "sl-rozaj-biske"),
        ] {
            assert_eq!(parsed(given).as_deref(), Some(expected));
        }
    }

    #[test]
    fn invalid_tags_are_refused() {
        for bad in
            ["", "-", "e", "english-language", "en-", "en_US", "und", "en-US-x-twain", "*", "e\u{0}", "dé"]
        {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    #[test]
    fn accepted_languages_are_ordered_by_preference() {
        let accepted = |header: &str| {
            Locale::accepted(header).iter().map(|locale| locale.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(accepted("da, en-gb;q=0.8, en;q=0.7"), ["da", "en-GB", "en"]);
        assert_eq!(accepted("en;q=0.1, fr ; q=0.9, de;q=0, *;q=1, it;q=nan, es;q=7"), ["fr", "en"]);
        assert_eq!(accepted("de,fr"), ["de", "fr"]);
        assert!(accepted("").is_empty());
    }

    proptest! {
        #[test]
        fn accepted_tags_are_canonical(header in "\\PC{0,60}") {
            for locale in Locale::accepted(&header) {
                prop_assert!(locale.as_str().len() <= MAX_CHARS, "{locale:?}");
                prop_assert_eq!(Locale::parse(locale.as_str()), Some(locale.clone()));
                prop_assert!(locale.as_str().starts_with(locale.language()));
            }
        }
    }
}
