//! Passwords that are little more than a word everybody who knows the service would try.

/// Whether a password, in lower case, consists of nothing but these words (at least one), digits, punctuation and spaces:
/// the words themselves and what people make of them when a digit is asked for. What has other letters in it is judged by
/// no part (NIST SP 800-63B-4 §3.1.1.2: the whole password is compared, with "derivatives" of the service's name).
pub(super) fn is_made_of(password: &str, words: &[String]) -> bool {
    if words.is_empty() {
        return false;
    }
    // At each place in the text: can what stands before it be made, without a word, and with one?
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

    fn made(password: &str) -> bool {
        is_made_of(password, &["acme", "acme corp", "orp", "web3", "zürich"].map(str::to_owned))
    }

    #[test]
    fn words_alone_or_with_what_is_put_around_them() {
        for refused in
            ["acmeacme", "acme2026!", "!!!acme!!!", "acme corp", "acme-orp-7", "web3web3", "zürich 8001"]
        {
            assert!(made(refused), "{refused}");
        }
    }

    #[test]
    fn a_word_inside_of_something_else_is_no_reason() {
        for good in ["my acme lunch", "acmes1234", "12345678", "acm 20262026", ""] {
            assert!(!made(good), "{good}");
        }
        assert!(!is_made_of("acme2026", &[]));
    }

    proptest! {
        #[test]
        fn any_text_is_judged_and_what_is_put_together_is_found(
            text in any::<String>(),
            parts in prop::collection::vec(prop_oneof![Just("acme"), Just("zürich"), Just("7"), Just("-"), Just(" ")], 1..20),
        ) {
            let _ = made(&text.to_lowercase());
            let has_word = parts.iter().any(|part| part.len() > 1);
            prop_assert_eq!(made(&parts.concat()), has_word);
        }
    }
}
