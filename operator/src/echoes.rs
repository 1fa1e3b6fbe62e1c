//! A status that the operator has written comes back by the watch, and asks for nothing. Pure.

use std::collections::HashMap;

use kube::ResourceExt;
use latchkey_crds::AuthService;

use crate::fingerprint::{Fingerprint, short_fingerprint};

/// What each AuthService was last seen to ask for, by uid.
#[derive(Debug, Default)]
pub struct Echoes(HashMap<String, Fingerprint>);

impl Echoes {
    /// Takes in an AuthService; whether it asks for anything that it did not ask for before. A status that somebody
    /// else has written is found at the next look, which comes within a minute.
    pub fn is_news(&mut self, auth_service: &AuthService) -> bool {
        let metadata = &auth_service.metadata;
        let asked = (
            metadata.generation,
            &metadata.labels,
            &metadata.annotations,
            &metadata.finalizers,
            metadata.deletion_timestamp.is_some(),
        );
        // What came as JSON can be written as JSON.
        let asked = short_fingerprint(&serde_json::to_vec(&asked).unwrap_or_default());
        self.0.insert(auth_service.uid().unwrap_or_default(), asked) != Some(asked)
    }

    /// Forgets one that is gone.
    pub fn forget(&mut self, auth_service: &AuthService) {
        self.0.remove(&auth_service.uid().unwrap_or_default());
    }

    /// Forgets all, before they are listed anew.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn changed(path: &str, value: Value) -> AuthService {
        let mut object = json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService",
            "metadata": {"name": "auth", "namespace": "a", "uid": "1", "generation": 1, "annotations": {}, "labels": {}},
            "spec": {}, "status": {"replicas": 0, "readyReplicas": 0},
        });
        *object.pointer_mut(path).unwrap() = value;
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn only_what_somebody_asks_for_is_news() {
        let same = changed("/status/replicas", json!(0));
        let news = [
            changed("/metadata/generation", json!(2)),
            changed("/metadata/annotations", json!({"a": "b"})),
            changed("/metadata/labels", json!({"a": "b"})),
            changed("/metadata/uid", json!("2")),
        ];
        for other in news {
            let mut echoes = Echoes::default();
            assert!(echoes.is_news(&same) && !echoes.is_news(&same));
            assert!(!echoes.is_news(&changed("/status/replicas", json!(2))));
            assert!(echoes.is_news(&other), "{other:?}");
        }
        let mut echoes = Echoes::default();
        echoes.is_news(&same);
        echoes.forget(&same);
        assert!(echoes.is_news(&same));
    }
}
