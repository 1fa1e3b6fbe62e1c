//! An AuthClient and its AuthService for the tests.

use latchkey_crds::{AuthClient, AuthService};
use serde_json::{Value, json};

pub(crate) const UID: &str = "00000000-0000-0000-0000-000000000002";

/// The AuthClient shop/orders with this spec; its AuthService is shop/auth by default.
pub(crate) fn auth_client(mut spec: Value) -> AuthClient {
    if spec.get("authServiceRef").is_none() {
        spec["authServiceRef"] = json!({"name": "auth"});
    }
    serde_json::from_value(json!({
        "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthClient",
        "metadata": {"name": "orders", "namespace": "shop", "uid": UID},
        "spec": spec,
    }))
    .unwrap()
}

/// The AuthService with this `spec.clients`: identity/auth if it chooses namespaces, otherwise shop/auth.
pub(crate) fn auth_service(clients: Value) -> AuthService {
    let namespace = if clients.get("allowedNamespaces").is_some() { "identity" } else { "shop" };
    let mut object = json!({
        "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService",
        "metadata": {"name": "auth", "namespace": namespace},
        "spec": {},
    });
    object["spec"]["clients"] = clients;
    serde_json::from_value(object).unwrap()
}
