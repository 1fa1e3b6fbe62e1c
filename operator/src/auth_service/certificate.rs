//! Validity of a TLS certificate: its host names and validity period. Pure. The trust chain is not checked.

use std::net::IpAddr;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

/// How long before its expiry a certificate is reported. Automatic renewal is done earlier (cert-manager renews when
/// a third of the lifetime is left).
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The result of the check of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Certificate {
    /// Valid until this time.
    Valid(Timestamp),
    /// Valid until this time, which is soon.
    ExpiresSoon(Timestamp),
    /// Expired at this time.
    Expired(Timestamp),
    /// Valid from this time on.
    NotYetValid(Timestamp),
    /// Not valid for this host.
    WrongHost(String),
    /// Not a PEM certificate.
    Unreadable,
}

impl Certificate {
    /// Whether the certificate is usable, and the reason and message of the condition.
    pub(crate) fn describe(&self, secret: &str) -> (bool, &'static str, String) {
        match self {
            Self::Valid(until) => {
                (true, "Valid", format!("The certificate in the Secret {secret} is valid until {until}."))
            }
            Self::ExpiresSoon(until) => (
                true,
                "ExpiresSoon",
                format!(
                    "The certificate in the Secret {secret} expires at {until}: renew it, or check why it is not renewed."
                ),
            ),
            Self::Expired(until) => (
                false,
                "Expired",
                format!(
                    "The certificate in the Secret {secret} expired at {until}: renew it, or check why it is not renewed."
                ),
            ),
            Self::NotYetValid(from) => (
                false,
                "NotYetValid",
                format!(
                    "The certificate in the Secret {secret} is not valid before {from}: use another certificate, or correct the clocks."
                ),
            ),
            Self::WrongHost(host) => (
                false,
                "WrongHost",
                format!("The certificate in the Secret {secret} is not valid for {host}: replace it."),
            ),
            Self::Unreadable => (
                false,
                "Unreadable",
                format!("The key tls.crt of the Secret {secret} holds no PEM certificate: correct it."),
            ),
        }
    }
}

/// Checks the first certificate of a chain, which is the server's (RFC 8446 §4.4.2).
pub(crate) fn decide_certificate(pem: &[u8], now: Timestamp, hosts: &[&str]) -> Certificate {
    let Some(Ok(first)) = Pem::iter_from_buffer(pem).next() else { return Certificate::Unreadable };
    let Ok(certificate) = first.parse_x509() else { return Certificate::Unreadable };
    let validity = certificate.validity();
    let (Ok(from), Ok(until)) = (
        Timestamp::from_second(validity.not_before.timestamp()),
        Timestamp::from_second(validity.not_after.timestamp()),
    ) else {
        return Certificate::Unreadable;
    };
    if let Some(host) = hosts.iter().find(|host| !is_for(&certificate, host)) {
        return Certificate::WrongHost((*host).to_owned());
    }
    match until.duration_since(now) {
        _ if now < from => Certificate::NotYetValid(from),
        left if left < SignedDuration::ZERO => Certificate::Expired(until),
        left if left < SOON => Certificate::ExpiresSoon(until),
        _ => Certificate::Valid(until),
    }
}

/// Only by the subject alternative names (RFC 9525 §6.3).
fn is_for(certificate: &X509Certificate<'_>, host: &str) -> bool {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
    let address: Option<IpAddr> = host.parse().ok();
    names.value.general_names.iter().any(|name| match (name, address) {
        (GeneralName::DNSName(name), None) => matches_host(name, host),
        (GeneralName::IPAddress(bytes), Some(IpAddr::V4(address))) => *bytes == address.octets(),
        (GeneralName::IPAddress(bytes), Some(IpAddr::V6(address))) => *bytes == address.octets(),
        _ => false,
    })
}

/// A `*` stands for one complete leftmost label.
fn matches_host(name: &str, host: &str) -> bool {
    let host = host.trim_end_matches('.');
    match name.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(first, rest)| !first.is_empty() && rest.eq_ignore_ascii_case(parent)),
        None => name.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::ToSpan;

    use super::*;

    const PEM: &[u8] = include_bytes!("fixtures/certificate.pem");

    fn until() -> Timestamp {
        "2027-02-22T18:10:23Z".parse().unwrap()
    }

    #[test]
    fn the_validity_period_is_reported() {
        let decide = |now| decide_certificate(PEM, now, &["auth.example.com"]);
        let day = |days: i64| (24 * days).hours();
        assert_eq!(decide(until() - day(15)), Certificate::Valid(until()));
        assert_eq!(decide(until() - day(13)), Certificate::ExpiresSoon(until()));
        assert_eq!(decide(until()), Certificate::ExpiresSoon(until()));
        assert_eq!(decide(until() + 1.second()), Certificate::Expired(until()));
        assert_eq!(decide(until() - day(91)), Certificate::NotYetValid(until() - day(90)));
    }

    #[test]
    fn the_certificate_must_be_valid_for_every_host() {
        let decide = |hosts: &[&str]| decide_certificate(PEM, until() - 1000.hours(), hosts);
        for good in ["auth.example.com", "AUTH.example.com.", "a.apps.example.com", "192.0.2.7"] {
            assert_eq!(decide(&[good]), Certificate::Valid(until()), "{good}");
        }
        for bad in [
            "example.com",
            "a.b.apps.example.com",
            "apps.example.com",
            ".apps.example.com",
            "192.0.2.8",
            "2001:db8::1",
        ] {
            assert_eq!(decide(&["auth.example.com", bad]), Certificate::WrongHost(bad.to_owned()));
        }
    }

    #[test]
    fn a_file_without_a_certificate_is_unreadable() {
        let garbage: [&[u8]; 3] =
            [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &PEM[..200]];
        for pem in garbage {
            assert_eq!(decide_certificate(pem, until(), &[]), Certificate::Unreadable);
        }
    }
}
