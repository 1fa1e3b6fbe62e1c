//! Passwords that consist of words that are easy to guess for this service.

/// Whether a password, in lower case, consists of only these words (at least one), digits, punctuation and spaces. A
/// password that contains other letters is accepted, because NIST SP 800-63B-4 §3.1.1.2 compares the whole password
/// with the service's name and its "derivatives".
pub(super) fn is_made_of(password: &str, words: &[String]) -> bool {
    if words.is_empty() {
        return false;
    }
    // For each position: whether the text before it can be composed without a word, and with at least one.
    let mut plain = vec![false; password.len() + 1];
    let mut worded = plain.clone();
    plain[0] = true;
    for (place, char) in password.char_indices() {
        if !plain[place] && !worded[place] {
            continue;
        }
        if char.is_numeric() || char.is_ascii_punctuation() || char.is_whitespace() {
            let next = place + char.len_utf8();
            plain[next] |= plain[place];
            worded[next] |= worded[place];
        }
        let rest = &password[place..];
        for word in words.iter().filter(|word| !word.is_empty() && rest.starts_with(word.as_str())) {
            worded[place + word.len()] = true;
        }
    }
    worded[password.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(password: &str) -> bool {
        is_made_of(password, &["acme", "acme corp", "orp", "web3", "zürich"].map(str::to_owned))
    }

    #[test]
    fn words_with_digits_and_punctuation_are_refused() {
        for weak in
            ["acmeacme", "acme2026!", "!!!acme!!!", "acme corp", "acme-orp-7", "web3web3", "zürich 8001"]
        {
            assert!(refused(weak), "{weak}");
        }
    }

    #[test]
    fn words_among_other_letters_are_accepted() {
        for good in ["my acme lunch", "acmes1234", "12345678", "acm 20262026", ""] {
            assert!(!refused(good), "{good}");
        }
        assert!(!is_made_of("acme2026", &[]));
    }

    proptest! {
        #[test]
        fn every_combination_of_words_and_separators_is_refused(
            text in any::<String>(),
            parts in prop::collection::vec(prop_oneof![Just("acme"), Just("zürich"), Just("7"), Just("-"), Just(" ")], 1..20),
        ) {
            let _ = refused(&text.to_lowercase());
            let has_word = parts.iter().any(|part| part.len() > 1);
            prop_assert_eq!(refused(&parts.concat()), has_word);
        }
    }
}
