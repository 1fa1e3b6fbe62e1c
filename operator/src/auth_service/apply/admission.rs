//! Records and reports what admission changed in the objects that the operator wrote.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::runtime::events::{Event, EventType};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::admission_plugins::mutating_plugins;
use super::admitted::{Admitted, Origin};
use super::field_changes::{Change, changed_fields};
use super::work::{MOST_WRITES, Work};
use crate::auth_service::render::Rendered;
use crate::error_chain::ErrorChain;
use crate::fingerprint::fingerprint;
use crate::names::{ADMITTED_ANNOTATION, OPERATOR};

/// The reason of the event.
const REASON: &str = "ChangedByAdmission";
/// The maximum number of changes in an event.
const MOST_NAMED: usize = 8;
/// The maximum length of an image in an event, in characters.
const IMAGE: usize = 120;

/// The request whose response is inspected. It determines which changes only admission can have made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// The object did not exist before.
    Created,
    /// All rendered fields were set.
    Applied,
    /// All additions were removed.
    Cleaned,
}

impl Written {
    fn proves(self, origin: Origin) -> bool {
        match self {
            Self::Created => true,
            Self::Applied => origin == Origin::Field,
            Self::Cleaned => origin == Origin::Addition,
        }
    }
}

impl Work<'_> {
    /// Records what admission changed in the response to a write, and reports what is new. Returns the object with the
    /// record.
    pub(super) async fn record_admission(
        &self,
        api: &Api<DynamicObject>,
        rendered: &Rendered,
        response: Arc<DynamicObject>,
        written: Written,
    ) -> Result<Arc<DynamicObject>, kube::Error> {
        let salt = &self.service.salt;
        let admitted = Admitted::recorded(rendered, salt, &response);
        let Some((mut record, new)) = admitted.update(&response, &[], |_, origin| written.proves(origin))
        else {
            return Ok(response);
        };
        let parameters = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
        let mut live = response;
        let mut restless = Vec::new();
        for _ in 0..MOST_WRITES {
            let change = json!({ "metadata": {
                "uid": live.uid(),
                "resourceVersion": live.resource_version(),
                "annotations": { ADMITTED_ANNOTATION: record },
            }});
            match api.patch(&rendered.name, &parameters, &Patch::Merge(&change)).await {
                Ok(recorded) => {
                    live = Arc::new(recorded);
                    // A field that admission sets to another value at every write, this one included, is not compared.
                    restless.extend(changed_again(rendered, &live, &new));
                    let admitted = Admitted::recorded(rendered, salt, &live);
                    let again =
                        admitted.update(&live, &restless, |_, _| false).filter(|_| !restless.is_empty());
                    let Some((again, _)) = again else {
                        if !new.is_empty() {
                            self.report_admission(rendered, &new, written).await;
                        }
                        return Ok(live);
                    };
                    record = again;
                }
                // A controller has written the status in the meantime, for example.
                Err(kube::Error::Api(status)) if status.code == 409 => {
                    let Some(found) = api.get_opt(&rendered.name).await? else { break };
                    live = Arc::new(found);
                    let admitted = Admitted::recorded(rendered, salt, &live);
                    let Some((again, _)) =
                        admitted.update(&live, &restless, |change, _| new.contains(change))
                    else {
                        break;
                    };
                    record = again;
                }
                Err(kube::Error::Api(status)) if status.code == 404 => break,
                Err(error) => return Err(error),
            }
        }
        // The next version is inspected like every other.
        Ok(live)
    }

    async fn report_admission(&self, rendered: &Rendered, changes: &[Change], written: Written) {
        let what = describe(changes);
        let operation = if written == Written::Created { "CREATE" } else { "UPDATE" };
        let plugins = {
            let (client, namespace) = (&self.context.client, &self.service.namespace);
            mutating_plugins(client, rendered.kind, operation, namespace).await
        };
        let by = match &plugins[..] {
            [] => "an admission webhook or policy, or the API server (no field manager owns the change)"
                .to_owned(),
            names => format!("one of {} (no field manager owns the change)", names.join(", ")),
        };
        let (kind, name) = (rendered.kind, &rendered.name);
        tracing::warn!(
            kind = kind.as_str(),
            name,
            namespace = self.service.namespace,
            changes = what,
            by,
            "admission changed an object that the operator wrote; the operator accepts the change"
        );
        let note = format!(
            "Admission changed the {kind} {name} as the operator wrote it, and the operator accepts this: {what}. Changed by {by}."
        );
        let event = Event {
            type_: EventType::Normal,
            reason: REASON.to_owned(),
            // The recorder aggregates events with the same action and keeps the first note.
            action: format!("Apply-{}", &fingerprint([note.as_bytes()])[..8]),
            note: Some(note.chars().take(1000).collect()),
            secondary: None,
        };
        let owner = &self.service.owner;
        let reference = ObjectReference {
            api_version: Some(owner.api_version.clone()),
            kind: Some(owner.kind.clone()),
            name: Some(owner.name.clone()),
            namespace: Some(self.service.namespace.clone()),
            uid: Some(owner.uid.clone()),
            ..ObjectReference::default()
        };
        if let Err(error) = self.context.recorder(false).publish(&event, &reference).await {
            tracing::warn!(error = %ErrorChain(&error), "could not write an event");
        }
    }
}

/// The fields of these changes that have another value again.
fn changed_again(rendered: &Rendered, live: &DynamicObject, changes: &[Change]) -> Vec<String> {
    let now = changed_fields(rendered, live).into_iter();
    let differs = |now: &Change| changes.iter().any(|then| then.path == now.path && then.found != now.found);
    now.filter(differs).map(|change| change.path).collect()
}

/// The changed fields. Values may be secret, so that only images are shown.
fn describe(changes: &[Change]) -> String {
    let mut named: Vec<String> = changes.iter().take(MOST_NAMED).map(describe_one).collect();
    if changes.len() > MOST_NAMED {
        named.push(format!("{} more", changes.len() - MOST_NAMED));
    }
    named.join(", ")
}

fn describe_one(change: &Change) -> String {
    let place = &change.path;
    match (&change.wanted, &change.found) {
        (Value::String(wanted), Value::String(found)) if place.ends_with("/image") => {
            let short = |image: &str| image.chars().take(IMAGE).collect::<String>();
            format!("{place} is {} instead of {}", short(found), short(wanted))
        }
        (Value::Null, _) => format!("{place} was added"),
        (_, Value::Null) => format!("{place} was removed"),
        _ => format!("{place} has another value"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_contains_no_values_except_images() {
        let change =
            |path: &str, wanted: Value, found: Value| Change { path: path.to_owned(), wanted, found };
        let text = describe(&[
            change("/spec/a/image", json!("a:1"), json!("mirror/a:1")),
            change("/data/A", json!("secret-1"), json!("secret-2")),
            change("/data/B", Value::Null, json!("secret-3")),
            change("/data/C", json!("secret-4"), Value::Null),
        ]);
        assert_eq!(
            text,
            "/spec/a/image is mirror/a:1 instead of a:1, /data/A has another value, /data/B was added, /data/C was removed"
        );
    }
}
