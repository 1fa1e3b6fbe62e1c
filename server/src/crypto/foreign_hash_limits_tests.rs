//! The limits of lengths and costs: the largest permitted value, and the next one.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::*;
use crate::crypto::hash_formats::parse_stored;

const SALT_AND_HASH: &str = "MDEyMzQ1Njc4OWFiY2RlZg$cBg8D2DungRB9k76szThf5ehfyBz991ay6PT8Srwk4M";

#[track_caller]
fn assert_parses(hash: &str, expected: Result<(), HashRefusal>) {
    assert_eq!(ForeignHash::parse(hash).map(|_| ()), expected, "{hash}");
}

#[test]
fn version_2_of_aspnet_has_one_length() {
    for (length, expected) in [
        (1, Err(HashRefusal::UnknownFormat)),
        (17, Err(HashRefusal::UnknownFormat)),
        (48, Err(HashRefusal::UnknownFormat)),
        (49, Ok(())),
        (50, Err(HashRefusal::UnknownFormat)),
        (113, Err(HashRefusal::UnknownFormat)),
    ] {
        let mut bytes = vec![7; length];
        bytes[0] = 0;
        assert_parses(&STANDARD.encode(bytes), expected);
    }
}

#[test]
fn version_3_of_aspnet_has_a_salt_and_a_hash_of_permitted_lengths() {
    for (declared, salt, hash, expected) in [
        (16, 16, 32, Ok(())),
        (1, 1, 16, Ok(())),
        (64, 64, 32, Ok(())),
        (0, 0, 32, Err(HashRefusal::Length)),
        (65, 65, 32, Err(HashRefusal::Length)),
        (16, 16, 15, Err(HashRefusal::Length)),
        (16, 16, 0, Err(HashRefusal::Length)),
        (17, 16, 0, Err(HashRefusal::UnknownFormat)),
    ] {
        let mut bytes = vec![1, 0, 0, 0, 1, 0, 0, 39, 16, 0, 0, 0, declared];
        bytes.resize(bytes.len() + salt + hash, 7);
        assert_parses(&STANDARD.encode(bytes), expected);
    }
}

#[test]
fn the_largest_permitted_costs_are_accepted() {
    for (params, expected) in [
        ("$argon2id$v=19$m=131072,t=1,p=1", Ok(())),
        ("$argon2id$v=19$m=65536,t=16,p=1", Ok(())),
        ("$argon2id$v=19$m=65536,t=17,p=1", Err(HashRefusal::TooCostly)),
        ("$scrypt$ln=17,r=8,p=8", Ok(())),
        ("$scrypt$ln=10,r=8,p=16", Ok(())),
        ("$scrypt$ln=10,r=8,p=17", Err(HashRefusal::TooCostly)),
        ("$scrypt$ln=10,r=64,p=1", Ok(())),
        ("$scrypt$ln=10,r=65,p=1", Err(HashRefusal::TooCostly)),
        // N itself.
        ("$scrypt$ln=64,r=8,p=1", Ok(())),
        ("$pbkdf2-sha256$4000000", Ok(())),
        ("$pbkdf2-sha256$4000001", Err(HashRefusal::TooCostly)),
    ] {
        assert_parses(&format!("{params}${SALT_AND_HASH}"), expected);
    }
}

#[test]
fn the_shortest_and_longest_permitted_parts_are_accepted() {
    let pbkdf2 = |salt: usize, hash: usize| {
        format!("pbkdf2_sha256$1000${}${}", "s".repeat(salt), STANDARD.encode(vec![7; hash]))
    };
    let scrypt = |salt: usize, hash: usize| {
        let encode = |length: usize| STANDARD_NO_PAD.encode(vec![7; length]);
        format!("$scrypt$ln=10,r=8,p=1${}${}", encode(salt), encode(hash))
    };
    let firebase = |salt: usize, stream: usize| {
        let encode = |length: usize| STANDARD.encode(vec![7; length]);
        format!("$firescrypt$ln=10,r=8,p=1${}${}", encode(salt), encode(stream))
    };
    for (hash, is_permitted) in [
        (pbkdf2(1, 16), true),
        (pbkdf2(1, 15), false),
        (pbkdf2(64, 1024), true),
        (pbkdf2(64, 1025), false),
        (pbkdf2(65, 32), false),
        (scrypt(1, 16), true),
        (scrypt(1, 15), false),
        (scrypt(64, 64), true),
        (scrypt(65, 64), false),
        (scrypt(64, 65), false),
        (firebase(1, 32), true),
        (firebase(0, 32), false),
        (firebase(1, 31), false),
        (firebase(128, 128), true),
        (firebase(129, 128), false),
        (firebase(128, 129), false),
    ] {
        assert_parses(&hash, if is_permitted { Ok(()) } else { Err(HashRefusal::Length) });
    }
}

#[test]
fn the_limits_of_crypt_phpass_and_the_salts_of_digests() {
    let sha =
        |rounds: u32, salt: usize| format!("$6$rounds={rounds}${}${}", "s".repeat(salt), ".".repeat(86));
    let md5 = |salt: usize| format!("$1${}${}", "s".repeat(salt), ".".repeat(22));
    // The first character is the logarithm of the rounds.
    let phpass = |log2: char| format!("$P${log2}saltsalt{}", ".".repeat(22));
    let digest =
        |name: &str, salt: usize, hash: usize| format!("{name}${}${}", "s".repeat(salt), "00".repeat(hash));
    let malformed = |name| Err(HashRefusal::Malformed(name));
    for (hash, expected) in [
        (sha(1_000_000, 16), Ok(())),
        (sha(1_000_001, 16), Err(HashRefusal::TooCostly)),
        (sha(1_000, 0), Ok(())),
        (sha(999, 0), malformed("SHA-crypt")),
        (sha(5_000, 17), malformed("SHA-crypt")),
        (md5(8), Ok(())),
        (md5(9), malformed("MD5-crypt")),
        (phpass('I'), Ok(())),
        (phpass('J'), Err(HashRefusal::TooCostly)),
        (phpass('5'), Ok(())),
        (phpass('4'), malformed("phpass")),
        (digest("md5", 256, 16), Ok(())),
        (digest("md5", 257, 16), Err(HashRefusal::Length)),
        (digest("sha256", 256, 32), Ok(())),
        (digest("sha256", 257, 32), Err(HashRefusal::Length)),
        (digest("sha256", 256, 31), malformed("HMAC")),
    ] {
        assert_parses(&hash, expected);
    }
}

/// The time of each round is proportional to the length of the password.
#[test]
fn the_longest_password_of_crypt_and_phpass_has_256_bytes() {
    let sha = format!("$6$rounds=1000$salt${}", ".".repeat(86));
    let drupal = format!("$S$5saltsalt{}", ".".repeat(43));
    let (Ok(StoredHash::ShaCrypt(sha)), Ok(StoredHash::Drupal { setting, .. })) =
        (parse_stored(&sha), parse_stored(&drupal))
    else {
        panic!("other formats")
    };
    for (length, is_computed) in [(256, true), (257, false), (1024, false)] {
        let password = vec![b'a'; length];
        assert_eq!(sha.compute(&password).is_some(), is_computed, "{length}");
        assert_eq!(setting.compute(&password).is_some(), is_computed, "{length}");
    }
}

#[test]
fn a_text_has_at_most_2048_characters() {
    let with_zeros = |length: usize| {
        let end = format!("1000${SALT_AND_HASH}");
        format!("$pbkdf2-sha256${}{end}", "0".repeat(length - end.len() - 15))
    };
    assert_eq!(with_zeros(2048).len(), 2048);
    assert_parses(&with_zeros(2048), Ok(()));
    for length in [2049, 4096] {
        assert_parses(&with_zeros(length), Err(HashRefusal::UnknownFormat));
    }
}

/// A `kind` is measured, and one that takes long waits in the lane of the slow hashes.
#[test]
fn the_expected_duration_depends_on_the_algorithm_and_its_costs() {
    let drupal = |log2: char| format!("$S${log2}33783772bRXEx1aCsvY.dqgaaSu76XmVlKrW9Qu8IQlvxHlmzLf");
    let firebase = |params: &str| format!("$firescrypt${params}$c2FsdA==${}", STANDARD.encode([7; 32]));
    let mut hashes = vec![drupal('C'), drupal('D')];
    hashes.extend(["ln=10,r=8,p=1", "ln=11,r=8,p=1", "ln=10,r=4,p=1", "ln=10,r=8,p=2"].map(firebase));
    hashes.extend(["04", "05"].map(|cost| format!("$2b${cost}${}", ".".repeat(53))));
    hashes.extend(["5000", "5001"].map(|rounds| format!("$6$rounds={rounds}$salt${}", ".".repeat(86))));
    let others = [
        "$argon2id$v=19$m=256,t=3,p=4",
        "$argon2i$v=19$m=256,t=3,p=4",
        "$argon2id$v=19$m=257,t=3,p=4",
        "$argon2id$v=19$m=256,t=4,p=4",
        "$argon2id$v=19$m=256,t=3,p=5",
        "$scrypt$ln=10,r=8,p=1",
        "$scrypt$ln=11,r=8,p=1",
        "$scrypt$ln=10,r=4,p=1",
        "$scrypt$ln=10,r=8,p=2",
        "$pbkdf2-sha256$1000",
        "$pbkdf2-sha256$1001",
    ];
    hashes.extend(others.map(|params| format!("{params}${SALT_AND_HASH}")));
    let kind = |hash: &String| parse_stored(hash).unwrap().kind();
    let kinds: Vec<_> = hashes.iter().map(kind).collect();
    for (at, kind) in kinds.iter().enumerate() {
        assert!(!kinds[..at].contains(kind), "{kind}: {}", hashes[at]);
    }
    let another_salt = format!("$scrypt$ln=10,r=8,p=1${}", SALT_AND_HASH.replace("MDEy", "MDEz"));
    assert_eq!(kind(&another_salt), kind(&format!("$scrypt$ln=10,r=8,p=1${SALT_AND_HASH}")));
}

/// The pool starts a hash only if there is memory for it.
#[test]
fn the_memory_of_a_hash_is_known() {
    let stream = STANDARD.encode([7; 32]);
    for (hash, kib) in [
        (format!("$argon2id$v=19$m=131072,t=1,p=1${SALT_AND_HASH}"), 128 * 1024),
        (format!("{{layered:md5::}}$argon2id$v=19$m=256,t=1,p=1${SALT_AND_HASH}"), 256),
        (format!("$scrypt$ln=17,r=8,p=1${SALT_AND_HASH}"), 128 * 1024),
        (format!("$scrypt$ln=10,r=16,p=2${SALT_AND_HASH}"), 2 * 1024),
        (format!("$firescrypt$ln=14,r=8,p=1$c2FsdA==${stream}"), 16 * 1024),
        // N is 2^10, r is 64 and p is 1.
        (format!("$7$8./.../....salt${}", ".".repeat(43)), 8 * 1024),
    ] {
        assert_eq!(parse_stored(&hash).unwrap().memory_kib(), kib, "{hash}");
    }
}
