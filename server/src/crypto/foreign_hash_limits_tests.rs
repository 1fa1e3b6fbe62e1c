//! The limits of lengths and costs: the largest permitted value, and the next one.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::*;

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
