//! The rules for the names and values of clients. The operator refuses an `AuthClient` that breaks one, with the same
//! words that the server would refuse the registry with.

/// The maximum length of a client id, in characters: each request carries it in its access token.
pub const MAX_CLIENT_ID: usize = 128;
/// The maximum length of a scope token, in characters.
pub const MAX_SCOPE: usize = 128;
/// The maximum number of scopes of a client.
pub const MAX_SCOPES: usize = 64;
/// The maximum length of an audience, in characters.
pub const MAX_AUDIENCE: usize = 512;
/// The maximum number of audiences of a client.
pub const MAX_AUDIENCES: usize = 32;
/// The shortest lifetime of an access token of a client, in seconds.
pub const MIN_ACCESS_TOKEN_TTL: u32 = 60;
/// The longest lifetime of an access token of a client, in seconds.
pub const MAX_ACCESS_TOKEN_TTL: u32 = 3_600;
/// The longest lifetime of a refresh token of a client, in seconds: a year.
pub const MAX_REFRESH_TOKEN_TTL: u32 = 365 * 24 * 3_600;

/// Client ids that the server itself uses in `client_id` of tokens for which no client was named.
const RESERVED: [&str; 1] = ["latchkey"];

/// Why `id` cannot be the id of a registered client, if it cannot: the rest of a sentence that starts with its name.
///
/// RFC 6749 appendix A.1 allows spaces; they are refused here because the id becomes the value of a header. An id of digits
/// could be taken for the id of an account in `sub` (RFC 9700 §4.15).
pub fn client_id_fault(id: &str) -> Option<&'static str> {
    if id.is_empty() || id.len() > MAX_CLIENT_ID {
        Some("must have 1 to 128 characters")
    } else if !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some("must have printable ASCII characters only, and no spaces")
    } else if id.bytes().all(|byte| byte.is_ascii_digit()) {
        Some("must not consist of digits only, because accounts have such ids")
    } else if RESERVED.contains(&id) {
        Some("is reserved")
    } else {
        None
    }
}

/// Why `scope` is not a scope token (RFC 6749 §3.3), if it is not.
pub fn scope_fault(scope: &str) -> Option<&'static str> {
    let valid = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if scope.is_empty() || scope.len() > MAX_SCOPE {
        Some("must have 1 to 128 characters")
    } else if !scope.bytes().all(valid) {
        Some("must have printable ASCII characters only, without spaces, quotes and backslashes")
    } else {
        None
    }
}

/// Why `audience` is not an audience, if it is not: a name or an absolute URI without a fragment (RFC 8707 §2).
pub fn audience_fault(audience: &str) -> Option<&'static str> {
    if audience.is_empty() || audience.len() > MAX_AUDIENCE {
        Some("must have 1 to 512 characters")
    } else if !audience.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some("must have printable ASCII characters only, and no spaces")
    } else if audience.contains('#') {
        Some("must not have a fragment")
    } else {
        None
    }
}
