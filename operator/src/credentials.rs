//! The generated passwords of the embedded stores: pure, randomness comes in.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use latchkey_config::SecretText;

/// How many random bytes a password is made from.
pub const ENTROPY_BYTES: usize = 32;

/// A password that needs no escaping in a URL, a configuration file or SQL.
pub fn password_from(entropy: &[u8; ENTROPY_BYTES]) -> SecretText {
    SecretText::new(BASE64_URL_SAFE_NO_PAD.encode(entropy))
}

/// The password of an embedded store, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorePassword {
    /// It is in the store's Secret.
    Stored(SecretText),
    /// There was none; this one was made just now and has to be written before anything uses it.
    Generated(SecretText),
    /// It is gone, and the store that knows it still has a volume: another one would not open it.
    Lost,
}

impl StorePassword {
    /// The password, unless it is lost.
    pub fn text(&self) -> Option<&SecretText> {
        match self {
            Self::Stored(text) | Self::Generated(text) => Some(text),
            Self::Lost => None,
        }
    }
}

/// Decides which password an embedded store has. `stored` is what its Secret holds, `bound_to_volume` whether
/// a store exists whose volume remembers the password it was made with.
pub fn decide_password(
    stored: Option<SecretText>,
    bound_to_volume: bool,
    fresh: impl FnOnce() -> SecretText,
) -> StorePassword {
    match stored {
        Some(text) if !text.expose().is_empty() => StorePassword::Stored(text),
        _ if bound_to_volume => StorePassword::Lost,
        _ => StorePassword::Generated(fresh()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> SecretText {
        password_from(&[7; ENTROPY_BYTES])
    }

    #[test]
    fn a_stored_password_stays() {
        let stored = SecretText::new("kept");
        assert_eq!(decide_password(Some(stored.clone()), true, fresh), StorePassword::Stored(stored));
    }

    #[test]
    fn a_lost_password_is_not_replaced_while_a_volume_remembers_it() {
        assert_eq!(decide_password(None, true, fresh), StorePassword::Lost);
        assert_eq!(decide_password(Some(SecretText::new("")), true, fresh), StorePassword::Lost);
    }

    #[test]
    fn without_a_store_a_password_is_made() {
        assert_eq!(decide_password(None, false, fresh), StorePassword::Generated(fresh()));
    }
}
