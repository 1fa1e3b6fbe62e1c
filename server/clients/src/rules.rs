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
/// The maximum number of groups whose members may use a client.
pub const MAX_ALLOWED_GROUPS: usize = 64;
/// The maximum length of the name of a group, in characters.
pub const MAX_GROUP_NAME: usize = 128;
/// The maximum length of the name of a claim, in characters.
pub const MAX_CLAIM_NAME: usize = 128;
/// The maximum number of claims of a client.
pub const MAX_CLAIMS: usize = 8;
/// The maximum number of values of a claim.
pub const MAX_CLAIM_VALUES: usize = 64;
/// The most that the claims of a client add to a token, in bytes of JSON: a token has to fit into a header.
pub const MAX_CLAIMS_SIZE: usize = 4_096;
/// The maximum number of clients whose exchanged tokens a client accepts.
pub const MAX_EXCHANGING_CLIENTS: usize = 64;
/// Scopes that are permissions at the server itself. A client has one only if the owner of the server has allowed it by name.
pub const ADMINISTRATIVE_SCOPES: [&str; 4] = ["audit.read", "groups.manage", "users.read", "users.write"];
/// The shortest lifetime of an access token of a client, in seconds.
pub const MIN_ACCESS_TOKEN_TTL: u32 = 60;
/// The longest lifetime of an access token of a client, in seconds.
pub const MAX_ACCESS_TOKEN_TTL: u32 = 3_600;
/// The longest lifetime of a refresh token of a client, in seconds: a year.
pub const MAX_REFRESH_TOKEN_TTL: u32 = 365 * 24 * 3_600;

/// The maximum number of keys of a client: the old and the new one during a rotation, and some more. All clients of an
/// AuthService have to fit in one Secret.
pub const MAX_KEYS: usize = 4;
/// The maximum number of service accounts of a client.
pub const MAX_SERVICE_ACCOUNTS: usize = 16;
/// The maximum length of the id of a key, in characters.
pub const MAX_KID: usize = 128;
/// Kubernetes gives groups of this prefix rights of its own, for example `system:masters`. A cluster that accepts our tokens
/// without a prefix of its own for their groups would give them to the members.
const RESERVED_GROUP_PREFIX: &str = "system:";

/// Claims that a client cannot have as its own, in lower case: those that this server writes or reads, and registered ones
/// about the token, its subject or its client, which verifiers trust whatever the client is. `roles` and `entitlements`
/// (RFC 9068 §2.2.3.1) are not among them.
const RESERVED_CLAIMS: &[&str] = &[
    // RFC 7519 §4.1
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    // This server.
    "sid",
    "cred",
    "workload",
    "client_id",
    "scope",
    "groups",
    "username",
    "token_type",
    "active",
    "typ",
    "is_superuser",
    // RFC 7662, RFC 7800, RFC 8693, RFC 9068, RFC 9396, RFC 9493, RFC 8485, RFC 8417, OpenID Connect
    "scp",
    "cnf",
    "act",
    "may_act",
    "authorization_details",
    "sub_id",
    "vot",
    "vtm",
    "events",
    "txn",
    "auth_time",
    "acr",
    "amr",
    "azp",
    "nonce",
    "at_hash",
    "c_hash",
    "s_hash",
    "sub_jwk",
    "name",
    "given_name",
    "family_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "profile",
    "picture",
    "website",
    "email",
    "email_verified",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "phone_number",
    "phone_number_verified",
    "address",
    "updated_at",
];

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

/// Why `name` is not the name of a group, if it is not. A name can stand in a header, in a list separated by commas or spaces,
/// and in a path. Between slashes there is a letter, a digit or `_` first: neither `..` nor an empty part, which proxies
/// resolve. It may begin with one slash, as paths of groups in Keycloak do.
pub fn group_name_fault(name: &str) -> Option<&'static str> {
    let is_reserved = name
        .get(..RESERVED_GROUP_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_GROUP_PREFIX));
    let is_part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
            && part.chars().all(is_group_name_char)
    };
    if name.is_empty() || name.len() > MAX_GROUP_NAME {
        Some("must have 1 to 128 characters")
    } else if is_reserved {
        Some("must not begin with system:")
    } else if !name.strip_prefix('/').unwrap_or(name).split('/').all(is_part) {
        Some(
            "must have ASCII letters, digits or . _ - : / only, with a letter, a digit or _ first and after each slash",
        )
    } else {
        None
    }
}

/// Whether a character may stand in the name of a group, apart from the slash.
pub fn is_group_name_char(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-' | ':')
}

/// Why a client cannot have a claim of this name, if it cannot. Reserved names are compared without regard to case, because
/// some verifiers do.
pub fn claim_name_fault(name: &str) -> Option<&'static str> {
    if let Some(reason) = scope_fault(name) {
        Some(reason)
    } else if RESERVED_CLAIMS.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
        Some("is reserved for a claim of tokens themselves")
    } else {
        None
    }
}
