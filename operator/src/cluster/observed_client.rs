//! An AuthClient as observed by the watch. One that this release cannot read does not hide others.

use latchkey_crds::{AuthClient, AuthClientSpec, AuthClientStatus};
use serde::{Deserialize, Deserializer};

use crate::cluster::lenient::{SalvagedObject, inherit_resource};

#[derive(Debug, Clone)]
pub(crate) struct ObservedClient {
    salvaged: AuthClient,
    problem: Option<Box<str>>,
}

impl ObservedClient {
    /// The AuthClient, if all of it is readable.
    ///
    /// # Errors
    /// The unreadable field, as a noun phrase.
    pub(crate) fn whole(&self) -> Result<&AuthClient, &str> {
        self.problem.as_deref().map_or(Ok(&self.salvaged), Err)
    }

    /// The readable parts, with defaults for the rest: sufficient to find its AuthService and its Secret.
    pub(crate) fn salvaged(&self) -> &AuthClient {
        &self.salvaged
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.problem.is_none()
    }
}

impl From<AuthClient> for ObservedClient {
    fn from(auth_client: AuthClient) -> Self {
        Self { salvaged: auth_client, problem: None }
    }
}

impl<'de> Deserialize<'de> for ObservedClient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let SalvagedObject { metadata, spec, status, problem, .. } =
            SalvagedObject::<AuthClientSpec, AuthClientStatus>::deserialize(deserializer)?;
        Ok(Self { salvaged: AuthClient { metadata, spec, status }, problem })
    }
}

inherit_resource!([] ObservedClient, AuthClient, |object| object.salvaged.metadata);

#[cfg(test)]
mod tests {
    use kube::ResourceExt;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_references_of_an_unreadable_client_are_readable() {
        let read = |spec: Value, status: Value| -> ObservedClient {
            serde_json::from_value(
                json!({"metadata": {"name": "a", "namespace": "b"}, "spec": spec, "status": status}),
            )
            .unwrap()
        };
        let reference = json!({"name": "auth"});
        let good = read(json!({"authServiceRef": reference}), json!(null));
        assert_eq!(good.whole().unwrap().client_id(), "b.a");
        for (spec, status) in [
            (json!({"authServiceRef": reference, "type": "later"}), json!(null)),
            (json!({"authServiceRef": reference, "grantTypes": ["later"]}), json!(null)),
            (json!({"authServiceRef": reference}), json!({"conditions": "text"})),
        ] {
            let observed = read(spec, status);
            assert!(observed.whole().is_err() && !observed.is_readable());
            assert!(observed.salvaged().is_for("b", "auth"), "{observed:?}");
            assert_eq!(observed.name_any(), "a");
        }
    }
}
