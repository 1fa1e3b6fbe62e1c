//! The cache of verified tokens. An application sends the same access token with every request, and verifying its signature is
//! the largest part of a request's cost.

use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// The number of tokens that is expected, at about 200 bytes of memory each.
const CAPACITY: usize = 8_192;
/// The most text of the cached tokens, in bytes: names of groups make a token forty times as long as an ordinary one. Its
/// names take at most four times the memory of the text.
const TEXT: u64 = 6 * 1024 * 1024;

/// Verified tokens by their key.
pub(super) type TokenCache<K, V> = Cache<K, Cached<V>, ByText>;

/// A verified token.
#[derive(Clone)]
pub(super) struct Cached<V> {
    /// The serial number of the key set that verified the token. An entry of another key set is ignored, because the token's
    /// key may have been removed.
    pub(super) serial: u64,
    /// The length of its text.
    pub(super) length: usize,
    pub(super) token: V,
}

/// Weighs a token by its text.
#[derive(Clone)]
pub(super) struct ByText;

impl<K, V> Weighter<K, Cached<V>> for ByText {
    fn weight(&self, _: &K, cached: &Cached<V>) -> u64 {
        // A weight of zero would keep the entry for ever.
        cached.length.max(1) as u64
    }
}

pub(super) fn token_cache<K: Eq + std::hash::Hash, V: Clone>() -> TokenCache<K, V> {
    Cache::with_weighter(CAPACITY, TEXT, ByText)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_tokens_replace_each_other_within_six_mebibytes() {
        const LENGTH: usize = 4 * 1024;
        let cache = token_cache();
        for key in 0..4_000 {
            cache.insert(key, Cached { serial: 0, length: LENGTH, token: () });
        }
        let text = cache.len() * LENGTH;
        assert!((5 << 20..=6 << 20).contains(&text), "{text} bytes of text are cached");
    }
}
