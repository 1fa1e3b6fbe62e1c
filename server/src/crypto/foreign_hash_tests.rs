//! Tests with hashes from other programs: Python's bcrypt 4.0, argon2-cffi 25.1, passlib 1.7 (scrypt, PBKDF2), Django 5.2
//! and hashlib; and those of `tests/api/users/fixtures`.

use latchkey_config::HashLimits;
use proptest::prelude::*;

use super::*;
use crate::crypto::HashPool;
use crate::crypto::hash_formats::parse_stored;
use crate::crypto::hash_functions::MAX_KIB;
use crate::domain::Password;

/// On each line the program, a name and a hash of `correct horse`.
const FIXTURES: &str = include_str!("../../../tests/api/users/fixtures/foreign_hashes.tsv");

fn fixtures() -> Vec<(&'static str, &'static str)> {
    let read = |line: &'static str| line.split_once('\t').and_then(|(_, rest)| rest.split_once('\t'));
    FIXTURES.lines().map(|line| read(line).unwrap()).collect()
}

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
    let pool = HashPool::for_one().unwrap();
    for hash in HASHES {
        let foreign = ForeignHash::parse(hash).unwrap();
        assert_eq!(format!("{foreign:?}"), "[redacted]");
        assert_eq!(pool.protect(foreign).await.unwrap().expose(), hash);
        assert!(verify(&pool, "correct horse", hash).await, "{hash}");
        for wrong in ["correct horsf", "correct hors", "correct horse ", "", "correct horse\0"] {
            assert!(!verify(&pool, wrong, hash).await, "{wrong:?} {hash}");
        }
        assert!(pool.needs_rehash(&PasswordHash::new(hash)), "{hash}");
    }
}

#[tokio::test]
async fn each_fixture_verifies_only_its_password_and_fast_digests_are_layered() {
    let pool = HashPool::for_one().unwrap();
    assert!(fixtures().len() > 100);
    for (name, hash) in fixtures() {
        let foreign = ForeignHash::parse(hash).unwrap_or_else(|refusal| panic!("{name} {refusal}: {hash}"));
        let is_fast = matches!(foreign.0, ForeignKind::Fast(_));
        let stored = pool.protect(foreign).await.unwrap();
        assert!(
            pool.verify(Password::presented("correct horse"), Some(stored.clone())).await.unwrap(),
            "{name}"
        );
        for wrong in ["correct horsf", "correct horse ", "", "correct horse\0"] {
            let wrong = Password::presented(wrong);
            assert!(!pool.verify(wrong, Some(stored.clone())).await.unwrap(), "{name}");
        }
        assert!(pool.needs_rehash(&stored), "{name}");
        if is_fast {
            // The digest itself is not stored.
            assert!(stored.expose().contains("}$argon2id$v=19$m=19456,t=2,p=1$"), "{name}");
            let digest = hash.rsplit(['$', '}', '"']).next().unwrap();
            assert!(digest.is_empty() || !stored.expose().contains(digest), "{name}");
        }
        // The stored form can be imported into another Latchkey.
        let again = ForeignHash::parse(stored.expose()).unwrap();
        assert_eq!(pool.protect(again).await.unwrap(), stored, "{name}");
    }
}

#[tokio::test]
async fn a_stored_fast_digest_matches_no_password() {
    let pool = HashPool::for_one().unwrap();
    let stored = PasswordHash::new("{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=");
    assert!(pool.verify(Password::presented("correct horse"), Some(stored.clone())).await.is_err());
    assert!(!pool.needs_rehash(&stored));
}

#[test]
fn the_forms_of_a_hash_are_read_as_the_same_hash() {
    const SECRET: &str = r#"{"value":"nySDhAwEcePvv8vS8xyx86PXyKd0JHF0Bb0QYGs0yj4=","salt":"c2Vhc2FsdA=="}"#;
    const DATA: &str = r#"{"hashIterations":1000,"algorithm":"pbkdf2-sha256"}"#;
    let texts = serde_json::json!({ "secretData": SECRET, "credentialData": DATA });
    let bcrypt = serde_json::json!({ "algorithm": "bcrypt", "hash": { "value": HASHES[0] } });
    for (one, other) in [
        (&*texts.to_string(), &*format!(r#"{{"secretData":{SECRET},"credentialData":{DATA}}}"#)),
        (HASHES[0], &*bcrypt.to_string()),
        ("{MD5}PLTnMmMfR+brlh80VUt83g==", "{MD5}3cb4e732631f47e6eb961f34554b7cde"),
    ] {
        assert!(ForeignHash::parse(one).is_ok(), "{one}");
        assert_eq!(ForeignHash::parse(one), ForeignHash::parse(other), "{other}");
    }
}

/// The examples of hashcat's wiki, which come from the original programs: modes 7900, 400, 500, 1600, 7400 and 1800.
#[tokio::test]
async fn hashcats_examples_verify() {
    let pool = HashPool::for_one().unwrap();
    for hash in [
        "$S$C33783772bRXEx1aCsvY.dqgaaSu76XmVlKrW9Qu8IQlvxHlmzLf",
        "$P$984478476IagS59wHZvyQMArzfx58u.",
        "$1$28772684$iEwNOgGugqO9.bIz5sk8k/",
        "$apr1$71850310$gh9m4xcAn3MGxogwX/ztb.",
        "$5$rounds=5000$GX7BopJZJxPc/KEK$le16UF8I2Anb.rOrn22AUPWvzUETDGefUmAV8AZkGcD",
        "$6$52450745$k5ka2p8bFuSmoVT1tzOyyuaREkkKBcCNqoDKzYiJL9RaE8yMnPgh2XzzF0NDrUhgrcLwg78xs1w5pJiypEdFX/",
    ] {
        let stored = pool.protect(ForeignHash::parse(hash).unwrap()).await.unwrap();
        assert!(pool.verify(Password::presented("hashcat"), Some(stored)).await.unwrap(), "{hash}");
    }
}

#[tokio::test]
async fn a_pepper_is_appended_to_the_password_for_bcrypt() {
    const PEPPERED: &str = "$2a$04$IIrFVYisP.bxEcikiaArhejgZxP8s0b2ErJ9MqNNgLDR/HUFjWhAy";
    let pepper = latchkey_config::SecretText::new("a-pepper-of-the-old-application");
    let (without, with) = (
        HashPool::for_one().unwrap(),
        HashPool::with_pepper(
            HashLimits { workers: std::num::NonZeroUsize::MIN, memory: None },
            Some(pepper),
        )
        .unwrap(),
    );
    assert!(
        with.verify(Password::presented("correct horse"), Some(PasswordHash::new(PEPPERED))).await.unwrap()
    );
    assert!(!verify(&without, "correct horse", PEPPERED).await);
    assert!(!verify(&with, "correct horsf", PEPPERED).await);
    // A hash without a pepper still verifies.
    assert!(verify(&with, "correct horse", HASHES[0]).await);
}

#[tokio::test]
async fn bcrypt_reads_72_bytes_and_refuses_zero_bytes() {
    let pool = HashPool::for_one().unwrap();
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
        format!("$argon2id$v=19$m=65536,t=1,p=65${SALT_AND_HASH}"),
        format!("$argon2i$v=19$m=4294967295,t=4294967295,p=1${SALT_AND_HASH}"),
        format!("$scrypt$ln=18,r=8,p=1${SALT_AND_HASH}"),
        format!("$scrypt$ln=17,r=8,p=9${SALT_AND_HASH}"),
        format!("$scrypt$ln=63,r=4294967295,p=1${SALT_AND_HASH}"),
        format!("$scrypt$ln=99999999999999,r=8,p=1${SALT_AND_HASH}"),
        format!("$pbkdf2-sha256$i=4000001,l=32${SALT_AND_HASH}"),
        format!("$pbkdf2-sha256$99999999999${SALT_AND_HASH}"),
        HASHES[0].replace("$05$", "$15$"),
        HASHES[0].replace("$05$", "$31$"),
        format!("$scrypt$ln=262144,r=8,p=1${SALT_AND_HASH}"),
        format!("pbkdf2:sha256:4000001$salt${}", "00".repeat(32)),
        format!("scrypt:262144:8:1$salt${}", "00".repeat(32)),
        format!("{{scrypt}}$ff0801${SALT_AND_HASH}"),
        format!("$6$rounds=1000001$salt${}", ".".repeat(86)),
        format!("$S$J{}", ".".repeat(51)),
        format!("$P$J{}", ".".repeat(30)),
        format!("$firescrypt$ln=18,r=8,p=1$c2FsdA==${0}$Bw==${0}", "A".repeat(86)),
        format!("$7$G6..../....salt${}", ".".repeat(43)),
        "AQAAAAIA////AAAAEDAxMjM0NTY3ODlhYmNkZWYL504WkqoV4jNQA1TdldmQ8M9M+JM4baiy4qI0pStIVQ==".to_owned(),
    ] {
        assert_eq!(ForeignHash::parse(&costly), Err(HashRefusal::TooCostly), "{costly}");
    }
    for affordable in [
        format!("$argon2id$v=19$m=125000,t=1,p=64${SALT_AND_HASH}"),
        // Keycloak's default for SHA-1.
        format!("pbkdf2:sha1:1300000$salt${}", "00".repeat(64)),
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
        "$2x$05$Qju3B.C7G10c5ShdNUCusOQGD0rWNmh9XrLOOXaVLWzMBOaCtzl0m",
        "5f4dcc3b5aa765d61d8327deb882cf99",
        "{MD4}{salt}5f4dcc3b5aa765d61d8327deb882cf99",
        "{CRYPT}rEK1ecacw.7.c",
        "$md4$CY9rzUYh03PK3k6DJie09g==",
        "$pbkdf2-md5$1000$MDEyMzQ1Njc4OWFiY2RlZg$cBg8D2DungRB9k76szThf5ehfyBz991ay6PT8Srwk4M",
        "crypt$$rEK1ecacw.7.c",
        "{unknown}x",
        "{",
        "{}",
        "$",
        "$$$$",
        "pbkdf2_sha256$1000$seasalt\0$nySDhAwEcePvv8vS8xyx86PXyKd0JHF0Bb0QYGs0yj4=",
        "md5$sea\nsalt$b614725f4cc025a51ab6a354d12890ab",
        "{layered:md4:a:b}$argon2id$v=19$m=256,t=3,p=4$gnmUKpgRHIPUqH1Kuwy6sw$9frI1RtBtM3zKZpMweSTfEGOD8yW0L0o5M4VeMzbEtA",
        "AgAAAAIAAYagAAAAEDAxMjM0NTY3ODlhYmNkZWYL504WkqoV4jNQA1TdldmQ8M9M+JM4baiy4qI0pStIVQ==",
        "AQAAAAMAAYagAAAAEDAxMjM0NTY3ODlhYmNkZWYL504WkqoV4jNQA1TdldmQ8M9M+JM4baiy4qI0pStIVQ==",
        "AQAAAAIAAYag/////zAxMjM0NTY3ODlhYmNkZWYL504WkqoV4jNQA1TdldmQ8M9M+JM4baiy4qI0pStIVQ==",
        r#"{"algorithm":"md4","hash":{"value":"00","encoding":"hex"}}"#,
        r#"{"algorithm":"md5","hash":{"value":"3cb4e732631f47e6eb961f34554b7cde"},"password":{"encoding":"utf16le"}}"#,
        r#"{"some":"object"}"#,
        "$2b$05$ünïcödé",
    ] {
        assert_eq!(ForeignHash::parse(unknown), Err(HashRefusal::UnknownFormat), "{unknown}");
    }
    for clear in ["{noop}secret", "{CLEARTEXT}secret", "{CLEAR}x", "{PLAIN}"] {
        assert_eq!(ForeignHash::parse(clear), Err(HashRefusal::ClearText), "{clear}");
    }
    for malformed in [
        "{SSHA}abc",
        "{SSHA}L55TUjtiq8FBorTWAZ0jy6g129A=",
        "{SHA}8lN+8WXHTh3yNA6OWouQv0FBn7So1XrP",
        "$6$rounds=5000$salt$hash",
        "$6$rounds=99$zAuOhtoTNoR7Eu3q$qq5PgwuXscFn5HmPhxamLso0ex/rUUVh7v/5S6ltAPocN/eDgbOMGsBDfrkvMdn4QUhKGPnpZ1Qn1JUqwdZFI.",
        "$1$toolongsalt$6cR7Fwb7T54bx3mruFYft0",
        "$P$BnYoe.7qrxBNuEdhq.qYYNMVSkMumR",
        "$S$",
        "$P$",
        "md5$salt$00",
        "$sha1$pf=e1NBTFR9$NW9wbWtnejAzcg==$2qU2SGWP8viTM1md3FiI3+rjWXQ=",
        "scrypt:1000:8:1$salt$b4f06fd878fc419898cfa86a5a5973c60496a88777506dbf0748c94ad2dd8463",
        "{pbkdf2}00",
        r#"{"secretData":"{}","credentialData":"{}"}"#,
        r#"{"secretData":7}"#,
        r#"{"broken"#,
        "$2b$05$Qju3B.C7G10c5ShdNUCusOQGD0rWNmh9XrLOOXaVLWzMBOaCtzl0",
        "$2b$05$",
        "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==$42xEC+ixf3L2lw==$AAAA",
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
        form in prop::sample::select(
            fixtures().into_iter().map(|(_, hash)| hash).chain(HASHES).collect::<Vec<_>>(),
        ),
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..12),
        cut in 0_usize..12,
    ) {
        let mut changed = form.as_bytes().to_vec();
        let from = at.index(changed.len());
        changed.splice(from..(from + cut).min(form.len()), bytes);
        let text = String::from_utf8_lossy(&changed);
        let _ = ForeignHash::parse(&text);
        if let Ok(hash) = parse_stored(&text) {
            prop_assert!(hash.memory_kib() <= MAX_KIB);
        }
    }

    #[test]
    fn arbitrary_parameters_do_not_panic(
        form in prop::sample::select(vec![
            "$argon2id$v=19$m=", "$scrypt$ln=", "$pbkdf2-sha256$", "$2b$", "scrypt:", "pbkdf2:sha1:", "$6$rounds=",
            "$firescrypt$ln=", "{scrypt}$", "{PBKDF2}", "scrypt$", "argon2$argon2id$v=19$m=",
        ]),
        params in "[0-9]{0,20}(,(t|r|p|i|l)=[0-9]{0,20}){0,3}",
    ) {
        let text = format!("{form}{params}$MDEyMzQ1Njc4OWFiY2RlZg$cBg8D2DungRB9k76szThf5ehfyBz991ay6PT8Srwk4M");
        let _ = ForeignHash::parse(&text);
    }
}
