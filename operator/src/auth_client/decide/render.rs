//! The Secret of a confidential client.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::core::{DynamicObject, ObjectMeta};
use kube::{Resource, ResourceExt};
use latchkey_crds::auth_client::ClientSecret;
use latchkey_crds::{AuthClient, AuthService};
use serde_json::Value;

use super::secret::{Stored, generated_proof};
use crate::auth_service::service_url;
use crate::fingerprint::keyed_fingerprint;
use crate::names::{
    GENERATED_ANNOTATION, RENDERED_ANNOTATION, ROTATE_SECRET_ANNOTATION, ROTATED_AT_ANNOTATION, client_labels,
};

/// The path of the token endpoint below the issuer.
const TOKEN_PATH: &str = "/api/v1/auth/token";

/// The Secret as it is to be, as JSON.
#[derive(Clone, PartialEq)]
pub(crate) struct RenderedSecret {
    pub name: String,
    pub value: Value,
}

// It contains the client secret.
impl std::fmt::Debug for RenderedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RenderedSecret").field("name", &self.name).finish_non_exhaustive()
    }
}

impl RenderedSecret {
    /// Whether the object has everything that is rendered. Fields of other writers are allowed.
    pub(crate) fn is_in(&self, live: &DynamicObject) -> bool {
        let metadata = serde_json::to_value(&live.metadata).unwrap_or_default();
        let parts = ["labels", "annotations", "ownerReferences"];
        parts.into_iter().all(|part| contains(&metadata[part], &self.value["metadata"][part]))
            && contains(&live.data["data"], &self.value["data"])
    }
}

/// Renders the Secret. `None` if the object lacks metadata that the API server always sets.
///
/// # Errors
/// When it cannot be serialized.
pub(crate) fn render(
    auth_client: &AuthClient,
    service: &AuthService,
    stored: &Stored,
) -> Result<RenderedSecret, serde_json::Error> {
    let default = ClientSecret::default();
    let spec = auth_client.spec.secret.as_ref().unwrap_or(&default);
    let name = auth_client.secret_name().unwrap_or_default();
    let mut labels = spec.labels.clone();
    labels.extend(client_labels());
    let mut annotations = spec.annotations.clone();
    let uid = auth_client.uid().unwrap_or_default();
    annotations.insert(GENERATED_ANNOTATION.to_owned(), generated_proof(&stored.text, &uid));
    annotations.insert(ROTATED_AT_ANNOTATION.to_owned(), stored.rotated_at.to_string());
    annotations
        .extend(stored.processed.iter().map(|value| (ROTATE_SECRET_ANNOTATION.to_owned(), value.clone())));
    let service_namespace = service.namespace().unwrap_or_default();
    let issuer = service.spec.issuer.clone();
    let issuer =
        issuer.unwrap_or_else(|| service_url(&service.spec, &service.name_any(), &service_namespace));
    let issuer = issuer.trim_end_matches('/');
    let client_id = auth_client.client_id();
    let token_url = format!("{issuer}{TOKEN_PATH}");
    let keys = &spec.keys;
    let mut data = BTreeMap::new();
    for (names, value) in [
        (&keys.client_id, client_id.as_str()),
        (&keys.issuer, issuer),
        (&keys.token_url, &token_url),
        // The last one, in case of two values with one name: an application needs the secret.
        (&keys.client_secret, stored.text.expose()),
    ] {
        for name in names {
            data.insert(name.clone(), ByteString(value.as_bytes().to_vec()));
        }
    }
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: auth_client.namespace(),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: auth_client.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(data),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    };
    let mut value = serde_json::to_value(&secret)?;
    // Keyed, because more users may read metadata than the data of a Secret.
    let hash = keyed_fingerprint(&stored.text, &serde_json::to_vec(&value)?);
    value["metadata"]["annotations"][RENDERED_ANNOTATION] = Value::from(&hash[..16]);
    Ok(RenderedSecret { name, value })
}

/// Whether `live` has every member and element of `ours`.
fn contains(live: &Value, ours: &Value) -> bool {
    match (live, ours) {
        (_, Value::Null) => true,
        (Value::Object(live), Value::Object(ours)) => {
            ours.iter().all(|(name, ours)| live.get(name).is_some_and(|live| contains(live, ours)))
        }
        (Value::Array(live), Value::Array(ours)) => {
            ours.iter().all(|ours| live.iter().any(|live| contains(live, ours)))
        }
        (live, ours) => live == ours,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use latchkey_config::SecretText;
    use serde_json::json;

    use super::super::fixtures::{auth_client, auth_service};
    use super::*;

    fn stored() -> Stored {
        let text = SecretText::new("a secret of more than thirty-two characters");
        Stored { text, rotated_at: Timestamp::UNIX_EPOCH, processed: None }
    }

    fn rendered(spec: Value) -> RenderedSecret {
        render(&auth_client(spec), &auth_service(json!({})), &stored()).unwrap()
    }

    fn keys(secret: &RenderedSecret) -> BTreeMap<String, String> {
        let data: BTreeMap<String, ByteString> =
            serde_json::from_value(secret.value["data"].clone()).unwrap();
        data.into_iter().map(|(key, value)| (key, String::from_utf8(value.0).unwrap())).collect()
    }

    #[test]
    fn the_secret_has_what_an_application_needs() {
        let secret = rendered(json!({}));
        let stored = stored();
        assert_eq!(secret.name, "orders-oauth");
        let expected = [
            ("client-id", "shop.orders"),
            ("client-secret", stored.text.expose()),
            ("issuer", "http://auth.shop.svc"),
            ("token-url", "http://auth.shop.svc/api/v1/auth/token"),
        ];
        assert_eq!(keys(&secret), expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        assert_eq!(secret.value["metadata"]["ownerReferences"][0]["controller"], true);
        let metadata = secret.value["metadata"].to_string();
        assert!(!metadata.contains(stored.text.expose()));
    }

    #[test]
    fn the_keys_have_the_names_of_the_spec() {
        let secret = rendered(json!({"secret": {
            "name": "mine", "labels": {"a": "b"}, "annotations": {"c": "d"},
            "keys": {"clientId": ["ID", "id"], "clientSecret": ["SECRET"], "issuer": [], "tokenUrl": []},
        }}));
        let names: Vec<_> = keys(&secret).into_keys().collect();
        assert_eq!((secret.name.as_str(), names), ("mine", vec!["ID".into(), "SECRET".into(), "id".into()]));
        let metadata = &secret.value["metadata"];
        assert_eq!((&metadata["labels"]["a"], &metadata["annotations"]["c"]), (&json!("b"), &json!("d")));
    }

    #[test]
    fn every_change_of_the_secret_is_noticed() {
        let ours = rendered(json!({}));
        let live = |change: &dyn Fn(&mut Value)| -> DynamicObject {
            let mut value = ours.value.clone();
            change(&mut value);
            serde_json::from_value(value).unwrap()
        };
        assert!(ours.is_in(&live(&|_| {})));
        assert!(ours.is_in(&live(&|value| value["data"]["theirs"] = json!("eA=="))));
        for change in [
            "/data/client-id",
            "/metadata/labels/app.kubernetes.io~1managed-by",
            "/metadata/annotations/latchkey.dev~1rendered",
            "/metadata/ownerReferences/0/uid",
        ] {
            let changed = live(&|value| *value.pointer_mut(change).unwrap() = json!("eA=="));
            assert!(!ours.is_in(&changed), "{change}");
        }
        assert!(!ours.is_in(&live(&|value| value["metadata"]["ownerReferences"] = json!([]))));
        let other = rendered(json!({"secret": {"labels": {"a": "b"}}}));
        assert_ne!(
            other.value["metadata"]["annotations"][RENDERED_ANNOTATION],
            ours.value["metadata"]["annotations"][RENDERED_ANNOTATION]
        );
    }
}
