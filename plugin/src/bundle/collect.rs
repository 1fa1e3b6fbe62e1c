//! Reads what the archive contains, and writes it without secrets.

use std::io;

use k8s_openapi::api::core::v1::{Event, Pod, Secret};
use kube::api::LogParams;
use kube::{Api, Resource, ResourceExt};
use latchkey_crds::AuthService;
use serde_json::{Value, json};

use super::archive::Archive;
use super::known::Known;
use super::{objects, redact};
use crate::check;
use crate::cli::BundleArguments;
use crate::cluster::Cluster;
use crate::lists::{Listed, read};
use crate::logs;
use crate::pods;
use crate::status::ServiceStatus;

/// The most that is read of one log.
const LOG_BYTES: i64 = 5 * 1024 * 1024;

/// Adds everything to the archive; returns what could not be read.
pub async fn collect(
    cluster: &Cluster,
    services: &Listed<AuthService>,
    options: &BundleArguments,
    archive: &mut Archive,
) -> io::Result<Vec<String>> {
    let mut errors: Vec<String> = services.unreadable.iter().map(ToString::to_string).collect();
    let (mut found, mut images) = (Vec::new(), Vec::new());
    for name in services.names() {
        let (objects, failed) = objects::of_service(cluster, &name).await;
        errors.extend(failed);
        found.extend(objects);
    }
    let readable = services.read.iter().map(|service| serde_json::to_value(service).unwrap_or_default());
    for mut value in readable.chain(services.unreadable.iter().map(|unreadable| unreadable.value.clone())) {
        value["apiVersion"] = json!("latchkey.dev/v1alpha1");
        value["kind"] = json!("AuthService");
        found.push(objects::Found::of("AuthService", value));
    }
    let operators = operators(cluster, options, &mut errors).await;
    let mut known = known_values(cluster, &mut errors).await;
    for object in found.iter().chain(&operators) {
        redact::add_known(&object.value, &mut known);
    }
    for object in &found {
        images.extend(images_of(&object.value));
        let path = format!("objects/{}/{}.yaml", object.kind, object.name);
        archive.add(&path, &yaml(&redact::object(object.value.clone(), &known)))?;
    }
    for object in &operators {
        images.extend(images_of(&object.value));
        let path = format!("operator/{}-{}.yaml", object.kind, object.name);
        archive.add(&path, &yaml(&redact::object(object.value.clone(), &known)))?;
    }
    for service in &services.read {
        match ServiceStatus::read(cluster, service).await {
            Ok(status) => {
                let value = serde_json::to_value(status).unwrap_or_default();
                archive.add(
                    &format!("status/{}.yaml", service.name_any()),
                    &yaml(&redact::object(value, &known)),
                )?;
            }
            Err(failure) => errors.push(failure.to_string()),
        }
    }
    events(cluster, &known, archive, &mut errors).await?;
    for object in found.iter().filter(|object| object.kind == "Pod") {
        pod_logs(cluster, &cluster.namespace, &object.value, "logs", options, &known, archive, &mut errors)
            .await?;
    }
    for object in operators.iter().filter(|object| object.kind == "Pod") {
        let namespace = object.value["metadata"]["namespace"].as_str().unwrap_or_default();
        pod_logs(cluster, namespace, &object.value, "operator/logs", options, &known, archive, &mut errors)
            .await?;
    }
    images.sort_unstable();
    images.dedup();
    archive.add("versions.yaml", &yaml(&versions(cluster, &images, &mut errors).await))?;
    Ok(errors.iter().map(|error| known.redact(error)).collect())
}

/// The values of all Secrets of the namespace. They are only compared.
async fn known_values(cluster: &Cluster, errors: &mut Vec<String>) -> Known {
    let mut known = Known::default();
    match cluster.list::<Secret>("").await {
        Ok(secrets) => secrets.iter().for_each(|secret| known.add_secret(secret)),
        Err(error) => errors.push(format!(
            "the Secrets of the namespace, whose values are removed from logs and events: {error}; only values in known forms were removed"
        )),
    }
    known
}

/// The Deployments of operators, with their pods.
async fn operators(
    cluster: &Cluster,
    options: &BundleArguments,
    errors: &mut Vec<String>,
) -> Vec<objects::Found> {
    let deployments = match check::operators(cluster, options.operator_namespace.as_deref()).await {
        Ok(found) => found,
        Err(error) => {
            errors.push(format!("the operator: {error}"));
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for deployment in deployments {
        let namespace = deployment.namespace().unwrap_or_default();
        let labels = deployment.spec.selector.match_labels.clone();
        let pairs = labels.unwrap_or_default().into_iter().map(|(name, value)| format!("{name}={value}"));
        let labels = pairs.collect::<Vec<_>>().join(",");
        match objects::list(cluster, &namespace, ("", "v1", "Pod"), &labels).await {
            Ok(pods) => found.extend(pods),
            Err(error) => errors.push(format!("the operator's pods: {error}")),
        }
        let name = deployment.name_any();
        let mut value = serde_json::to_value(deployment).unwrap_or_default();
        value["kind"] = json!("Deployment");
        found.push(objects::Found { kind: "Deployment".to_owned(), name, value });
    }
    found
}

async fn events(
    cluster: &Cluster,
    known: &Known,
    archive: &mut Archive,
    errors: &mut Vec<String>,
) -> io::Result<()> {
    match cluster.list_as_stored(&Event::url_path(&(), Some(&cluster.namespace)), "").await {
        Ok(events) => {
            let events = events.into_iter().map(|mut event| {
                event["kind"] = json!("Event");
                redact::object(event, known)
            });
            archive.add("events.yaml", &yaml(&Value::Array(events.collect())))
        }
        Err(error) => {
            errors.push(format!("events: {error}"));
            Ok(())
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "one call for each place of pods")]
async fn pod_logs(
    cluster: &Cluster,
    namespace: &str,
    pod: &Value,
    folder: &str,
    options: &BundleArguments,
    known: &Known,
    archive: &mut Archive,
    errors: &mut Vec<String>,
) -> io::Result<()> {
    let Ok(pod) = read::<Pod>(pod.clone()) else { return Ok(()) };
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let name = pod.name_any();
    for container in logs::containers_of(&pod) {
        for previous in [false, true] {
            if previous && pods::restarts(&pod) == 0 {
                continue;
            }
            let parameters = LogParams {
                container: Some(container.clone()),
                previous,
                since_seconds: i64::try_from(options.since.as_secs()).ok(),
                limit_bytes: Some(LOG_BYTES),
                timestamps: true,
                ..LogParams::default()
            };
            let suffix = if previous { ".previous" } else { "" };
            match logs::read(&api, &name, &parameters).await {
                Ok(text) => {
                    archive.add(&format!("{folder}/{name}/{container}{suffix}.log"), &known.redact(&text))?;
                }
                Err(error) => {
                    errors.push(format!("the log of {name}, container {container}{suffix}: {error}"));
                }
            }
        }
    }
    Ok(())
}

async fn versions(cluster: &Cluster, images: &[String], errors: &mut Vec<String>) -> Value {
    let server = match cluster.client.apiserver_version().await {
        Ok(version) => version.git_version,
        Err(error) => {
            errors.push(format!("the version of the API server: {error}"));
            String::new()
        }
    };
    json!({"plugin": env!("CARGO_PKG_VERSION"), "apiServer": server, "images": images})
}

/// The images of all containers, with the ids that the nodes pulled.
fn images_of(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(images_of).collect(),
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, member)| match member.as_str() {
                Some(image) if name == "image" || name == "imageID" => vec![image.to_owned()],
                _ => images_of(member),
            })
            .filter(|image| !image.is_empty())
            .collect(),
        _ => Vec::new(),
    }
}

fn yaml(value: &Value) -> String {
    serde_yaml_ng::to_string(value).unwrap_or_else(|error| format!("not written: {error}\n"))
}
