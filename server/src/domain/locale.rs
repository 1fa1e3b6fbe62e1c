//! The languages that people read.

use icu_locale_core::subtags::{Language, Region, Script, Variant};

/// Longest tag that is kept (RFC 5646 §4.4.1).
const MAX_CHARS: usize = 35;

/// A language tag (BCP 47, RFC 5646 §2.1): a language, perhaps a script, a region and variants, in their usual case:
/// `de`, `pt-BR`, `zh-Hant-TW`, `de-1996`. Extensions decide nothing that is written here, and are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locale(String);

impl Locale {
    /// Parses a tag; `None` when it is none of that form.
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

    /// The languages that an `Accept-Language` header asks for (RFC 9110 §12.5.4), the dearest first. What is no
    /// language, or not wanted (`q=0`), is left out.
    pub fn accepted(header: &str) -> Vec<Self> {
        let mut wanted: Vec<(f32, Self)> = header.split(',').filter_map(weighed).collect();
        // Stable: of two with the same weight the first one counts for more.
        wanted.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        wanted.into_iter().map(|(_, locale)| locale).collect()
    }

    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The language alone.
    pub fn language(&self) -> &str {
        self.0.split('-').next().unwrap_or_default()
    }
}

/// `pt-BR;q=0.8`
fn weighed(entry: &str) -> Option<(f32, Locale)> {
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
    fn a_tag_gets_its_usual_case() {
        for (given, usual) in [
            ("EN", "en"),
            ("pt-br", "pt-BR"),
            ("ZH-hant-tw", "zh-Hant-TW"),
            ("es-419", "es-419"),
            ("sl-ROZAJ-biske", "sl-rozaj-biske"),
        ] {
            assert_eq!(parsed(given).as_deref(), Some(usual));
        }
    }

    #[test]
    fn what_is_no_language_is_refused() {
        for bad in
            ["", "-", "e", "english-language", "en-", "en_US", "und", "en-US-x-twain", "*", "e\u{0}", "dé"]
        {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_dearest_language_comes_first() {
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
        fn whatever_is_accepted_is_a_tag_that_stays_what_it_is(header in "\\PC{0,60}") {
            for locale in Locale::accepted(&header) {
                prop_assert!(locale.as_str().len() <= MAX_CHARS, "{locale:?}");
                prop_assert_eq!(Locale::parse(locale.as_str()), Some(locale.clone()));
                prop_assert!(locale.as_str().starts_with(locale.language()));
            }
        }
    }
}
