//! Whether an AuthService accepts an AuthClient, and the client that it registers.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};
use latchkey_clients::rules::ADMINISTRATIVE_SCOPES;
use latchkey_clients::{Client, Registry, RegistryError};
use latchkey_crds::auth_client::{ClientType, GrantType};
use latchkey_crds::auth_service::{Clients, NamespacesFrom};
use latchkey_crds::{AuthClient, AuthService};

use super::client::client;
use crate::auth_service::problem::Problem;
use crate::auth_service::service_url;

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

/// Whether an AuthClient of a namespace may have a client id. Tokens for the audience of the AuthService are for all of its
/// applications, so a client of this name, which decides who exchanges tokens for them, belongs to the owner.
pub(crate) fn may_have_id(service: &AuthService, namespace: &str, client_id: &str) -> bool {
    let own_namespace = service.namespace().unwrap_or_default();
    let issuer = || {
        let issuer = service.spec.issuer.clone();
        issuer.unwrap_or_else(|| service_url(&service.spec, &service.name_any(), &own_namespace))
    };
    let audience = service.spec.tokens.audience.clone().unwrap_or_else(issuer);
    own_namespace == namespace || client_id.trim_end_matches('/') != audience.trim_end_matches('/')
}

/// The client that is to be registered, with its keys and service accounts, and without its secrets.
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
    if !may_have_id(service, &namespace, &auth_client.client_id()) {
        return Err(Problem::new(
            NOT_ALLOWED,
            "The client id is the audience of the AuthService, which belongs to its owner: create an AuthClient with another spec.clientId.".to_owned(),
        ));
    }
    within_maximum(auth_client, &service.spec.clients)?;
    if auth_client.spec.client_type == ClientType::Workload && !service.spec.workload_identity.enabled {
        let host = &auth_client.spec.auth_service_ref.name;
        return Err(Problem::new(
            "WorkloadIdentityDisabled",
            format!(
                "The AuthService {host} does not accept tokens of ServiceAccounts: ask its owner to set its spec.workloadIdentity.enabled, or set spec.type to confidential."
            ),
        ));
    }
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

/// The first scope, audience, grant or claim that exceeds `spec.clients.maximum`. What lets a client administer the
/// AuthService or act for its users exceeds a list that is unset.
fn within_maximum(auth_client: &AuthClient, clients: &Clients) -> Result<(), Problem> {
    let (spec, maximum) = (&auth_client.spec, &clients.maximum);
    let beyond = |asked: &[String], most: Option<&Vec<String>>, by_name: &[&str]| -> Option<String> {
        let exceeds = |name: &&String| match most {
            Some(most) => !most.contains(name),
            None => by_name.contains(&name.as_str()),
        };
        asked.iter().find(exceeds).cloned()
    };
    let names = |grants: &[GrantType]| -> Vec<String> {
        grants.iter().map(|grant| grant.as_str().to_owned()).collect()
    };
    let claims: Vec<_> = spec.claims.iter().map(|claim| claim.name.clone()).collect();
    let most_grants = maximum.grant_types.as_deref().map(names);
    let token_exchange = [GrantType::TokenExchange.as_str()];
    let found = beyond(&spec.scopes, maximum.scopes.as_ref(), &ADMINISTRATIVE_SCOPES)
        .map(|name| ("scope", name))
        .or_else(|| beyond(&spec.audiences, maximum.audiences.as_ref(), &[]).map(|name| ("audience", name)))
        .or_else(|| {
            let grants = names(&spec.grant_types);
            beyond(&grants, most_grants.as_ref(), &token_exchange).map(|name| ("grant", name))
        })
        .or_else(|| beyond(&claims, maximum.claims.as_ref(), &[]).map(|name| ("claim", name)));
    found.map_or(Ok(()), |(what, name)| {
        Err(Problem::new(
            NOT_ALLOWED,
            format!("The AuthService does not allow its clients the {what} {name} (its spec.clients.maximum): remove it, or ask its owner."),
        ))
    })
}

#[cfg(test)]
mod tests {
    use latchkey_clients::{ClaimFormat, ClaimValue, GroupClaim};
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

    fn roles_claim() -> Value {
        json!({"name": "roles", "values": [{"group": "a", "value": "b"}]})
    }

    fn reason(result: Result<Client, Problem>) -> &'static str {
        result.map_or_else(|problem| problem.reason, |_| "")
    }

    #[test]
    fn an_accepted_client_has_what_its_spec_says() {
        let spec = json!({
            "clientId": "orders", "scopes": ["a"], "audiences": ["b"],
            "grantTypes": ["client_credentials", "refresh_token"],
            "tokens": {"accessTokenTTL": "5m", "refreshTokenTTL": "1h30m"},
            "allowedGroups": ["shop/staff"],
            "claims": [{"name": "roles", "format": "SpaceSeparated", "values": [{"group": "a", "value": "b"}]}],
        });
        let client = decide(spec, json!({}), None).unwrap();
        assert_eq!((client.client_id.as_str(), client.access_token_ttl), ("orders", 300));
        assert_eq!((client.refresh_token_ttl, client.grant_types.len()), (5400, 2));
        assert_eq!(client.allowed_groups, ["shop/staff"]);
        let value = ClaimValue { group: "a".to_owned(), value: "b".to_owned() };
        let claim =
            GroupClaim { name: "roles".to_owned(), format: ClaimFormat::SpaceSeparated, values: vec![value] };
        assert_eq!(client.claims, [claim]);
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
            (json!({"claims": [roles_claim()]}), json!({"claims": ["permissions"]}), "claim roles"),
        ] {
            let problem = decide(asked.clone(), maximum(most), None).unwrap_err();
            assert!(problem.reason == NOT_ALLOWED && problem.message.contains(word), "{problem:?}");
            assert!(decide(asked, maximum(json!({})), None).is_ok());
        }
        let within = json!({"scopes": ["a"]});
        assert!(decide(within.clone(), maximum(within), None).is_ok());
    }

    #[test]
    fn power_over_others_has_to_be_allowed_by_name() {
        let maximum = |most: Value| json!({"allowedNamespaces": {"from": "All"}, "maximum": most});
        let exchange = GrantType::TokenExchange.as_str();
        let mut asked: Vec<_> = ADMINISTRATIVE_SCOPES
            .map(|scope| (json!({"scopes": ["a", scope]}), json!({"scopes": ["a", scope]}), scope))
            .into();
        asked.push((
            json!({"grantTypes": ["client_credentials", exchange]}),
            json!({"grantTypes": ["client_credentials", exchange]}),
            exchange,
        ));
        for (spec, list, word) in asked {
            for most in [
                json!({}),
                json!({"audiences": []}),
                json!({"scopes": ["a"], "grantTypes": ["client_credentials"]}),
            ] {
                let problem = decide(spec.clone(), maximum(most.clone()), None).unwrap_err();
                assert!(
                    problem.reason == NOT_ALLOWED && problem.message.contains(word),
                    "{most}: {problem:?}"
                );
            }
            // Also in the AuthService's own namespace.
            assert_eq!(reason(decide(spec.clone(), json!({}), None)), NOT_ALLOWED);
            let client = decide(spec, maximum(list), None).unwrap();
            let expected: &[&str] = if word == exchange { &[] } else { &[word] };
            assert_eq!(client.permissions, expected, "{word}");
        }
    }

    #[test]
    fn only_the_owner_registers_a_client_whose_id_is_the_audience() {
        let id = |id: &str| json!({"clientId": id, "tokenExchange": {"from": ["web"]}});
        let all = json!({"allowedNamespaces": {"from": "All"}});
        let issuer = "http://auth.identity.svc";
        for taken in [issuer.to_owned(), format!("{issuer}/")] {
            assert_eq!(reason(decide(id(&taken), all.clone(), None)), NOT_ALLOWED, "{taken}");
        }
        assert!(decide(id("http://auth.shop.svc"), all, None).is_ok());
        let own = decide(id("http://auth.shop.svc"), json!({}), None).unwrap();
        assert_eq!(own.token_exchange_from, ["web"]);
    }

    #[test]
    fn an_invalid_client_an_id_in_use_and_one_too_many_are_refused() {
        for invalid in [
            json!({"clientId": "12"}),
            json!({"clientId": "latchkey"}),
            json!({"clientId": "a b"}),
            json!({"scopes": ["a\""]}),
            json!({"audiences": ["https://a#b"]}),
            json!({"tokenExchange": {"from": ["12"]}}),
            json!({"type": "public"}),
            json!({"tokens": {"accessTokenTTL": "2h"}}),
            json!({"allowedGroups": ["system:masters"]}),
            json!({"claims": [{"name": "Sub", "values": [{"group": "a", "value": "1"}]}]}),
            json!({"claims": [{"name": "groups", "values": [{"group": "a", "value": "b"}]}]}),
            json!({"claims": [{"name": "roles", "values": [{"group": "a b", "value": "b"}]}]}),
            json!({"claims": [roles_claim(), roles_claim()]}),
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

    #[test]
    fn a_workload_needs_an_auth_service_that_reviews_tokens() {
        let workload = auth_client(json!({"type": "workload", "serviceAccounts": [{"name": "orders"}]}));
        let mut service = auth_service(json!({}));
        let accepted =
            |service: &AuthService| accept(&workload, Admission { service: Some(service), ..NO_SERVICE });
        assert_eq!(reason(accepted(&service)), "WorkloadIdentityDisabled");
        service.spec.workload_identity.enabled = true;
        let client = accepted(&service).unwrap();
        assert_eq!(client.credentials[0].service_account(), Some(("shop", "orders")));
    }

    #[test]
    fn keys_have_to_be_strong() {
        let x = "A".repeat(43);
        let key = |key: Value| decide(json!({"jwks": {"keys": [key]}}), json!({}), None);
        assert!(key(json!({"kty": "OKP", "crv": "Ed25519", "x": x})).is_ok());
        for weak in [
            json!({"kty": "OKP", "crv": "X25519", "x": x}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": "A"}),
            json!({"kty": "EC", "crv": "P-384", "x": x, "y": x}),
            json!({"kty": "RSA", "n": "A".repeat(342), "e": "AQAB"}),
            json!({"kty": "RSA", "n": format!("{}B", "_".repeat(170)), "e": "AQAB"}),
            json!({"kty": "RSA", "n": format!("{}w", "_".repeat(341)), "e": "Aw"}),
        ] {
            assert_eq!(reason(key(weak.clone())), "Invalid", "{weak}");
        }
        assert!(key(json!({"kty": "RSA", "n": format!("{}w", "_".repeat(341)), "e": "AQAB"})).is_ok());
    }
}
