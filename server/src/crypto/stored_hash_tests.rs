//! Tests with hashes from other programs: Python's bcrypt 4.0, argon2-cffi 25.1, passlib 1.7 (scrypt, PBKDF2), Django
//! 5.2 and hashlib.

use proptest::prelude::*;

use super::*;
use crate::crypto::HashPool;
use crate::domain::{Password, PasswordHash};

/// Hashes of `correct horse`.
const HASHES: [&str; 14] = [
    "$2b$05$Qju3B.C7G10c5ShdNUCusOQGD0rWNmh9XrLOOXaVLWzMBOaCtzl0m",
    "$2a$04$mJm2NeGfysGPfLVe03fX/euWRM.2P1/DYGSqCJi9.UMkasqZgTmCS",
    "$2y$04$RgEO/.YkRGCKt91IzdwneOMlxju9ITS8aN5UrHnR96AbXlOzHUZ6S",
    "$argon2id$v=19$m=256,t=3,p=4$gnmUKpgRHIPUqH1Kuwy6sw$9frI1RtBtM3zKZpMweSTfEGOD8yW0L0o5M4VeMzbEtA",
    "$argon2i$v=19$m=256,t=3,p=4$jNm/f087ez1T7EvcshLVtQ$zGOeTrUd+Lk1YhQGfDGy8zcv02D0fnTDY9ZoTJhnDbI",
    "$argon2d$v=19$m=256,t=3,p=4$WXqFZuvuEl/8GIn/xJtBEQ$I4DI+p8YPJueA/eloI2E260XIZRl7yD/UTV7UKyz04I",
    "$argon2i$v=16$m=64,t=2,p=1$c2FsdHlzYWx0eXNhbHR5MQ$Oz5m/C2L+Mnonm44vV6YMbJq7sQC+8FFbiMrEWWorh0",
    "$scrypt$ln=10,r=8,p=2$tvYewziH8F7LeS8FYCylNA$wZEJHZWp1jjQsBFaNZsvShJ5ks5f8YOZv+CpmBzAzAU",
    "$pbkdf2-sha256$1000$rFVKKcW4F8JYi1FqLYUwxg$6DGcEcFj.LgKcjA49uGD0y5PeBGv4eAeeO0PD5BKcPM",
    "$pbkdf2-sha512$1000$sXaudU5p7Z1zzhmDEIJQig$fDAJ8IVHl8ZCzueYBEmUR3SyqBjrnuH3Nq8BC71Sb9xl.4XDY9e4bo8bozG8a0eiOOCC6vIuLPcFPWN6mNPueA",
    "pbkdf2_sha256$1000$seasalt0123456789abcd$nySDhAwEcePvv8vS8xyx86PXyKd0JHF0Bb0QYGs0yj4=",
    "pbkdf2_sha512$1000$seasalt0$ie6CAJeeOMi3PWOpDw9PpfwsxYU24DWdFIO47N7aTMRu0QLY5qtD8Vq+TPea5fjBh6WShlWM9r3xP+RdbMAAgw==",
    "$pbkdf2-sha256$i=1000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$cBg8D2DungRB9k76szThf5ehfyBz991ay6PT8Srwk4M",
    "$pbkdf2-sha512$i=1000,l=64$MDEyMzQ1Njc4OWFiY2RlZg$OM0FAoIqCVK1sWtxDiffVlBejtLa+ks4TP71JiecwuSZCG8iLbnlIEPOMoVX+i2B2wkSxjQ8CRGR9OkNGuIPMQ",
];

/// The hash of 80 times `x`.
const BCRYPT_OF_80: &str = "$2b$04$FxyUukinMkafxvZVD7qXne55YJ1fFSuuy6sMqugoO3JwxdKRu6.d.";

async fn verify(pool: &std::sync::Arc<HashPool>, password: &str, stored: &str) -> bool {
    pool.verify(Password::presented(password), Some(PasswordHash::new(stored))).await.unwrap()
}

#[tokio::test]
async fn a_foreign_hash_verifies_only_its_password_and_needs_a_rehash() {
    let pool = HashPool::new(1).unwrap();
    for hash in HASHES {
        assert_eq!(
            ForeignHash::parse(hash).map(|hash| hash.into_stored().expose().to_owned()),
            Ok(hash.to_owned())
        );
        assert!(verify(&pool, "correct horse", hash).await, "{hash}");
        for wrong in ["correct horsf", "correct hors", "correct horse ", "", "correct horse\0"] {
            assert!(!verify(&pool, wrong, hash).await, "{wrong:?} {hash}");
        }
        assert!(pool.needs_rehash(&PasswordHash::new(hash)), "{hash}");
    }
}

#[tokio::test]
async fn bcrypt_reads_72_bytes_and_refuses_zero_bytes() {
    let pool = HashPool::new(1).unwrap();
    assert!(verify(&pool, &"x".repeat(80), BCRYPT_OF_80).await);
    assert!(verify(&pool, &"x".repeat(72), BCRYPT_OF_80).await);
    assert!(!verify(&pool, &"x".repeat(71), BCRYPT_OF_80).await);
    assert!(!verify(&pool, "correct horse\0correct horse", HASHES[0]).await);
}

#[test]
fn expensive_parameters_are_refused() {
    const SALT_AND_HASH: &str = "MDEyMzQ1Njc4OWFiY2RlZg$cBg8D2DungRB9k76szThf5ehfyBz991ay6PT8Srwk4M";
    for costly in [
        format!("$argon2id$v=19$m=131073,t=1,p=1${SALT_AND_HASH}"),
        format!("$argon2id$v=19$m=65536,t=17,p=1${SALT_AND_HASH}"),
        format!("$argon2id$v=19$m=65536,t=1,p=17${SALT_AND_HASH}"),
        format!("$argon2i$v=19$m=4294967295,t=4294967295,p=1${SALT_AND_HASH}"),
        format!("$scrypt$ln=18,r=8,p=1${SALT_AND_HASH}"),
        format!("$scrypt$ln=17,r=8,p=9${SALT_AND_HASH}"),
        format!("$scrypt$ln=63,r=4294967295,p=1${SALT_AND_HASH}"),
        format!("$scrypt$ln=99999999999999,r=8,p=1${SALT_AND_HASH}"),
        format!("$pbkdf2-sha256$i=4000001,l=32${SALT_AND_HASH}"),
        format!("$pbkdf2-sha256$99999999999${SALT_AND_HASH}"),
        HASHES[0].replace("$05$", "$15$"),
        HASHES[0].replace("$05$", "$31$"),
    ] {
        assert_eq!(ForeignHash::parse(&costly), Err(HashRefusal::TooCostly), "{costly}");
    }
    for affordable in [
        format!("$argon2id$v=19$m=102400,t=2,p=8${SALT_AND_HASH}"),
        format!("$argon2id$v=19$m=65536,t=4,p=4${SALT_AND_HASH}"),
        format!("$scrypt$ln=17,r=8,p=1${SALT_AND_HASH}"),
        format!("$pbkdf2-sha256$1200000${SALT_AND_HASH}"),
        HASHES[0].replace("$05$", "$14$"),
    ] {
        assert!(ForeignHash::parse(&affordable).is_ok(), "{affordable}");
    }
}

#[test]
fn short_unknown_and_malformed_hashes_are_refused() {
    for short in [
        "$pbkdf2-sha256$1000$MDEyMzQ1Njc4OWFiY2RlZg$cBg8D2Dung",
        "$scrypt$ln=10,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$cA",
        "pbkdf2_sha256$1000$$nySDhAwEcePvv8vS8xyx86PXyKd0JHF0Bb0QYGs0yj4=",
    ] {
        assert_eq!(ForeignHash::parse(short), Err(HashRefusal::Length), "{short}");
    }
    for unknown in [
        "",
        "secret",
        "$1$salt$abcdefghijklmnopqrstuv",
        "$2x$05$Qju3B.C7G10c5ShdNUCusOQGD0rWNmh9XrLOOXaVLWzMBOaCtzl0m",
        "5f4dcc3b5aa765d61d8327deb882cf99",
        "{SSHA}abc",
        "pbkdf2_sha1$1$a$b",
        "$6$rounds=5000$salt$hash",
        "$2b$05$ünïcödé",
    ] {
        assert_eq!(ForeignHash::parse(unknown), Err(HashRefusal::UnknownFormat), "{unknown}");
    }
    for malformed in [
        "$2b$05$Qju3B.C7G10c5ShdNUCusOQGD0rWNmh9XrLOOXaVLWzMBOaCtzl0",
        "$2b$05$",
        "$2b$xx$Qju3B.C7G10c5ShdNUCusOQGD0rWNmh9XrLOOXaVLWzMBOaCtzl0m",
        "$2b$03$Qju3B.C7G10c5ShdNUCusOQGD0rWNmh9XrLOOXaVLWzMBOaCtzl0m",
        "$argon2id$v=19$m=256,t=3$gnmUKpgRHIPUqH1Kuwy6sw$9frI1RtBtM3zKZpMweSTfEGOD8yW0L0o5M4VeMzbEtA",
        "$argon2id$v=18$m=256,t=3,p=4$gnmUKpgRHIPUqH1Kuwy6sw$9frI1RtBtM3zKZpMweSTfEGOD8yW0L0o5M4VeMzbEtA",
        "$argon2id$v=19$m=256,t=3,p=4$gnmUKpgRHIPUqH1Kuwy6sw",
        "$argon2id$v=19$m=0,t=0,p=0$gnmUKpgRHIPUqH1Kuwy6sw$9frI1RtBtM3zKZpMweSTfEGOD8yW0L0o5M4VeMzbEtA",
        "$pbkdf2-sha256$i=1000,l=20$MDEyMzQ1Njc4OWFiY2RlZg$cBg8D2DungRB9k76szThf5ehfyBz991ay6PT8Srwk4M",
        "$pbkdf2-sha256$i=0$MDEyMzQ1Njc4OWFiY2RlZg$cBg8D2DungRB9k76szThf5ehfyBz991ay6PT8Srwk4M",
        "$pbkdf2-sha256$i=+5$MDEyMzQ1Njc4OWFiY2RlZg$cBg8D2DungRB9k76szThf5ehfyBz991ay6PT8Srwk4M",
        "$scrypt$ln=10,r=0,p=1$MDEyMzQ1Njc4OWFiY2RlZg$cBg8D2DungRB9k76szThf5ehfyBz991ay6PT8Srwk4M",
    ] {
        let refusal = ForeignHash::parse(malformed);
        assert!(matches!(refusal, Err(HashRefusal::Malformed(_))), "{refusal:?} {malformed}");
    }
}

proptest! {
    #[test]
    fn arbitrary_text_does_not_panic(text in "\\PC{0,80}") {
        let _ = ForeignHash::parse(&text);
    }

    #[test]
    fn arbitrary_bytes_in_a_valid_hash_do_not_panic(
        form in prop::sample::select(HASHES.to_vec()),
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..12),
        cut in 0_usize..12,
    ) {
        let mut changed = form.as_bytes().to_vec();
        let from = at.index(changed.len());
        changed.splice(from..(from + cut).min(form.len()), bytes);
        let text = String::from_utf8_lossy(&changed);
        if let Ok(hash) = StoredHash::parse(&text) {
            prop_assert!(hash.memory_kib() <= MAX_KIB);
        }
    }

    #[test]
    fn arbitrary_parameters_do_not_panic(
        form in prop::sample::select(vec!["$argon2id$v=19$m=", "$scrypt$ln=", "$pbkdf2-sha256$", "$2b$"]),
        params in "[0-9]{0,20}(,(t|r|p|i|l)=[0-9]{0,20}){0,3}",
    ) {
        let text = format!("{form}{params}$MDEyMzQ1Njc4OWFiY2RlZg$cBg8D2DungRB9k76szThf5ehfyBz991ay6PT8Srwk4M");
        let _ = StoredHash::parse(&text);
    }
}
