//! Checking a token by its signature and claims.

use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::error::Refusal;
use crate::keys::{Key, Keys};

/// The content of an access token that was accepted. Handlers find it in the extensions of the request.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Token {
    /// The id of the account, or of the client if the token is its own.
    pub sub: String,
    /// The client that the token was issued to. In the token of a person, a name that the client chose unless a client of
    /// this id is registered.
    pub client_id: String,
    /// The id of the token.
    pub jti: Uuid,
    /// The session; only a person's token has one.
    #[serde(default)]
    pub sid: Option<Uuid>,
    /// The credential of the client; only a token that it got for itself or exchanged has one.
    #[serde(default)]
    pub cred: Option<Uuid>,
    /// Of an exchanged token: the credentials of the clients whose tokens were exchanged before.
    #[serde(default)]
    pub prior_creds: Vec<Uuid>,
    /// When it was issued, in seconds since the Unix epoch.
    pub iat: i64,
    /// When it expires.
    pub exp: i64,
    /// The granted scopes, separated by spaces.
    #[serde(default)]
    pub scope: String,
    /// The names of the person's groups, if the scope `groups` was granted.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The other claims.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Token {
    /// Whether it is the token of a person.
    pub fn is_person(&self) -> bool {
        self.sid.is_some()
    }

    /// Whether a scope was granted.
    pub fn has_scope(&self, scope: &str) -> bool {
        !scope.is_empty() && self.scope.split(' ').any(|granted| granted == scope)
    }

    /// Whether the person is a member of a group.
    pub fn has_group(&self, group: &str) -> bool {
        self.groups.iter().any(|name| name == group)
    }
}

/// What a token must say.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    /// In seconds.
    pub(crate) leeway: u64,
}

impl Rules {
    /// RFC 9068 §4.
    fn of_access_token(&self, key: &Key) -> Validation {
        let mut validation = Validation::new(key.algorithm);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = self.leeway;
        validation
    }

    /// A page has no other registered claims than the issuer and `iat`.
    fn of_page(&self, key: &Key) -> Validation {
        let mut validation = Validation::new(key.algorithm);
        validation.set_issuer(&[&self.issuer]);
        validation.set_required_spec_claims(&["iss"]);
        validation.validate_aud = false;
        validation.validate_exp = false;
        validation
    }
}

/// Checks an access token, except its revocation.
pub(crate) async fn verify(keys: &Keys, rules: &Rules, token: &str) -> Result<Token, Refusal> {
    verify_as("at+jwt", keys, token, |key| rules.of_access_token(key)).await
}

/// Checks the signature and the issuer of a page of the feed.
pub(crate) async fn verify_page<T: DeserializeOwned>(
    keys: &Keys,
    rules: &Rules,
    page: &str,
) -> Result<T, Refusal> {
    verify_as("revocations+jwt", keys, page, |key| rules.of_page(key)).await
}

async fn verify_as<T: DeserializeOwned>(
    typ: &str,
    keys: &Keys,
    text: &str,
    validation: impl Fn(&Key) -> Validation,
) -> Result<T, Refusal> {
    let header = decode_header(text).map_err(|_| Refusal::InvalidToken)?;
    // RFC 8725 §3.11: a token of one kind is never accepted as another. RFC 7515 §4.1.11: nor with unknown critical
    // extensions.
    if header.typ.as_deref() != Some(typ) || header.crit.is_some() {
        return Err(Refusal::InvalidToken);
    }
    let kid = header.kid.ok_or(Refusal::InvalidToken)?;
    let set = keys.with(&kid).await.ok_or(Refusal::Unavailable)?;
    let key = set.find(&kid).ok_or(Refusal::InvalidToken)?;
    // The key determines the algorithm, whatever the header says.
    decode(text, &key.key, &validation(key)).map(|data| data.claims).map_err(|_| Refusal::InvalidToken)
}
