//! An AuthService as observed by the watch. A later release may have written a status that this one cannot read, and
//! a stored spec may have another schema: such an object is stored as it is and does not hide others.

use latchkey_crds::{AuthService, AuthServiceSpec, AuthServiceStatus};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::cluster::lenient::{SalvagedObject, inherit_resource};

/// The maximum size of the conditions that are stored of an unreadable AuthService, as JSON.
const MOST_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone)]
pub(crate) struct Observed {
    salvaged: AuthService,
    unreadable: Option<Box<Unreadable>>,
}

/// Why an AuthService cannot be read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unreadable {
    /// The unreadable field, as a noun phrase.
    pub(crate) problem: Box<str>,
    /// The stored conditions; `None` if they are not a list that can be written back.
    pub(crate) conditions: Option<Vec<Value>>,
    /// Whether the status has a valid field for the observed generation.
    pub(crate) counts_generations: bool,
}

impl Observed {
    /// The AuthService, if all of it is readable.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(crate) fn whole(&self) -> Result<&AuthService, &Unreadable> {
        self.unreadable.as_deref().map_or(Ok(&self.salvaged), Err)
    }

    /// The readable parts of the AuthService, with defaults for the rest. Sufficient to find its references, but
    /// never a basis for writes.
    pub(crate) fn salvaged(&self) -> &AuthService {
        &self.salvaged
    }

    /// The unreadable field, if any.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.unreadable.as_ref().map(|unreadable| &*unreadable.problem)
    }
}

impl From<AuthService> for Observed {
    fn from(auth_service: AuthService) -> Self {
        Self { salvaged: auth_service, unreadable: None }
    }
}

impl<'de> Deserialize<'de> for Observed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let SalvagedObject { metadata, spec, status, stored_status, problem } =
            SalvagedObject::<AuthServiceSpec, AuthServiceStatus>::deserialize(deserializer)?;
        let unreadable = problem.map(|problem| Box::new(Unreadable::new(problem, &stored_status)));
        Ok(Self { salvaged: AuthService { metadata, spec, status }, unreadable })
    }
}

impl Unreadable {
    fn new(problem: Box<str>, status: &Value) -> Self {
        let members = status.as_object();
        let conditions = match status.get("conditions") {
            None | Some(Value::Null) => (status.is_null() || members.is_some()).then(Vec::new),
            Some(Value::Array(conditions)) => {
                let fits = serde_json::to_vec(conditions).is_ok_and(|text| text.len() <= MOST_BYTES);
                fits.then(|| conditions.clone())
            }
            Some(_) => None,
        };
        let counts_generations = match status.get("observedGeneration") {
            None | Some(Value::Null) => true,
            Some(generation) => generation.is_i64(),
        };
        Self { problem, conditions, counts_generations }
    }
}

inherit_resource!([] Observed, AuthService, |object| object.salvaged.metadata);

#[cfg(test)]
mod tests {
    use kube::{Resource, ResourceExt};
    use serde_json::json;

    use super::*;

    fn observed(spec: &Value, status: &Value) -> Observed {
        let metadata = json!({"name": "auth", "namespace": "a", "uid": "1", "generation": 3});
        serde_json::from_value(json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService",
            "metadata": metadata, "spec": spec, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn an_object_of_this_release_is_readable() {
        for status in [json!(null), json!({}), json!({"later": {"a": 1}, "replicas": 1})] {
            let observed = observed(&json!({"replicas": 2, "later": true}), &status);
            assert_eq!(observed.whole().unwrap().spec.replicas, 2, "{status}");
            assert_eq!(observed.problem(), None);
        }
    }

    #[test]
    fn the_references_of_an_unreadable_object_are_readable() {
        let key = json!({"kid": "k", "phase": "escrowed", "since": "2026-01-01T00:00:00Z"});
        let good = json!({"database": {"urlSecretRef": {"name": "db"}}});
        let cases = [
            (good.clone(), json!({"signingKeys": [key]}), "`status.signingKeys[0].phase`"),
            (good.clone(), json!({"replicas": "two"}), "`status.replicas`"),
            (good.clone(), json!("text"), "`status`"),
            (good.clone(), json!({"conditions": "text"}), "`status.conditions`"),
            (
                good.clone(),
                json!({"conditions": [{"type": "Ready", "status": 1}]}),
                "`status.conditions[0].status`",
            ),
            (
                json!({"database": good["database"], "tokens": {"algorithm": "PQ"}}),
                json!(null),
                "`spec.tokens.algorithm`",
            ),
            (
                json!({"database": {"urlSecretRef": {"name": "db"}, "allowShared": 3}}),
                json!(null),
                "`spec.database.allowShared`",
            ),
        ];
        for (spec, status, path) in cases {
            let observed = observed(&spec, &status);
            let problem = observed.problem().unwrap();
            assert!(observed.whole().is_err() && problem.starts_with(path), "{problem} for {path}");
            assert_eq!((observed.name_any().as_str(), observed.meta().generation), ("auth", Some(3)));
            let reference = observed.salvaged().spec.database.url_secret_ref.as_ref();
            assert_eq!(reference.map(|reference| reference.name.as_str()), Some("db"), "{path}");
        }
        assert!(observed(&json!(null), &json!(null)).whole().is_err());
        assert_eq!(observed(&json!([1]), &json!(3)).whole().unwrap_err().conditions, None);
    }
}
