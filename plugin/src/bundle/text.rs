//! Removes secrets from texts that nobody structured, such as log lines and messages.

/// What stands for a secret.
pub const REMOVED: &str = "(removed)";
/// Parts of names of values that are secrets.
const NAMES: [&str; 13] = [
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "credential",
    "authorization",
    "private_key",
    "pepper",
    "cookie",
];
const SCHEMES: [&str; 2] = ["bearer ", "basic "];

/// The text without logins in URLs, private keys, tokens, and values that are called like a secret.
pub fn redact(text: &str) -> String {
    let text = without_private_keys(text);
    let text = without_logins(&text);
    let text = without_tokens(&text);
    without_named_values(&text)
}

/// `-----BEGIN … PRIVATE KEY-----` up to its end, or to the end of the text.
fn without_private_keys(text: &str) -> String {
    const BEGIN: &str = "-----BEGIN ";
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        let (before, block) = rest.split_at(at);
        kept.push_str(before);
        let label_end = block[BEGIN.len()..].find("-----").map_or(block.len(), |end| BEGIN.len() + end);
        if !block[..label_end].contains("PRIVATE KEY") {
            kept.push_str(&block[..BEGIN.len()]);
            rest = &block[BEGIN.len()..];
            continue;
        }
        kept.push_str(REMOVED);
        let end = block.find("-----END ").and_then(|end| {
            let label = end + "-----END ".len();
            block[label..].find("-----").map(|dashes| label + dashes + "-----".len())
        });
        rest = end.map_or("", |end| &block[end..]);
    }
    kept + rest
}

/// `scheme://login@host` becomes `scheme://(removed)@host`. A password may contain every character except those that end
/// a URL in a text.
fn without_logins(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        kept.push_str(before);
        let ends =
            |character: char| character.is_whitespace() || ['"', '\'', '`', '<', '>'].contains(&character);
        let end = url.find(ends).unwrap_or(url.len());
        let (url, after) = url.split_at(end);
        match url.rfind('@') {
            Some(login) => {
                kept.push_str(REMOVED);
                kept.push_str(&url[login..]);
            }
            None => kept.push_str(url),
        }
        rest = after;
    }
    kept + rest
}

/// JSON Web Tokens, and what follows `Bearer` and `Basic`.
fn without_tokens(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut word = String::new();
    let mut after_scheme = false;
    for character in text.chars().chain(['\n']) {
        if character.is_ascii_alphanumeric() || "-_.=+/~".contains(character) {
            word.push(character);
            continue;
        }
        let is_token = (word.starts_with("eyJ") && word.contains('.')) || (after_scheme && word.len() >= 8);
        kept.push_str(if is_token { REMOVED } else { &word });
        if !word.is_empty() || character != ' ' {
            let scheme = format!("{} ", word.to_lowercase());
            after_scheme = character == ' ' && SCHEMES.contains(&scheme.as_str());
        }
        word.clear();
        kept.push(character);
    }
    kept.pop();
    kept
}

/// `password=…`, `"token": "…"`, `client-secret: …`.
fn without_named_values(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut kept = String::with_capacity(text.len());
    let mut done = 0;
    for (at, length) in occurrences(&lower) {
        if at < done {
            continue;
        }
        let Some((start, end)) = value_after(text, at + length) else { continue };
        kept.push_str(&text[done..start]);
        kept.push_str(REMOVED);
        done = end;
    }
    kept + &text[done..]
}

/// Where the names occur in a text in lower case, in their order.
fn occurrences(lower: &str) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> =
        NAMES.iter().flat_map(|name| lower.match_indices(name).map(|(at, name)| (at, name.len()))).collect();
    found.sort_unstable();
    found
}

/// The value that follows a name: after the rest of the name, quotes and `=` or `:`.
fn value_after(text: &str, after_name: usize) -> Option<(usize, usize)> {
    let rest = &text[after_name..];
    let rest_of_name =
        rest.find(|c: char| !(c.is_ascii_alphanumeric() || ['_', '-'].contains(&c))).unwrap_or(rest.len());
    let mut at = after_name + rest_of_name;
    let is_quote = |character: char| ['"', '\'', '\\'].contains(&character);
    at += leading(&text[at..], is_quote);
    at += leading(&text[at..], |character| character == ' ');
    if !text[at..].starts_with(['=', ':']) {
        return None;
    }
    at += 1;
    at += leading(&text[at..], |character| character == ' ');
    let quotes = leading(&text[at..], is_quote);
    let quote = text[at..at + quotes].chars().last();
    at += quotes;
    let value = &text[at..];
    let length = match quote {
        Some(quote) => value.find(quote).unwrap_or(value.len()),
        None => value
            .find(|c: char| c.is_whitespace() || [',', '&', ';', '}', ']', ')'].contains(&c))
            .unwrap_or(value.len()),
    };
    (length > 0).then_some((at, at + length))
}

fn leading(text: &str, is: impl Fn(char) -> bool) -> usize {
    text.find(|character| !is(character)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "hunter2-hunter2";

    #[test]
    fn secrets_in_the_usual_forms_are_removed() {
        for template in [
            "postgres://user:§@db:5432/auth?sslmode=require",
            "rediss://:§@cache, retrying",
            "url=\"postgres://u:§/x@db/auth\" failed",
            "host=db user=auth password=§ dbname=auth",
            r#"{"message":"login","password":"§","x":1}"#,
            r#"{\"client_secret\":\"§\"}"#,
            "https://host/callback?token=§&state=1",
            "Authorization: Bearer §",
            "authorization: Basic §",
            "sent Bearer § to the server",
            "client-secret: §",
            "REDIS_PASSWORD = §",
            "eyJhbGciOi.§.c2ln",
            "-----BEGIN EC PRIVATE KEY-----\n§\n-----END EC PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----§",
        ] {
            let redacted = redact(&template.replace('§', SECRET));
            assert!(!redacted.contains(SECRET), "{template}: {redacted}");
            assert!(redacted.contains(REMOVED), "{template}: {redacted}");
        }
    }

    #[test]
    fn other_texts_stay() {
        for text in [
            "https://auth.example.com/token expired",
            "the Secret auth-db does not exist",
            "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----",
            "mail to jane@example.com",
            "a Bearer token",
            "",
            "tokens are valid\n",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    proptest! {
        #[test]
        fn every_text_can_be_redacted_and_no_url_keeps_its_login(text in ".{0,80}", secret in "[a-zA-Z0-9/:?#!]{6,20}") {
            let _ = redact(&text);
            let redacted = redact(&format!("{text} postgres://user:{secret}@host/db"));
            let login = secret + "@";
            prop_assert!(!redacted.contains(&login));
        }
    }
}
