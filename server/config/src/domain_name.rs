//! International domain names (RFC 5890 to 5895, UTS #46). A domain has one canonical form, with A-labels
//! (`xn--bcher-kva.example`), in which it is stored, compared and sent, and a Unicode form (`bücher.example`) for people.

use std::borrow::Cow;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

/// The canonical form of a domain; `None` if a label is not valid. A domain without international labels is returned
/// unchanged and unchecked: callers have their own rules for ASCII.
pub fn canonical_domain(domain: &str) -> Option<Cow<'_, str>> {
    if !is_international(domain) {
        return Some(Cow::Borrowed(domain));
    }
    let uts46 = Uts46::new();
    let ascii = uts46
        .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::Verify)
        .ok()?
        .into_owned();
    Some(Cow::Owned(ascii))
}

/// The Unicode form of a canonical domain; the domain itself if it has none.
pub fn displayed_domain(domain: &str) -> Cow<'_, str> {
    if !is_international(domain) {
        return Cow::Borrowed(domain);
    }
    let (displayed, result) = Uts46::new().to_unicode(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::Check);
    match result {
        Ok(()) => Cow::Owned(displayed.into_owned()),
        Err(_) => Cow::Borrowed(domain),
    }
}

/// Whether a label is in Unicode or is an A-label.
fn is_international(domain: &str) -> bool {
    let is_a_label = |label: &str| label.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--"));
    !domain.is_ascii() || domain.split('.').any(is_a_label)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_of_a_domain_has_one_canonical_form() {
        for spelling in [
            "bücher.example",
            "BÜCHER.example",
            "bu\u{308}cher.EXAMPLE",
            "XN--BCHER-KVA.Example",
            "b\u{ad}ücher.example",
            "bücher\u{3002}example",
        ] {
            assert_eq!(canonical_domain(spelling).as_deref(), Some("xn--bcher-kva.example"), "{spelling}");
        }
        assert_eq!(canonical_domain("straße.example").as_deref(), Some("xn--strae-oqa.example"));
        assert_eq!(canonical_domain("例え.テスト").as_deref(), Some("xn--r8jz45g.xn--zckzah"));
        assert_eq!(canonical_domain("ｅxample.com").as_deref(), Some("example.com"));
        assert_eq!(canonical_domain("Example.com").as_deref(), Some("Example.com"));
    }

    #[test]
    fn invalid_labels_have_no_canonical_form() {
        let long = format!("{}.example", "ü".repeat(64));
        for bad in
            ["xn--a.example", "xn--.example", "-ü.example", "ü_.example", "ü..example", "ü@.example", &long]
        {
            assert_eq!(canonical_domain(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_displayed_form_has_the_same_canonical_form(domain in "[a-zäßéА-яא-ת0-9日-本]{1,8}(\\.[a-zü]{2,4}){1,2}") {
            if let Some(canonical) = canonical_domain(&domain) {
                prop_assert!(canonical.is_ascii());
                prop_assert_eq!(canonical_domain(&canonical), Some(canonical.clone()));
                let displayed = displayed_domain(&canonical);
                prop_assert_eq!(canonical_domain(&displayed), Some(canonical.clone()));
            }
        }
    }
}
