//! The certificates in a bundle of authorities. Pure.

use std::fmt::Write as _;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use x509_parser::pem::Pem;

use crate::auth_service::problem::Problem;

/// The maximum total size of the bundles of an AuthService: a Secret holds a megabyte, and all public authorities
/// need a quarter of it.
const MOST_BYTES: usize = 512 * 1024;
/// A PEM line holds this many characters (RFC 7468 §2).
const LINE: usize = 64;

/// The location of a bundle, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// `Secret` or `ConfigMap`.
    pub kind: &'static str,
    pub name: &'a str,
    /// The key in its data.
    pub key: &'a str,
    /// The field of the spec that references it.
    pub field: &'a str,
}

impl Place<'_> {
    /// The problem at this location.
    pub(crate) fn problem(self, problem: Fault) -> Problem {
        let Self { kind, name, key, field } = self;
        let secret = kind == "Secret";
        let (reason, message) = match problem {
            Fault::Missing => (
                if secret { "SecretMissing" } else { "ConfigMapMissing" },
                format!(
                    "{field} references the {kind} {name}, which does not exist: create it with the key {key}."
                ),
            ),
            Fault::KeyMissing => (
                if secret { "SecretKeyMissing" } else { "ConfigMapKeyMissing" },
                format!("the {kind} {name}, which {field} references, has no key {key}: add it."),
            ),
            Fault::Invalid(why) => (
                if secret { "SecretInvalid" } else { "ConfigMapInvalid" },
                format!(
                    "the key {key} of the {kind} {name}, which {field} references, {why}: it must hold the certificates of the authorities, in PEM form."
                ),
            ),
        };
        Problem::new(reason, message)
    }
}

/// What can be wrong with a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There is no such object.
    Missing,
    /// It has no such key.
    KeyMissing,
    /// The value is not a list of certificates.
    Invalid(&'static str),
}

/// The certificates of a text, in normalized PEM form. Any other PEM block is refused, so that a private key that was
/// added by mistake is not distributed.
///
/// # Errors
/// [`Fault::Invalid`]
pub(crate) fn decide_bundle(text: &[u8]) -> Result<String, Fault> {
    let mut bundle = String::new();
    for block in Pem::iter_from_buffer(text) {
        let block = block.map_err(|_| Fault::Invalid("is not well-formed"))?;
        if block.label != "CERTIFICATE" {
            return Err(Fault::Invalid("holds data other than certificates"));
        }
        if block.parse_x509().is_err() {
            return Err(Fault::Invalid("holds a certificate that cannot be parsed"));
        }
        write_pem(&mut bundle, &block.contents);
    }
    if bundle.is_empty() {
        return Err(Fault::Invalid("holds no certificate"));
    }
    Ok(bundle)
}

/// All bundles as one.
///
/// # Errors
/// The first problem, or that the bundles are too large in total.
pub(crate) fn decide_all(bundles: Vec<Result<String, Problem>>) -> Result<String, Problem> {
    let all = bundles.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    if all.len() > MOST_BYTES {
        return Err(Problem::new(
            "InvalidSpec",
            format!(
                "the certificates in spec.trustedCAs have more than {MOST_BYTES} bytes in total: remove those that are not needed."
            ),
        ));
    }
    Ok(all)
}

fn write_pem(bundle: &mut String, certificate: &[u8]) {
    bundle.push_str("-----BEGIN CERTIFICATE-----\n");
    let text = BASE64_STANDARD.encode(certificate);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        let _ = writeln!(bundle, "{line}");
        rest = after;
    }
    bundle.push_str("-----END CERTIFICATE-----\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CERTIFICATE: &str = include_str!("fixtures/certificate.pem");
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";

    #[test]
    fn only_certificates_are_copied_from_a_bundle() {
        let one = decide_bundle(CERTIFICATE.as_bytes()).unwrap();
        let two = decide_bundle(format!("# ours\r\n{CERTIFICATE}\nand\n{CERTIFICATE}").as_bytes()).unwrap();
        assert_eq!(two, one.repeat(2));
        assert_eq!(decide_bundle(two.as_bytes()).as_ref(), Ok(&two), "it is kept as it is read again");
    }

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        for (text, words) in [
            (String::new(), "no certificate"),
            ("hello".to_owned(), "no certificate"),
            (KEY.to_owned(), "other than certificates"),
            (format!("{CERTIFICATE}{KEY}"), "other than certificates"),
            (CERTIFICATE.replace("MII", "AII"), "cannot be parsed"),
            (CERTIFICATE.replace("-----END CERTIFICATE-----", ""), ""),
        ] {
            let Err(Fault::Invalid(why)) = decide_bundle(text.as_bytes()) else { panic!("{text}") };
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn the_first_problem_counts_and_size_has_a_limit() {
        let place = Place { kind: "ConfigMap", name: "ca", key: "ca.crt", field: "spec.trustedCAs[0]" };
        let problem = place.problem(Fault::Missing);
        assert_eq!(problem.reason, "ConfigMapMissing");
        assert_eq!(decide_all(vec![Ok("a".to_owned()), Err(problem.clone())]), Err(problem));
        assert_eq!(decide_all(vec![Ok("a".to_owned()), Ok("b".to_owned())]), Ok("ab".to_owned()));
        assert!(decide_all(vec![Ok("a".repeat(MOST_BYTES + 1))]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_accepted_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..1500_usize) {
            let _ = decide_bundle(&bytes);
            let damaged: String = CERTIFICATE.chars().enumerate().filter(|(place, _)| *place != cut).map(|(_, char)| char).collect();
            let _ = decide_bundle(damaged.as_bytes());
        }
    }
}
