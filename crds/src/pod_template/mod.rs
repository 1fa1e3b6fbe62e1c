//! Checks the overrides of the pod template: the operator before it renders them, and the plugin of kubectl. Identity, command, settings, mounted files and security stay those of the
//! operator: a field that would change them is refused by its name. Only fields in lists of allowed ones are accepted, so
//! that a field of a later Kubernetes is refused too.

mod containers;
mod duplicates;
mod fields;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Map, Value};

use crate::auth_service::PodTemplate;

pub use fields::VOLUMES;
use fields::{Refusal, elements, member, name_of, only};

/// The name of the server's container.
pub const SERVER_CONTAINER: &str = "server";
/// The port of the API.
pub const HTTP_PORT: i32 = 8080;
/// The port of metrics and status.
pub const MANAGEMENT_PORT: u16 = 9090;
/// The prefix of the operator's annotations.
pub const ANNOTATIONS: &str = "latchkey.dev/";

/// The largest override, in bytes of JSON.
const LARGEST: usize = 32 * 1024;
const RESERVED_LABELS: &str = "app.kubernetes.io/";
const POD_FIELDS: [&str; 22] = [
    "affinity",
    "containers",
    "dnsConfig",
    "dnsPolicy",
    "hostAliases",
    "hostname",
    "imagePullSecrets",
    "initContainers",
    "nodeSelector",
    "preemptionPolicy",
    "priorityClassName",
    "readinessGates",
    "resourceClaims",
    "runtimeClassName",
    "schedulerName",
    "schedulingGates",
    "securityContext",
    "subdomain",
    "terminationGracePeriodSeconds",
    "tolerations",
    "topologySpreadConstraints",
    "volumes",
];
const POD_SECURITY_FIELDS: [&str; 4] =
    ["fsGroupChangePolicy", "seLinuxOptions", "supplementalGroups", "supplementalGroupsPolicy"];
const VOLUME_FIELDS: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "name",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// The checked override.
///
/// # Errors
/// A sentence with the field that is refused, and why.
pub fn check_pod_template(given: Option<&PodTemplate>) -> Result<Option<Box<PodTemplateSpec>>, String> {
    let Some(PodTemplate(template)) = given else { return Ok(None) };
    let problem = |message: String| format!("spec.podTemplate{message}");
    check(template).map_err(problem)?;
    let value = Value::Object(template.clone());
    let parsed: PodTemplateSpec = serde_json::from_value(value.clone())
        .map_err(|error| problem(format!(" is not a pod template: {error}.")))?;
    let known = serde_json::to_value(&parsed).unwrap_or_default();
    match lost(&value, &known, "") {
        Some(path) => {
            Err(problem(format!("{path} is not a field of a pod template, or is null: remove it.")))
        }
        None => Ok(Some(Box::new(parsed))),
    }
}

fn check(template: &Map<String, Value>) -> Refusal {
    if serde_json::to_vec(template).map_or(0, |bytes| bytes.len()) > LARGEST {
        return Err(format!(" is larger than {} KiB: remove some of it.", LARGEST / 1024));
    }
    only(template, &["metadata", "spec"], "")?;
    if let Some(metadata) = member(template, "metadata", "")? {
        only(metadata, &["labels", "annotations"], ".metadata")?;
        for (part, reserved) in [("labels", RESERVED_LABELS), ("annotations", ANNOTATIONS)] {
            let names = member(metadata, part, ".metadata")?.into_iter().flat_map(Map::keys);
            if let Some(name) = names.into_iter().find(|name| name.starts_with(reserved)) {
                return Err(format!(".metadata.{part}: {name} is reserved for the operator: remove it."));
            }
        }
    }
    let Some(spec) = member(template, "spec", "")? else { return Ok(()) };
    only(spec, &POD_FIELDS, ".spec")?;
    if let Some(security) = member(spec, "securityContext", ".spec")? {
        only(security, &POD_SECURITY_FIELDS, ".spec.securityContext")?;
    }
    for (volume, path) in elements(spec, "volumes", ".spec")? {
        only(volume, &VOLUME_FIELDS, &path)?;
        if VOLUMES.contains(&name_of(volume)) {
            return Err(format!(
                "{path}: the volume {} belongs to the operator: use another name.",
                name_of(volume)
            ));
        }
    }
    for (container, path) in elements(spec, "containers", ".spec")? {
        containers::check(container, &path, true)?;
    }
    for (container, path) in elements(spec, "initContainers", ".spec")? {
        containers::check(container, &path, false)?;
    }
    duplicates::check(spec)
}

/// The first field that the type of Kubernetes does not keep.
fn lost(given: &Value, kept: &Value, path: &str) -> Option<String> {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => given.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            match kept.get(name) {
                Some(kept) => lost(value, kept, &path),
                // An empty list is left out.
                None if value.as_array().is_some_and(Vec::is_empty) => None,
                None => Some(path),
            }
        }),
        (Value::Array(given), Value::Array(kept)) => {
            let pairs = given.iter().zip(kept).enumerate();
            pairs
                .into_iter()
                .find_map(|(index, (given, kept))| lost(given, kept, &format!("{path}[{index}]")))
        }
        _ => None,
    }
}
