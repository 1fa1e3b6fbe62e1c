//! The buckets of the rate limits.

use std::fmt;
use std::net::IpAddr;

use aws_lc_rs::digest::{Context, SHA256};

use crate::domain::rate_limit::Rate;

/// The kind of subject that a bucket counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The name of an account, whether or not the account exists.
    Account,
    /// A device that has logged in to the account before.
    Device,
    /// An IPv4 address or an IPv6 /64.
    Network,
}

impl Scope {
    /// The name in metrics and in audit events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Device => "device",
            Self::Network => "network",
        }
    }
}

/// Identifies a bucket without personal data: 128 bits of a SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BucketKey([u8; 16]);

impl BucketKey {
    /// Hashes the parts. The separators are unambiguous because the first two parts are constants without zero bytes.
    fn new(action: &str, scope: Scope, subject: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in [action.as_bytes(), b"\0", scope.as_str().as_bytes(), b"\0", subject] {
            context.update(part);
        }
        let mut key = [0; 16];
        key.copy_from_slice(&context.finish().as_ref()[..16]);
        Self(key)
    }

    /// The key in Redis, with this service's key prefix.
    pub(super) fn in_redis(self, prefix: &str) -> String {
        format!("{prefix}limit:{self}")
    }
}

impl fmt::Display for BucketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BucketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A bucket and its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    pub key: BucketKey,
    pub scope: Scope,
    pub rate: Rate,
}

impl Bucket {
    /// The bucket of an account's name, compared case-insensitively, or of another identifier of an account.
    pub fn of_account(action: &str, name: &str, rate: Rate) -> Self {
        let folded = name.to_ascii_lowercase();
        Self { key: BucketKey::new(action, Scope::Account, folded.as_bytes()), scope: Scope::Account, rate }
    }

    /// The bucket of a device, identified by its stored hash.
    pub fn of_device(action: &str, token_hash: &[u8], rate: Rate) -> Self {
        Self { key: BucketKey::new(action, Scope::Device, token_hash), scope: Scope::Device, rate }
    }

    /// The bucket of a network that `Origin::network` returned.
    pub fn of_network(action: &str, network: IpAddr, rate: Rate) -> Self {
        let text = network.to_string();
        Self { key: BucketKey::new(action, Scope::Network, text.as_bytes()), scope: Scope::Network, rate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_ignore_case_and_differ_by_name_action_and_scope() {
        let rate = Rate::per_hour(10);
        let key = |action, name| Bucket::of_account(action, name, rate).key;
        assert_eq!(key("login", "John@Example.com"), key("login", "john@example.COM"));
        assert_ne!(key("login", "john"), key("login", "john@example.com"));
        assert_ne!(key("login", "john"), key("recovery", "john"));
        let network = Bucket::of_network("login", "192.0.2.1".parse().unwrap(), rate).key;
        assert_ne!(key("login", "192.0.2.1"), network);
    }
}
