//! The generated passwords of the embedded stores. Pure: randomness is an argument.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use latchkey_config::SecretText;

/// The number of random bytes of a password.
pub(crate) const ENTROPY_BYTES: usize = 32;

/// A password that needs no escaping in a URL, a configuration file or SQL.
pub(crate) fn password_from(entropy: &[u8; ENTROPY_BYTES]) -> SecretText {
    SecretText::new(BASE64_URL_SAFE_NO_PAD.encode(entropy))
}

/// The password of an embedded store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StorePassword {
    /// It is stored in the Secret of the store.
    Stored(SecretText),
    /// It was generated just now and must be written before it is used.
    Generated(SecretText),
    /// It is lost, and the store still has a volume that requires it.
    Lost,
}

impl StorePassword {
    /// The password, unless it is lost.
    pub(crate) fn text(&self) -> Option<&SecretText> {
        match self {
            Self::Stored(text) | Self::Generated(text) => Some(text),
            Self::Lost => None,
        }
    }
}

/// Decides the password of an embedded store. `stored` is the value in its Secret; `bound_to_volume`: a store exists
/// whose volume requires the password with which it was created.
pub(crate) fn decide_password(
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
    fn a_lost_password_is_not_replaced_while_a_volume_requires_it() {
        assert_eq!(decide_password(None, true, fresh), StorePassword::Lost);
        assert_eq!(decide_password(Some(SecretText::new("")), true, fresh), StorePassword::Lost);
    }

    #[test]
    fn without_a_store_a_password_is_generated() {
        assert_eq!(decide_password(None, false, fresh), StorePassword::Generated(fresh()));
    }
}
