//! What was revoked, as the feed says. Pure.

use std::collections::HashMap;

use serde::Deserialize;
use uuid::Uuid;

use crate::token::Token;

/// A page of the feed.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    /// When it was read.
    pub(crate) iat: i64,
    /// The cursor of the request.
    pub(crate) after: Option<String>,
    pub(crate) cursor: String,
    /// The list begins anew with this page.
    pub(crate) reset: bool,
    /// There is another page now.
    pub(crate) more: bool,
    pub(crate) tokens_valid_from: i64,
    pub(crate) revoked: Vec<Revoked>,
    /// In the last page.
    pub(crate) accounts: Option<Vec<Account>>,
}

/// The `sid`, `jti`, `cred` or one of the `prior_creds` of tokens that are refused until they have expired.
#[derive(Debug, Deserialize)]
pub(crate) struct Revoked {
    id: Uuid,
    exp: i64,
}

/// An account of which the sessions until a time have ended, except one.
#[derive(Debug, Deserialize)]
pub(crate) struct Account {
    sub: String,
    issued_until: i64,
    except: Option<Uuid>,
}

/// Everything that was revoked.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    until: HashMap<Uuid, i64>,
    accounts: Vec<Account>,
    tokens_valid_from: i64,
}

impl Revocations {
    pub(crate) fn add(&mut self, page: Page) {
        self.until.extend(page.revoked.into_iter().map(|revoked| (revoked.id, revoked.exp)));
        self.tokens_valid_from = page.tokens_valid_from;
        // Those that are missing in the last page are in the list one by one.
        if let Some(accounts) = page.accounts {
            self.accounts = accounts;
        }
    }

    /// Forgets entries whose tokens have expired.
    pub(crate) fn forget_expired(&mut self, now: i64) {
        self.until.retain(|_, until| *until > now);
    }

    pub(crate) fn covers(&self, token: &Token) -> bool {
        let ids = [Some(token.jti), token.sid, token.cred];
        let is_listed = ids.iter().flatten().chain(&token.prior_creds).any(|id| self.until.contains_key(id));
        let is_of_ended = |account: &Account| {
            token.is_person()
                && account.sub == token.sub
                && token.iat <= account.issued_until
                && (account.except.is_none() || account.except != token.sid)
        };
        is_listed || token.iat < self.tokens_valid_from || self.accounts.iter().any(is_of_ended)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn page(changes: &Value) -> Page {
        let mut page = json!({
            "iss": "i", "iat": 0, "after": null, "cursor": "c", "reset": true, "more": false,
            "tokens_valid_from": 100, "revoked": [], "accounts": [],
        });
        page.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(page).unwrap()
    }

    fn token(changes: &Value) -> Token {
        let mut token =
            json!({"sub": "7", "client_id": "c", "jti": id(1), "sid": id(2), "iat": 200, "exp": 300});
        token.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(token).unwrap()
    }

    #[test]
    fn a_token_is_covered_by_any_of_its_ids() {
        for (number, covered) in [(1, true), (2, true), (3, true), (4, false), (5, true)] {
            let mut revocations = Revocations::default();
            revocations.add(page(&json!({"revoked": [{"id": id(number), "exp": 300}]})));
            let token_with_all = token(&json!({"cred": id(3), "prior_creds": [id(6), id(5)]}));
            assert_eq!(revocations.covers(&token_with_all), covered, "{number}");
            revocations.forget_expired(300);
            assert!(!revocations.covers(&token(&json!({}))));
        }
    }

    #[test]
    fn tokens_of_an_earlier_database_are_covered() {
        let mut revocations = Revocations::default();
        revocations.add(page(&json!({})));
        assert!(revocations.covers(&token(&json!({"iat": 99}))));
        assert!(!revocations.covers(&token(&json!({"iat": 100}))));
    }

    #[test]
    fn an_account_covers_its_sessions_but_one_until_the_last_page_lacks_it() {
        let account = |except: Option<Uuid>| json!([{"sub": "7", "issued_until": 200, "except": except}]);
        let mut revocations = Revocations::default();
        revocations.add(page(&json!({"accounts": account(Some(id(9)))})));
        assert!(revocations.covers(&token(&json!({}))));
        for other in [
            json!({"iat": 201}),
            json!({"sub": "8"}),
            json!({"sid": id(9)}),
            // A client's token, whose subject is another kind of name.
            json!({"sid": null}),
        ] {
            assert!(!revocations.covers(&token(&other)), "{other}");
        }
        revocations.add(page(&json!({"more": true, "accounts": null})));
        assert!(revocations.covers(&token(&json!({}))));
        revocations.add(page(&json!({"accounts": account(None)})));
        assert!(!revocations.covers(&token(&json!({"sid": null}))));
        revocations.add(page(&json!({})));
        assert!(!revocations.covers(&token(&json!({}))));
    }
}
