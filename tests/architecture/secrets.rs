//! No type that can be printed holds a secret in the clear: a `{:?}` in a log line, an error or a failed assertion would
//! give it away. Such a field has a type whose `Debug` is redacted, or its struct does not derive `Debug`.

use std::fmt::Write as _;

use crate::sources::{code_of, rust_sources};

/// The parts of names that secrets have.
const TELLING: [&str; 18] = [
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "hash",
    "secret",
    "secrets",
    "token",
    "tokens",
    "credential",
    "credentials",
    "cookie",
    "bearer",
    "private",
    "link",
    "jwt",
    "database_url",
    "redis_url",
];
/// Types that show what they hold. A type of our own is looked at where it is defined.
const PLAIN: [&str; 11] = [
    "String",
    "str",
    "u8",
    "Digest",
    "Url",
    "Value",
    "Bytes",
    "ByteString",
    "Cow",
    "OsString",
    "PgConnectOptions",
];
/// Fields that are called like a secret and are none.
const HARMLESS: [(&str, &str); 14] = [
    // Durations.
    ("Tokens", "access_token_ttl"),
    ("Tokens", "refresh_token_ttl"),
    ("ClientTokens", "access_token_ttl"),
    ("ClientTokens", "refresh_token_ttl"),
    // Names of Secrets, and of keys in them.
    ("SmtpCredentialsRef", "password_key"),
    ("ClientCertificateRef", "private_key_key"),
    ("IngressTls", "secret_name"),
    ("AuthClientStatus", "secret_name"),
    ("Details", "secret_name"),
    ("SecretKeys", "client_secret"),
    ("SecretKeys", "token_url"),
    ("SecretKey", "secret"),
    // A public claim.
    ("Settings", "token_audience"),
    // Ids of clients.
    ("Client", "token_exchange_from"),
];

/// A field of a type, or of a variant of an enum.
#[derive(Debug, PartialEq, Eq)]
struct Field {
    owner: String,
    /// The owner's or the variant's name where it has none.
    name: String,
    kind: String,
}

/// The fields of the types that derive `Debug`.
fn printed_fields(code: &str) -> Vec<Field> {
    let mut fields = Vec::new();
    for (at, _) in code.match_indices("#[derive(") {
        let rest = &code[at + "#[derive(".len()..];
        let Some((traits, rest)) = rest.split_once(")]") else { continue };
        if traits.split(',').any(|name| name.trim() == "Debug") {
            fields.extend(fields_of_next_type(rest));
        }
    }
    fields
}

fn fields_of_next_type(rest: &str) -> Vec<Field> {
    let mut words = rest.split_inclusive(|c: char| c.is_whitespace());
    let mut read = 0;
    let kind = loop {
        let Some(word) = words.next() else { return Vec::new() };
        read += word.len();
        if let found @ ("struct" | "enum" | "union") = word.trim() {
            break found;
        }
    };
    let rest = &rest[read..];
    let owner: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let Some(open) = rest.find(['{', '(', ';']) else { return Vec::new() };
    let Some(body) = enclosed(&rest[open..]) else { return Vec::new() };
    if kind == "enum" {
        return split_list(body).flat_map(|variant| fields_of_variant(&owner, variant)).collect();
    }
    fields_in(&owner, &owner, body)
}

fn fields_of_variant(owner: &str, variant: &str) -> Vec<Field> {
    let variant = without_attributes(variant);
    let name: String = variant.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let Some(open) = variant.find(['{', '(']) else { return Vec::new() };
    enclosed(&variant[open..]).map(|body| fields_in(owner, &name, body)).unwrap_or_default()
}

fn fields_in(owner: &str, unnamed: &str, body: &str) -> Vec<Field> {
    let field = |text: &str| {
        let text = without_attributes(text);
        let text = text.strip_prefix("pub").map_or(text, |rest| match enclosed(rest) {
            Some(scope) => &rest[scope.len() + 2..],
            None => rest,
        });
        let (name, kind) = match text
            .split_once(':')
            .filter(|(name, _)| name.trim().chars().all(|c| c.is_alphanumeric() || c == '_'))
        {
            // The second colon of a path.
            Some((_, kind)) if kind.starts_with(':') => (unnamed, text),
            Some((name, kind)) => (name, kind),
            None => (unnamed, text),
        };
        Field { owner: owner.to_owned(), name: name.trim().to_owned(), kind: kind.trim().to_owned() }
    };
    split_list(body).filter(|text| !text.trim().is_empty()).map(field).collect()
}

/// What stands between the bracket that begins `text` and its counterpart.
fn enclosed(text: &str) -> Option<&str> {
    let close = match text.chars().next()? {
        '{' => '}',
        '(' => ')',
        '[' => ']',
        _ => return None,
    };
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (character == close).then(|| &text[1..at]);
        }
    }
    None
}

/// The items of a list with commas between them, brackets counted.
fn split_list(body: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    body.split(move |character| {
        match character {
            '{' | '(' | '[' | '<' => depth += 1,
            '}' | ')' | ']' | '>' => depth -= 1,
            _ => {}
        }
        character == ',' && depth == 0
    })
}

fn without_attributes(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        let Some(attribute) = text.strip_prefix('#').and_then(enclosed) else { return text };
        text = &text[attribute.len() + 3..];
    }
}

/// `PasswordHash` and `password_hash` -> password, hash.
fn words_of(name: &str) -> String {
    let mut words = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !words.is_empty() {
            words.push('_');
        }
        words.extend(character.to_lowercase());
    }
    format!("_{words}_")
}

fn sounds_secret(name: &str) -> bool {
    let words = words_of(name);
    TELLING.iter().any(|telling| words.contains(&format!("_{telling}_")))
}

fn is_plain(kind: &str) -> bool {
    let names = kind.split(|c: char| !c.is_alphanumeric() && c != '_');
    let mut names = names.filter(|name| !name.is_empty());
    names.any(|name| PLAIN.contains(&name))
}

fn gives_away(field: &Field) -> bool {
    let harmless = HARMLESS.iter().any(|(owner, name)| (*owner, *name) == (&*field.owner, &*field.name));
    let sounds = sounds_secret(&field.name) || (field.name == field.owner && sounds_secret(&field.owner));
    sounds && is_plain(&field.kind) && !harmless
}

#[test]
fn no_printed_type_shows_a_secret() {
    let mut found = String::new();
    let mut seen = 0;
    for folder in [
        "server/src",
        "server/clients/src",
        "server/config/src",
        "server/exports/src",
        "server/keyset/src",
        "operator/src",
        "crds/src",
        "plugin/src",
        "verifier/src",
    ] {
        for file in rust_sources(folder) {
            let fields = printed_fields(&code_of(&file));
            seen += fields.len();
            for field in fields.iter().filter(|field| gives_away(field)) {
                let _ = writeln!(found, "{}: {}.{}: {}", file.display(), field.owner, field.name, field.kind);
            }
        }
    }
    assert!(seen > 500, "the sources are read: {seen} fields");
    assert!(
        found.is_empty(),
        "give each a type with a redacted Debug (Password, PasswordHash, SecretText), or do not derive it:\n{found}"
    );
}

#[test]
fn fields_are_found_in_every_shape() {
    let code = "#[derive(Clone, Debug)]\npub struct A<'a> { #[sqlx(x = 1, y)] pub password_hash: Option<String>, \
                pub(super) b: &'a str }\n#[derive(Debug)] struct Hash(pub Vec<u8>);\n\
                #[derive(Debug)] #[serde(x)] enum E { One { token: String, n: u32 }, #[x] Secret(String), Two }\n\
                #[derive(Clone)] struct Password(String); #[derive(Debug)] struct None;";
    let found: Vec<_> = printed_fields(code)
        .iter()
        .filter(|field| gives_away(field))
        .map(|field| format!("{}.{}", field.owner, field.name))
        .collect();
    assert_eq!(found, ["A.password_hash", "Hash.Hash", "E.token", "E.Secret"]);
}
