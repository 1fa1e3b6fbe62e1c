//! Whether an AuthService accepts an AuthClient, and the client that it registers.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};
use latchkey_clients::{
    Client, ClientType as RegistryType, GrantType as RegistryGrant, Registry, RegistryError,
};
use latchkey_crds::auth_client::{ClientType, GrantType};
use latchkey_crds::auth_service::{Clients, NamespacesFrom, parse_seconds};
use latchkey_crds::{AuthClient, AuthService};

use crate::auth_service::problem::Problem;

/// The reason of an AuthClient that its AuthService does not admit, or that asks for more than it may.
const NOT_ALLOWED: &str = "NotAllowed";

/// What is known about the admission of an AuthClient.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admission<'a> {
    /// Its AuthService, if that exists.
    pub service: Option<&'a AuthService>,
    /// The labels of its namespace, if the AuthService selects namespaces by labels.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// Whether an older admitted AuthClient has its client id.
    pub id_is_taken: bool,
    /// Whether as many older AuthClients exist as one AuthService can have.
    pub is_beyond_limit: bool,
}

/// Whether an AuthService admits AuthClients of a namespace. `labels` are needed if it selects namespaces by labels.
pub(crate) fn admits(
    service: &AuthService,
    namespace: &str,
    labels: Option<&BTreeMap<String, String>>,
) -> bool {
    let allowed = &service.spec.clients.allowed_namespaces;
    match allowed.from {
        NamespacesFrom::Same => service.namespace().as_deref() == Some(namespace),
        NamespacesFrom::All => true,
        NamespacesFrom::Selector => {
            // A selector that cannot be parsed admits nothing.
            let selector = allowed.selector.clone().and_then(|selector| Selector::try_from(selector).ok());
            selector.zip(labels).is_some_and(|(selector, labels)| selector.matches(labels))
        }
    }
}

/// The client without credentials that is to be registered.
///
/// # Errors
/// Why the AuthClient is refused. An AuthService that does not exist and one that does not admit the namespace are not
/// distinguished, so that a tenant cannot find out which AuthServices exist.
pub(crate) fn accept(auth_client: &AuthClient, admission: Admission<'_>) -> Result<Client, Problem> {
    let namespace = auth_client.namespace().unwrap_or_default();
    let service =
        admission.service.filter(|service| admits(service, &namespace, admission.labels)).ok_or_else(|| {
            let host = format!(
                "{}/{}",
                auth_client.auth_service_namespace(),
                auth_client.spec.auth_service_ref.name
            );
            Problem::new(
                NOT_ALLOWED,
                format!(
                    "The AuthService {host} does not exist, or its spec.clients.allowedNamespaces does not admit the namespace {namespace}: ask its owner, or create an AuthClient with another spec.authServiceRef."
                ),
            )
        })?;
    within_maximum(auth_client, &service.spec.clients)?;
    let client = client(auth_client)?;
    // The registry has the same rules, and says which one is violated.
    if let Err(RegistryError::Client { reason, .. }) = Registry::new(0, vec![client.clone()]) {
        return Err(Problem::new(
            "Invalid",
            format!("The client {} {reason}: correct the spec.", client.client_id),
        ));
    }
    if admission.id_is_taken {
        return Err(Problem::new(
            "ClientIdTaken",
            format!(
                "An older AuthClient of this AuthService has the client id {}: create an AuthClient with another spec.clientId.",
                client.client_id
            ),
        ));
    }
    if admission.is_beyond_limit {
        let most = latchkey_clients::MAX_CLIENTS;
        return Err(Problem::new(
            "TooManyClients",
            format!(
                "The AuthService has {most} older AuthClients, which is the maximum: delete some, or use another AuthService."
            ),
        ));
    }
    Ok(client)
}

/// The first scope, audience or grant that exceeds `spec.clients.maximum`.
fn within_maximum(auth_client: &AuthClient, clients: &Clients) -> Result<(), Problem> {
    let (spec, maximum) = (&auth_client.spec, &clients.maximum);
    let beyond = |asked: &[String], most: Option<&Vec<String>>| -> Option<String> {
        let most = most?;
        asked.iter().find(|name| !most.contains(name)).cloned()
    };
    let names = |grants: &[GrantType]| -> Vec<String> {
        grants.iter().map(|grant| grant.as_str().to_owned()).collect()
    };
    let most_grants = maximum.grant_types.as_deref().map(names);
    let found = beyond(&spec.scopes, maximum.scopes.as_ref())
        .map(|name| ("scope", name))
        .or_else(|| beyond(&spec.audiences, maximum.audiences.as_ref()).map(|name| ("audience", name)))
        .or_else(|| beyond(&names(&spec.grant_types), most_grants.as_ref()).map(|name| ("grant", name)));
    found.map_or(Ok(()), |(what, name)| {
        Err(Problem::new(
            NOT_ALLOWED,
            format!("The AuthService does not allow its clients the {what} {name} (its spec.clients.maximum): remove it, or ask its owner."),
        ))
    })
}

fn client(auth_client: &AuthClient) -> Result<Client, Problem> {
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
        },
        grant_types: spec
            .grant_types
            .iter()
            .map(|grant| match grant {
                GrantType::ClientCredentials => RegistryGrant::ClientCredentials,
                GrantType::RefreshToken => RegistryGrant::RefreshToken,
                GrantType::Password => RegistryGrant::Password,
            })
            .collect(),
        scopes: spec.scopes.clone(),
        audiences: spec.audiences.clone(),
        allowed_groups: Vec::new(),
        access_token_ttl: seconds(&spec.tokens.access_token_ttl, "spec.tokens.accessTokenTTL")?,
        refresh_token_ttl: seconds(&spec.tokens.refresh_token_ttl, "spec.tokens.refreshTokenTTL")?,
        credentials: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixtures::{auth_client, auth_service};
    use super::*;

    fn decide(
        client: Value,
        clients: Value,
        labels: Option<&BTreeMap<String, String>>,
    ) -> Result<Client, Problem> {
        let service = auth_service(clients);
        let admission =
            Admission { service: Some(&service), labels, id_is_taken: false, is_beyond_limit: false };
        accept(&auth_client(client), admission)
    }

    const NO_SERVICE: Admission<'static> =
        Admission { service: None, labels: None, id_is_taken: false, is_beyond_limit: false };

    fn reason(result: Result<Client, Problem>) -> &'static str {
        result.map_or_else(|problem| problem.reason, |_| "")
    }

    #[test]
    fn an_accepted_client_has_what_its_spec_says() {
        let spec = json!({
            "clientId": "orders", "scopes": ["a"], "audiences": ["b"],
            "grantTypes": ["client_credentials", "refresh_token"],
            "tokens": {"accessTokenTTL": "5m", "refreshTokenTTL": "1h30m"},
        });
        let client = decide(spec, json!({}), None).unwrap();
        assert_eq!((client.client_id.as_str(), client.access_token_ttl), ("orders", 300));
        assert_eq!((client.refresh_token_ttl, client.grant_types.len()), (5400, 2));
        assert_eq!(decide(json!({}), json!({}), None).unwrap().client_id, "shop.orders");
    }

    #[test]
    fn only_admitted_namespaces_may_register_clients() {
        let labelled = [("team".to_owned(), "shop".to_owned())].into();
        let clients = |allowed: Value| json!({"allowedNamespaces": allowed});
        let selector = || clients(json!({"from": "Selector", "selector": {"matchLabels": {"team": "shop"}}}));
        let elsewhere = || json!({"authServiceRef": {"name": "auth", "namespace": "identity"}});
        let refused = [
            decide(elsewhere(), clients(json!({"from": "Same"})), None),
            decide(elsewhere(), selector(), None),
            decide(elsewhere(), clients(json!({"from": "Selector"})), Some(&labelled)),
            accept(&auth_client(elsewhere()), NO_SERVICE),
        ];
        let messages: Vec<_> = refused.iter().map(|result| result.clone().unwrap_err().message).collect();
        assert!(messages.iter().all(|message| *message == messages[0]), "{messages:?}");
        assert!(refused.into_iter().all(|result| reason(result) == NOT_ALLOWED));
        assert!(decide(elsewhere(), clients(json!({"from": "All"})), None).is_ok());
        assert!(decide(elsewhere(), selector(), Some(&labelled)).is_ok());
        let own = auth_service(json!({}));
        assert!(admits(&own, "shop", None) && !admits(&own, "identity", None));
    }

    #[test]
    fn a_client_asks_for_no_more_than_the_maximum() {
        let maximum = |most: Value| json!({"allowedNamespaces": {"from": "All"}, "maximum": most});
        for (asked, most, word) in [
            (json!({"scopes": ["a", "b"]}), json!({"scopes": ["a"]}), "scope b"),
            (json!({"audiences": ["a"]}), json!({"audiences": []}), "audience a"),
            (
                json!({"grantTypes": ["password"]}),
                json!({"grantTypes": ["client_credentials"]}),
                "grant password",
            ),
        ] {
            let problem = decide(asked.clone(), maximum(most), None).unwrap_err();
            assert!(problem.reason == NOT_ALLOWED && problem.message.contains(word), "{problem:?}");
            assert!(decide(asked, maximum(json!({})), None).is_ok());
        }
        let within = json!({"scopes": ["a"]});
        assert!(decide(within.clone(), maximum(within), None).is_ok());
    }

    #[test]
    fn an_invalid_client_an_id_in_use_and_one_too_many_are_refused() {
        for invalid in [
            json!({"clientId": "12"}),
            json!({"clientId": "latchkey"}),
            json!({"clientId": "a b"}),
            json!({"scopes": ["a\""]}),
            json!({"audiences": ["https://a#b"]}),
            json!({"type": "public"}),
            json!({"tokens": {"accessTokenTTL": "2h"}}),
            json!({"tokens": {"accessTokenTTL": "soon"}}),
        ] {
            assert_eq!(reason(decide(invalid.clone(), json!({}), None)), "Invalid", "{invalid}");
        }
        let service = auth_service(json!({}));
        let admission = Admission { service: Some(&service), ..NO_SERVICE };
        let reason_of = |admission| reason(accept(&auth_client(json!({})), admission));
        assert_eq!(reason_of(Admission { id_is_taken: true, ..admission }), "ClientIdTaken");
        assert_eq!(reason_of(Admission { is_beyond_limit: true, ..admission }), "TooManyClients");
    }
}
