//! Dry runs on the API server: it validates the AuthService, and admission decides on its pods.

use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec, SecurityContext};
use kube::api::{Patch, PatchParams, PostParams, ValidationDirective};
use kube::{Error, ResourceExt};
use latchkey_crds::AuthService;
use latchkey_crds::auth_service::PodTemplate;
use latchkey_crds::pod_template::check_pod_template;
use serde_json::{Value, json};

use super::findings::{Findings, Outcome};
use super::quotas::{PodNeeds, needs};
use crate::cluster::{Cluster, FIELD_MANAGER};
use crate::failure::Failure;
use crate::pods::SERVER_CONTAINER;

const FIELDS: &str = "fields";
const PODS: &str = "pods";

/// Applies the manifest in a dry run. Returns the AuthService with the defaults of the API server, if it is accepted.
pub async fn manifest(
    cluster: &Cluster,
    value: &Value,
    findings: &mut Findings,
) -> Result<Option<AuthService>, Failure> {
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    let subject = format!("AuthService {}/{name}", cluster.namespace);
    let parameters = PatchParams {
        dry_run: true,
        force: true,
        field_manager: Some(FIELD_MANAGER.to_owned()),
        field_validation: Some(ValidationDirective::Strict),
    };
    let mut value = value.clone();
    value["metadata"]["namespace"] = json!(cluster.namespace);
    // The operator writes it.
    if let Some(members) = value.as_object_mut() {
        members.remove("status");
    }
    match cluster.api::<AuthService>().patch(name, &parameters, &Patch::Apply(&value)).await {
        Ok(service) => {
            findings.add(FIELDS, subject, Outcome::Passed, "the API server accepts it (dry run)");
            Ok(Some(service))
        }
        Err(Error::Api(status)) if status.code == 404 && status.reason != "NotFound" => {
            Err(Failure::NoDefinition)
        }
        Err(Error::Api(status)) => {
            findings.add(FIELDS, subject, Outcome::Failed, &status.message);
            // The other checks need its fields. Without defaults they may still be readable.
            value["metadata"]["namespace"] = json!(cluster.namespace);
            Ok(serde_json::from_value(value).ok())
        }
        Err(Error::SerdeError(error)) => {
            let message =
                format!("accepted, but this plugin is of another release and cannot read it: {error}");
            findings.add(FIELDS, subject, Outcome::Warning, message);
            Ok(None)
        }
        Err(error) => Err(Failure::of_request("apply the AuthService in a dry run", &error)),
    }
}

/// Creates one pod of each component in a dry run: LimitRanges, quotas, Pod Security and webhooks decide on it.
pub async fn pods(cluster: &Cluster, service: &AuthService, findings: &mut Findings) {
    if service.spec.pod_template.is_some() {
        match check_pod_template(service.spec.pod_template.as_ref()) {
            Ok(_) => findings.add(FIELDS, "spec.podTemplate", Outcome::Passed, "the operator accepts it"),
            Err(refusal) => findings.add(FIELDS, "spec.podTemplate", Outcome::Failed, refusal),
        }
    }
    for pod in needs(service) {
        let subject = format!("a pod of {} ({})", service.name_any(), pod.component);
        let rendered = match rendered(service, &pod) {
            Ok(rendered) => rendered,
            Err(error) => {
                findings.add(
                    PODS,
                    subject,
                    Outcome::Failed,
                    format!("spec.podTemplate is not a pod template: {error}"),
                );
                continue;
            }
        };
        let parameters = PostParams { dry_run: true, field_manager: Some(FIELD_MANAGER.to_owned()) };
        match cluster.api::<Pod>().create(&parameters, &rendered).await {
            Ok(_) => findings.add(PODS, subject, Outcome::Passed, "admission accepts it (dry run)"),
            Err(Error::Api(status)) if status.code == 403 && is_denied_by_rbac(&status.message) => {
                let message = "you may not create pods, so admission cannot be tried".to_owned();
                findings.add(PODS, subject, Outcome::Unknown, message);
            }
            Err(Error::Api(status)) => findings.add(PODS, subject, Outcome::Failed, &status.message),
            Err(error) => findings.add(PODS, subject, Outcome::Unknown, error.to_string()),
        }
    }
}

/// RBAC names the user; admission names the object.
fn is_denied_by_rbac(message: &str) -> bool {
    message.contains("User \"") && message.contains("cannot create resource")
}

/// A pod like that of the operator, as far as admission looks at it.
fn rendered(service: &AuthService, pod: &PodNeeds) -> Result<Pod, serde_json::Error> {
    let security = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    });
    let spec = &service.spec.pod;
    let is_server = pod.component == SERVER_CONTAINER;
    let mut template: PodTemplateSpec = serde_json::from_value(json!({
        "metadata": {
            "labels": if is_server { json!(spec.labels) } else { json!({}) },
            "annotations": if is_server { json!(spec.annotations) } else { json!({}) },
        },
        "spec": {
            "automountServiceAccountToken": false,
            "priorityClassName": if is_server { json!(spec.priority_class_name) } else { Value::Null },
            "securityContext": {
                "runAsNonRoot": true,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": pod.component,
                "image": image(service, pod.component),
                "resources": pod.resources,
                "securityContext": security,
            }],
        },
    }))?;
    if let Some(PodTemplate(given)) = service.spec.pod_template.as_ref().filter(|_| is_server) {
        template.merge_from(serde_json::from_value(Value::Object(given.clone()))?);
        let containers = template.spec.iter_mut().flat_map(|spec| &mut spec.containers);
        for container in containers.filter(|container| container.name != SERVER_CONTAINER) {
            let mut restricted: SecurityContext = serde_json::from_value(security.clone())?;
            restricted.merge_from(container.security_context.take().unwrap_or_default());
            container.security_context = Some(restricted);
        }
    }
    let mut metadata = template.metadata.unwrap_or_default();
    metadata.generate_name = Some(format!("{}-check-", service.name_any()));
    Ok(Pod { metadata, spec: template.spec, status: None })
}

/// The image of the spec, or the default of this release: admission may decide by the registry.
fn image(service: &AuthService, component: &str) -> String {
    let default = match component {
        "postgres" => return "docker.io/library/postgres:17".to_owned(),
        "redis" => return "docker.io/valkey/valkey:8.1".to_owned(),
        _ => "ghcr.io/latchkey-dev/latchkey-server",
    };
    let given = &service.spec.image;
    let repository = given.repository.as_deref().unwrap_or(default);
    match (&given.digest, &given.tag) {
        (Some(digest), _) => format!("{repository}@{digest}"),
        (None, Some(tag)) => format!("{repository}:{tag}"),
        (None, None) => format!("{repository}:{}", env!("CARGO_PKG_VERSION")),
    }
}
