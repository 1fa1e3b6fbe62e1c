//! Filters the watch events of AuthServices: an event that only shows a status that the operator itself wrote
//! triggers no reconcile; one with a status of another writer does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::ResourceExt;
use kube::runtime::{Predicate, predicates};
use latchkey_crds::{AuthService, AuthServiceStatus};

use crate::fingerprint::{Fingerprint, short_fingerprint};

/// The number of statuses remembered per AuthService: the watch may show one after the next was written.
const REMEMBERED: usize = 3;

/// The statuses that the operator wrote last for each AuthService, by uid.
#[derive(Debug, Clone, Default)]
pub(crate) struct WrittenStatuses(Arc<Mutex<HashMap<String, Vec<Fingerprint>>>>);

impl WrittenStatuses {
    /// Remembers a status. Called before the request is sent, because the watch may show it before the response
    /// arrives.
    pub(crate) fn note(&self, uid: &str, status: &AuthServiceStatus) {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let statuses = written.entry(uid.to_owned()).or_default();
        if statuses.len() == REMEMBERED {
            statuses.remove(0);
        }
        statuses.push(fingerprint_of(status));
    }

    /// Whether the object has a status that the operator has not written recently; false if it has written none.
    fn is_foreign(&self, auth_service: &AuthService) -> bool {
        let written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(written) = written.get(&auth_service.uid().unwrap_or_default()) else { return false };
        auth_service.status.as_ref().is_none_or(|status| !written.contains(&fingerprint_of(status)))
    }

    fn forget(&self, auth_service: &AuthService) {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.remove(&auth_service.uid().unwrap_or_default());
    }
}

fn fingerprint_of(status: &AuthServiceStatus) -> Fingerprint {
    // A value parsed from JSON can be serialized as JSON.
    short_fingerprint(&serde_json::to_vec(status).unwrap_or_default())
}

/// A hash of the last observed generation and metadata of each AuthService, by uid. The hash is that of kube's
/// predicates; `predicate_filter` itself does not fit, because it drops deletions and the boundaries of lists.
#[derive(Debug, Default)]
pub(crate) struct ChangeFilter {
    observed: HashMap<String, Option<u64>>,
    written: WrittenStatuses,
}

impl ChangeFilter {
    pub(crate) fn new(written: WrittenStatuses) -> Self {
        Self { observed: HashMap::new(), written }
    }

    /// Observes an AuthService. Returns whether anything but a status of the operator itself has changed.
    pub(crate) fn is_change(&mut self, auth_service: &AuthService) -> bool {
        // A deletion timestamp changes the generation.
        let hash = predicates::generation
            .combine(predicates::labels)
            .combine(predicates::annotations)
            .combine(predicates::finalizers)
            .hash_property(auth_service);
        let before = self.observed.insert(auth_service.uid().unwrap_or_default(), hash);
        // Another operator asks whether this one runs; also if this process has not written a status yet.
        let is_asked = auth_service.status.as_ref().is_some_and(|status| status.operator_request.is_some());
        before != Some(hash) || is_asked || self.written.is_foreign(auth_service)
    }

    /// Removes an AuthService that was deleted.
    pub(crate) fn forget(&mut self, auth_service: &AuthService) {
        self.observed.remove(&auth_service.uid().unwrap_or_default());
        self.written.forget(auth_service);
    }

    /// Removes all, before a new list.
    pub(crate) fn clear(&mut self) {
        self.observed.clear();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn changed(path: &str, value: Value) -> AuthService {
        let mut object = json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService",
            "metadata": {"name": "auth", "namespace": "a", "uid": "1", "generation": 1, "annotations": {}, "labels": {}, "finalizers": []},
            "spec": {}, "status": {"replicas": 0, "readyReplicas": 0},
        });
        *object.pointer_mut(path).unwrap() = value;
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_change_of_generation_or_metadata_is_a_change() {
        let same = changed("/status/replicas", json!(0));
        let changes = vec![
            changed("/metadata/generation", json!(2)),
            changed("/metadata/annotations", json!({"a": "b"})),
            changed("/metadata/labels", json!({"a": "b"})),
            changed("/metadata/finalizers", json!(["a"])),
            changed("/metadata/uid", json!("2")),
        ];
        for other in changes {
            let mut filter = ChangeFilter::default();
            assert!(filter.is_change(&same) && !filter.is_change(&same));
            assert!(!filter.is_change(&changed("/status/replicas", json!(2))));
            assert!(filter.is_change(&other), "{other:?}");
        }
        let mut filter = ChangeFilter::default();
        filter.is_change(&same);
        filter.forget(&same);
        assert!(filter.is_change(&same));
    }

    #[test]
    fn a_status_of_another_writer_is_a_change_and_one_of_the_operator_is_none() {
        let written = WrittenStatuses::default();
        let mut filter = ChangeFilter::new(written.clone());
        let first = changed("/status/replicas", json!(0));
        filter.is_change(&first);
        let ours = changed("/status/replicas", json!(1));
        written.note("1", ours.status.as_ref().unwrap());
        assert!(!filter.is_change(&ours));
        let theirs = changed("/status/readyReplicas", json!(5));
        assert!(filter.is_change(&theirs) && filter.is_change(&theirs), "as long as it stays");
        assert!(!filter.is_change(&ours));
    }
}
