//! The entry of an AuthClient in the registry.

use latchkey_clients::rules::ADMINISTRATIVE_SCOPES;
use latchkey_clients::{
    ClaimFormat as RegistryFormat, ClaimValue, Client, ClientType as RegistryType,
    GrantType as RegistryGrant, GroupClaim,
};
use latchkey_crds::AuthClient;
use latchkey_crds::auth_client::{ClaimFormat, ClientClaim, ClientType, GrantType};
use latchkey_crds::auth_service::parse_seconds;

use super::credentials::credentials;
use crate::auth_service::problem::Problem;

/// The client with its keys and service accounts, and without its secrets.
///
/// # Errors
/// The field that is not valid.
pub(super) fn client(auth_client: &AuthClient) -> Result<Client, Problem> {
    let spec = &auth_client.spec;
    let seconds = |text: &str, field: &str| {
        let seconds = parse_seconds(text).ok().and_then(|seconds| u32::try_from(seconds).ok());
        seconds.ok_or_else(|| {
            Problem::new("Invalid", format!("{field} is not a duration such as 10m: correct it."))
        })
    };
    Ok(Client {
        client_id: auth_client.client_id(),
        client_type: match spec.client_type {
            ClientType::Confidential => RegistryType::Confidential,
            ClientType::Public => RegistryType::Public,
            ClientType::Workload => RegistryType::Workload,
        },
        grant_types: spec
            .grant_types
            .iter()
            .map(|grant| match grant {
                GrantType::ClientCredentials => RegistryGrant::ClientCredentials,
                GrantType::RefreshToken => RegistryGrant::RefreshToken,
                GrantType::Password => RegistryGrant::Password,
                GrantType::TokenExchange => RegistryGrant::TokenExchange,
            })
            .collect(),
        scopes: spec.scopes.clone(),
        // The AuthService allows them by name: otherwise the client was refused.
        permissions: spec
            .scopes
            .iter()
            .filter(|scope| ADMINISTRATIVE_SCOPES.contains(&scope.as_str()))
            .cloned()
            .collect(),
        audiences: spec.audiences.clone(),
        allowed_groups: spec.allowed_groups.clone(),
        claims: spec.claims.iter().map(group_claim).collect(),
        token_exchange_from: spec.token_exchange.from.clone(),
        access_token_ttl: seconds(&spec.tokens.access_token_ttl, "spec.tokens.accessTokenTTL")?,
        refresh_token_ttl: seconds(&spec.tokens.refresh_token_ttl, "spec.tokens.refreshTokenTTL")?,
        credentials: credentials(auth_client),
    })
}

fn group_claim(claim: &ClientClaim) -> GroupClaim {
    let values = claim.values.iter();
    GroupClaim {
        name: claim.name.clone(),
        format: match claim.format {
            ClaimFormat::Array => RegistryFormat::Array,
            ClaimFormat::SpaceSeparated => RegistryFormat::SpaceSeparated,
        },
        values: values.map(|one| ClaimValue { group: one.group.clone(), value: one.value.clone() }).collect(),
    }
}
