//! Requiring a permission for administration. Superusers have all of them, other accounts those of their groups, clients those
//! of their scopes.

use std::sync::Arc;

use latchkey_clients::Client;
use serde_json::json;

use super::auth::me::find_active_profile;
use super::client_tokens::AcceptedClientToken;
use super::require_superuser::{is_refusal, tell_refusal};
use super::{Authenticated, Principal, Service, ServiceError};
use crate::client_registry::ClientRegistry;
use crate::crypto::ClientToken;
use crate::domain::{AuditEvent, AuditKind, Outcome, Permission, Permissions, Power};
use crate::store::{Administrator, Agent, ClientActor, ClientStanding, Right, StoreError};

/// Proof that the bearer had a permission at the time of the check; only [`require_permission`] creates it.
#[derive(Debug, Clone)]
pub struct Permitted(Administrator);

impl Permitted {
    /// The account of the bearer; `None` if it is a client.
    pub fn user_id(&self) -> Option<i64> {
        match &self.0.agent {
            Agent::Account(actor) => Some(actor.user_id),
            Agent::Client(_) => None,
        }
    }

    /// The actor for the store, which asserts in the transaction of the change that the session is still active and the
    /// account, or the client, still has the permission.
    pub(super) fn administrator(&self) -> &Administrator {
        &self.0
    }

    /// Sets the actor of an audit event.
    pub(super) fn attribute<'a>(&self, event: AuditEvent<'a>) -> AuditEvent<'a> {
        self.0.attribute(event)
    }

    /// Maps an error of the store to the response; emits an event for a refusal.
    pub(super) fn explain(&self, service: &Service, error: StoreError) -> ServiceError {
        if is_refusal(&error) {
            self.tell_refusal(service);
        }
        error.into()
    }

    fn tell_refusal(&self, service: &Service) {
        match &self.0.agent {
            Agent::Account(actor) => {
                let (user_id, session_id) = (actor.user_id, actor.session_id);
                tell_refusal(service, Authenticated { user_id, session_id });
            }
            Agent::Client(actor) => {
                // No row, as for an account.
                service.emit(&AuditEvent {
                    kind: AuditKind::AccessDenied,
                    outcome: Outcome::Refused,
                    actor_id: None,
                    user_id: None,
                    session_id: None,
                    origin: None,
                    detail: json!({ "client_id": actor.client.as_str() }),
                });
            }
        }
    }
}

/// Checks the database and the registry of clients, not the token, so that a permission that is withdrawn is missing from the
/// next request on.
///
/// # Errors
/// [`ServiceError::NotPermitted`], [`ServiceError::InvalidAccessToken`] when the account is gone or deactivated, or the client
/// is gone, [`ServiceError::Unavailable`]
pub async fn require_permission(
    service: &Service,
    bearer: Principal,
    permission: Permission,
) -> Result<Permitted, ServiceError> {
    let (agent, power) = match bearer {
        Principal::Person(bearer) => (Agent::Account(bearer.actor()), power_of(service, bearer).await?),
        Principal::Client(token) => {
            let actor = actor_of(service, &token);
            let permissions = actor.standing.permissions()?.ok_or(ServiceError::InvalidAccessToken)?;
            (Agent::Client(actor), Power { is_superuser: false, permissions })
        }
    };
    let permitted = Permitted(Administrator { agent, right: Right::Permission(permission) });
    if power.includes(permission) {
        return Ok(permitted);
    }
    permitted.tell_refusal(service);
    Err(ServiceError::NotPermitted(permission))
}

async fn power_of(service: &Service, bearer: Authenticated) -> Result<Power, ServiceError> {
    let is_superuser = find_active_profile(service, bearer.user_id).await?.is_superuser;
    let permissions = if is_superuser {
        Permissions::default()
    } else {
        service.store.find_permissions(bearer.user_id).await?
    };
    Ok(Power { is_superuser, permissions })
}

fn actor_of(service: &Service, token: &AcceptedClientToken) -> ClientActor {
    let token = token.claims();
    ClientActor {
        client: token.client.clone(),
        jti: token.jti,
        issued_at: token.issued_at,
        standing: Arc::new(RegisteredStanding {
            registry: Arc::clone(&service.clients),
            token: token.clone(),
        }),
    }
}

/// A client as it is registered now.
struct RegisteredStanding {
    registry: Arc<ClientRegistry>,
    token: ClientToken,
}

impl std::fmt::Debug for RegisteredStanding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegisteredStanding").field("token", &self.token).finish_non_exhaustive()
    }
}

impl ClientStanding for RegisteredStanding {
    fn permissions(&self) -> Result<Option<Permissions>, StoreError> {
        let clients = self.registry.clients().map_err(|_| StoreError::UnknownClients)?;
        let id = self.token.client.as_str();
        let client = clients.find(id).filter(|_| clients.has_credential(id, self.token.credential));
        Ok(client.map(|client| permissions_of(client, self.token.scope.as_deref())))
    }
}

/// The permissions that a token with these scopes gives: those that were granted to the token and that the client still has.
fn permissions_of(client: &Client, scope: Option<&str>) -> Permissions {
    let granted = scope.into_iter().flat_map(|scope| scope.split(' '));
    let is_held = |name: &&str| {
        let has = |list: &[String]| list.iter().any(|held| held == name);
        has(&client.permissions) && has(&client.scopes)
    };
    granted.filter(is_held).filter_map(Permission::parse).collect()
}

#[cfg(test)]
mod tests {
    use latchkey_clients::rules::ADMINISTRATIVE_SCOPES;
    use latchkey_clients::{ClientType, GrantType};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_scopes_that_an_owner_has_to_allow_are_the_permissions() {
        assert_eq!(Permission::ALL.map(Permission::as_str), ADMINISTRATIVE_SCOPES);
    }

    fn any_names() -> impl Strategy<Value = Vec<String>> {
        let names = [&ADMINISTRATIVE_SCOPES[..], &["orders:read", "users.delete"]].concat();
        let count = names.len();
        let names: Vec<_> = names.into_iter().map(str::to_owned).collect();
        prop::sample::subsequence(names, 0..=count)
    }

    proptest! {
        #[test]
        fn a_token_gives_what_was_granted_and_is_still_allowed(
            scopes in any_names(), permissions in any_names(), granted in any_names(),
        ) {
            let client = Client {
                client_id: "ops".to_owned(),
                client_type: ClientType::Confidential,
                grant_types: vec![GrantType::ClientCredentials],
                scopes: scopes.clone(),
                permissions: permissions.clone(),
                audiences: Vec::new(),
                allowed_groups: Vec::new(),
                claims: Vec::new(),
                token_exchange_from: Vec::new(),
                access_token_ttl: 600,
                refresh_token_ttl: 600,
                credentials: Vec::new(),
            };
            let found = permissions_of(&client, Some(&granted.join(" ")));
            let power = Power { is_superuser: false, permissions: found };
            for permission in Permission::ALL {
                let name = permission.as_str().to_owned();
                let expected = [&scopes, &permissions, &granted].iter().all(|list| list.contains(&name));
                prop_assert_eq!(power.includes(permission), expected, "{}", name);
            }
            prop_assert!(permissions_of(&client, None).is_empty());
        }
    }
}
