//! What a registered client gets for a person: scopes, the names of groups, and claims of its own.

use std::collections::HashSet;

use latchkey_clients::Client;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Service, ServiceError};
use crate::crypto::PersonClaims;
use crate::domain::Permission;
use crate::store::{GroupsQuery, PersonGroups};

/// The scope with which access tokens contain the names of the person's groups.
const GROUPS: &str = "groups";
/// The most names in a token.
const MAX_GROUPS: usize = 200;
/// The most bytes that scopes, groups and the claims of a client take in a token, as JSON. In base64, with everything
/// else, the token stays below 26 KiB, of the 32 KiB that the head of a request may have
/// (`http::connections::MAX_HEAD_BYTES`).
const MAX_CLAIMS_BYTES: usize = 16 * 1024;

/// What is decided about a login or a refresh through a registered client.
#[derive(Debug)]
pub(super) enum PersonDecision {
    /// The claims of the access token.
    Granted(PersonClaims),
    /// The person is in none of the groups whose members may use the client.
    NotAllowed,
    /// The session has ended.
    Over,
}

/// The scopes of a person's token: those that are requested, or all if none is, in the order in which the client has them. A
/// refresh gets none that the login did not get (RFC 6749 §6), which are `granted_before`. Other requested scopes are ignored
/// (RFC 6749 §3.3).
///
/// A scope with the name of an administrative permission is never granted: the server asks the database what a person may do,
/// and an application must not take the scope for it.
///
/// # Errors
/// [`ServiceError::InvalidScope`] if scopes are requested and none of them can be granted.
pub(super) fn decide_scopes(
    client: &Client,
    requested: &str,
    granted_before: Option<&[String]>,
) -> Result<Vec<String>, ServiceError> {
    let requested: HashSet<_> = requested.split(' ').filter(|scope| !scope.is_empty()).collect();
    let granted: Vec<_> = client
        .scopes
        .iter()
        .filter(|scope| requested.is_empty() || requested.contains(scope.as_str()))
        .filter(|scope| granted_before.is_none_or(|before| before.contains(scope)))
        .filter(|scope| Permission::parse(scope).is_none())
        .cloned()
        .collect();
    if granted.is_empty() && !requested.is_empty() {
        return Err(ServiceError::InvalidScope);
    }
    Ok(granted)
}

/// The claims of a person's token, and whether some groups are missing from it; `None` if the person may not use the client.
fn decide_claims(client: &Client, scopes: &[String], person: &PersonGroups) -> Option<(PersonClaims, bool)> {
    let is_member = |group: &str| person.among.contains(&group.to_ascii_lowercase());
    if !client.allowed_groups.is_empty() && !client.allowed_groups.iter().any(|group| is_member(group)) {
        return None;
    }
    let scope = (!scopes.is_empty()).then(|| scopes.join(" "));
    let more: Map<String, Value> =
        client.claims.iter().map(|claim| (claim.name.clone(), claim.value_for(is_member))).collect();
    let of_client: usize = more.iter().map(|(name, value)| name.len() + value.to_string().len() + 4).sum();
    let mut left =
        MAX_CLAIMS_BYTES.saturating_sub(of_client + scope.as_ref().map_or(0, |scope| scope.len() + 12));
    let mut is_truncated = false;
    let groups = has_groups(scopes).then(|| {
        // In this order until one does not fit: which names are missing depends on nothing but the names.
        let fits = |name: &&String| {
            // The quotes and the comma; no character of a name is escaped.
            let size = name.len() + 3;
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        };
        let names: Vec<_> = person.names.iter().take(MAX_GROUPS).take_while(fits).cloned().collect();
        is_truncated = names.len() < person.names.len();
        names
    });
    Some((PersonClaims { scope, groups, more }, is_truncated))
}

/// The groups that have to be known for a client: one more name than a token has, and those on which the client depends.
/// `None` if it depends on none.
fn groups_query(client: &Client, knows_groups: bool) -> Option<GroupsQuery> {
    let among: HashSet<_> = client.named_groups().map(str::to_ascii_lowercase).collect();
    let limit = if knows_groups { i64::try_from(MAX_GROUPS + 1).unwrap_or(i64::MAX) } else { 0 };
    (limit > 0 || !among.is_empty()).then(|| GroupsQuery { limit, among: among.into_iter().collect() })
}

fn has_groups(scopes: &[String]) -> bool {
    scopes.iter().any(|scope| scope == GROUPS)
}

impl Service {
    /// Decides about a login with these scopes. It reads the groups of the account if the client depends on them.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`]
    pub(super) async fn decide_login(
        &self,
        client: &Client,
        scopes: &[String],
        user_id: i64,
    ) -> Result<PersonDecision, ServiceError> {
        let groups = match groups_query(client, has_groups(scopes)) {
            Some(query) => self.store.find_person_grant(user_id, None, &query).await?.groups,
            None => PersonGroups::default(),
        };
        Ok(self.decide_and_tell(client, scopes, &groups, user_id))
    }

    /// Decides about a refresh: by the groups of now, and with no more scopes than the session has.
    ///
    /// # Errors
    /// [`ServiceError::InvalidScope`], [`ServiceError::Unavailable`]
    pub(super) async fn decide_refresh(
        &self,
        client: &Client,
        requested: &str,
        (user_id, session_id): (i64, Uuid),
    ) -> Result<PersonDecision, ServiceError> {
        let query = groups_query(client, has_groups(&client.scopes));
        if query.is_none() && client.scopes.is_empty() {
            decide_scopes(client, requested, None)?;
            return Ok(PersonDecision::Granted(PersonClaims::default()));
        }
        let query = query.unwrap_or(GroupsQuery { limit: 0, among: Vec::new() });
        let found = self.store.find_person_grant(user_id, Some(session_id), &query).await?;
        let Some(before) = found.scopes else { return Ok(PersonDecision::Over) };
        let scopes = decide_scopes(client, requested, Some(&before))?;
        Ok(self.decide_and_tell(client, &scopes, &found.groups, user_id))
    }

    fn decide_and_tell(
        &self,
        client: &Client,
        scopes: &[String],
        groups: &PersonGroups,
        user_id: i64,
    ) -> PersonDecision {
        let Some((claims, is_truncated)) = decide_claims(client, scopes, groups) else {
            return PersonDecision::NotAllowed;
        };
        if is_truncated {
            self.metrics.count_truncated_groups();
            let (client_id, names) = (&client.client_id, claims.groups.as_ref().map_or(0, Vec::len));
            tracing::warn!(
                user_id,
                client_id,
                names,
                "an access token does not name all groups of the account"
            );
        }
        PersonDecision::Granted(claims)
    }
}

#[cfg(test)]
#[path = "person_grant_tests.rs"]
mod tests;
