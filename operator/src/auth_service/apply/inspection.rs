//! Whether a live object matches the rendered object, and what to do if it does not. Pure.
//!
//! Every version of an object is inspected before it counts as correct: watch events, read responses, and the
//! responses to the operator's own writes. The response to a server-side apply is the merged object, including fields
//! that other writers added since the last observation.

use kube::core::DynamicObject;
use latchkey_config::SecretText;
use serde_json::Value;

use super::admitted::Admitted;
use super::{difference, repair};
use crate::auth_service::ownership::{is_given_to, is_orphan_of};
use crate::auth_service::render::Rendered;
use crate::cluster::controller_reference::controller_of;
use crate::cluster::kinds::Kind;
use crate::fingerprint::Fingerprint;

/// What an object is compared with.
pub(super) struct Expected<'a> {
    pub(super) rendered: &'a Rendered,
    /// The API server's form of `rendered`, if this process has applied it.
    pub(super) applied_fingerprint: Option<Fingerprint>,
    /// Secret, so that no other writer can record changes as made by admission.
    pub(super) salt: &'a SecretText,
    /// The AuthService that owns it.
    pub(super) owner_uid: &'a str,
    pub(super) owner_name: &'a str,
}

/// The result of an inspection.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// The object has another owner.
    NameConflict,
    /// The object is being deleted; it is created again after that.
    Deleting,
    /// This version of the object is correct.
    Correct,
    /// The object has foreign fields where none are allowed: this strategic merge patch removes them.
    RemoveForeignFields(Value),
    /// It has to be applied.
    Apply,
}

/// Inspects one version of an object.
pub(super) fn inspect(expected: &Expected<'_>, live: &DynamicObject) -> Verdict {
    let Expected { rendered, applied_fingerprint, salt, owner_uid, owner_name } = expected;
    let controller = controller_of(live);
    let may_touch = controller.is_some_and(|owner| owner.uid == *owner_uid)
        || (rendered.adopts && controller.is_none())
        || is_orphan_of(live, owner_name)
        || (rendered.kind == Kind::Secret && is_given_to(live, owner_name));
    if !may_touch {
        return Verdict::NameConflict;
    }
    if live.metadata.deletion_timestamp.is_some() {
        return Verdict::Deleting;
    }
    // The pod template of a Job is immutable; its name contains a hash of its inputs.
    if rendered.kind == Kind::Job && !difference::has_hash(rendered, live) {
        return Verdict::Correct;
    }
    let admitted = Admitted::recorded(rendered, salt, live);
    match repair::foreign_fields(&admitted.with_additions(live), live) {
        Some(patch) => Verdict::RemoveForeignFields(patch),
        None if admitted.differs(live, *applied_fingerprint) => Verdict::Apply,
        None => Verdict::Correct,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn object(content: &Value) -> DynamicObject {
        serde_json::from_value(content.clone()).unwrap()
    }

    /// The settings as rendered with this data.
    fn settings(data: &Value) -> Rendered {
        let value = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": "auth-settings",
                "labels": {"app.kubernetes.io/managed-by": "latchkey-operator"},
                "annotations": {"latchkey.dev/rendered": "1"},
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "AuthService", "name": "auth", "uid": "1", "controller": true},
                ],
            },
            "data": data,
        });
        Rendered {
            kind: Kind::ConfigMap,
            name: "auth-settings".to_owned(),
            hash: "1".to_owned(),
            value,
            adopts: false,
            based_on: None,
        }
    }

    fn verdict(
        rendered: &Rendered,
        applied_fingerprint: Option<Fingerprint>,
        live: &DynamicObject,
    ) -> Verdict {
        let salt = &SecretText::new("salt");
        inspect(&Expected { rendered, applied_fingerprint, salt, owner_uid: "1", owner_name: "auth" }, live)
    }

    #[test]
    fn the_response_to_an_apply_is_inspected_like_any_other_version() {
        let rendered = settings(&json!({"A": "1"}));
        let mut merged = rendered.value.clone();
        let applied_fingerprint = difference::fingerprint_of(&rendered, &object(&merged));
        assert_eq!(verdict(&rendered, Some(applied_fingerprint), &object(&merged)), Verdict::Correct);
        merged["data"]["TRUSTED_PROXIES"] = json!("0.0.0.0/0");
        // The rendered fields are correct: only the whole object shows the foreign key.
        assert_eq!(difference::fingerprint_of(&rendered, &object(&merged)), applied_fingerprint);
        let removal = json!({"data": {"TRUSTED_PROXIES": null}});
        assert_eq!(
            verdict(&rendered, Some(applied_fingerprint), &object(&merged)),
            Verdict::RemoveForeignFields(removal)
        );
        merged["metadata"]["ownerReferences"] = json!([]);
        merged["metadata"]["labels"] = json!({});
        assert_eq!(verdict(&rendered, Some(applied_fingerprint), &object(&merged)), Verdict::NameConflict);
    }

    fn any_data() -> impl Strategy<Value = std::collections::BTreeMap<String, String>> {
        proptest::collection::btree_map("[A-E]", "[a-c]{1,2}", 0..5)
    }

    proptest! {
        /// The settings are correct exactly when they are those that were rendered, whatever was learned before.
        #[test]
        fn settings_are_correct_only_when_they_are_equal(ours in any_data(), theirs in any_data(), applied: bool) {
            let rendered = settings(&json!(ours));
            let response = object(&rendered.value);
            let applied_fingerprint = applied.then(|| difference::fingerprint_of(&rendered, &response));
            let mut merged = rendered.value.clone();
            merged["data"] = json!(theirs);
            let found = verdict(&rendered, applied_fingerprint, &object(&merged));
            prop_assert_eq!(found == Verdict::Correct, ours == theirs, "{:?}", found);
        }

        /// Removing what was found and applying what was rendered ends with a correct object.
        #[test]
        fn a_repair_ends(ours in any_data(), theirs in any_data()) {
            let rendered = settings(&json!(ours));
            let mut live = rendered.value.clone();
            live["data"] = json!(theirs);
            for _ in 0..2 {
                match verdict(&rendered, None, &object(&live)) {
                    Verdict::RemoveForeignFields(patch) => {
                        for key in patch["data"].as_object().unwrap().keys() {
                            live["data"].as_object_mut().unwrap().remove(key);
                        }
                    }
                    Verdict::Apply => {
                        for (key, value) in &ours {
                            live["data"][key] = json!(value);
                        }
                    }
                    _ => break,
                }
            }
            prop_assert_eq!(verdict(&rendered, None, &object(&live)), Verdict::Correct);
        }
    }
}
