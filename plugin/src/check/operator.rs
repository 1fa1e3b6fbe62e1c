//! Whether an operator reconciles the namespace, and whether it may.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};

use super::findings::{Findings, Outcome};
use crate::cluster::Cluster;
use crate::failure::Failure;

const AREA: &str = "operator";
/// What the operator creates for every AuthService.
const CREATED: [(&str, &str); 8] = [
    ("", "secrets"),
    ("", "configmaps"),
    ("", "services"),
    ("", "serviceaccounts"),
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("batch", "jobs"),
    ("networking.k8s.io", "networkpolicies"),
];

/// The Deployments of operators.
pub async fn find(cluster: &Cluster, namespace: Option<&str>) -> Result<Vec<Deployment>, kube::Error> {
    let client = cluster.client.clone();
    let api: Api<Deployment> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let labels = ListParams::default().labels("app.kubernetes.io/component=operator");
    let found = api.list(&labels).await?.items;
    Ok(found.into_iter().filter(|deployment| arguments(deployment).any(|word| word == "run")).collect())
}

fn arguments(deployment: &Deployment) -> impl Iterator<Item = &str> {
    let pod = deployment.spec.template.spec.iter();
    pod.flat_map(|spec| &spec.containers)
        .flat_map(|container| container.args.iter().flatten())
        .map(String::as_str)
}

/// The namespaces that an operator watches; none for all.
fn watched(deployment: &Deployment) -> Vec<&str> {
    let values = arguments(deployment).filter_map(|word| word.strip_prefix("--watch-namespace="));
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|name| !name.is_empty()).collect()
}

/// Checks the operators that may be seen.
pub async fn check(cluster: &Cluster, findings: &mut Findings) {
    let found = match find(cluster, None).await {
        Ok(found) => found,
        Err(error) => {
            let failure = Failure::of_request("look for the operator in all namespaces", &error);
            findings.add(AREA, "the operator", Outcome::Unknown, failure.to_string());
            return;
        }
    };
    let namespace = cluster.namespace.as_str();
    let responsible: Vec<&Deployment> = found
        .iter()
        .filter(|deployment| {
            let watched = watched(deployment);
            watched.is_empty() || watched.contains(&namespace)
        })
        .collect();
    if responsible.is_empty() {
        let message = if found.is_empty() {
            "no Deployment of the operator is found: without one, an AuthService has no effect".to_owned()
        } else {
            format!("no operator watches the namespace {namespace}")
        };
        findings.add(AREA, "the operator", Outcome::Warning, message);
    }
    for deployment in responsible {
        let subject =
            format!("Deployment {}/{}", deployment.namespace().unwrap_or_default(), deployment.name_any());
        let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or_default();
        if ready > 0 {
            findings.add(AREA, &subject, Outcome::Passed, format!("{ready} replicas are ready"));
        } else {
            findings.add(AREA, &subject, Outcome::Failed, "no replica is ready");
        }
        may(cluster, deployment, &subject, findings).await;
    }
}

/// Whether its account may create objects in the namespace.
async fn may(cluster: &Cluster, deployment: &Deployment, subject: &str, findings: &mut Findings) {
    let pod = deployment.spec.template.spec.as_ref();
    let account =
        pod.and_then(|pod| pod.service_account_name.clone()).unwrap_or_else(|| "default".to_owned());
    let user = format!("system:serviceaccount:{}:{account}", deployment.namespace().unwrap_or_default());
    let api: Api<SubjectAccessReview> = Api::all(cluster.client.clone());
    let mut denied = Vec::new();
    for (group, resource) in CREATED {
        let attributes = ResourceAttributes {
            namespace: Some(cluster.namespace.clone()),
            verb: Some("create".to_owned()),
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(user.clone()),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        match api.create(&PostParams::default(), &review).await {
            Ok(review) if review.status.as_ref().is_some_and(|status| status.allowed) => {}
            Ok(_) => denied.push(resource),
            Err(error) => {
                let failure = Failure::of_request("ask for the operator's permissions", &error);
                findings.add(AREA, subject, Outcome::Unknown, failure.to_string());
                return;
            }
        }
    }
    if denied.is_empty() {
        findings.add(
            AREA,
            subject,
            Outcome::Passed,
            format!("it may create its objects in {}", cluster.namespace),
        );
    } else {
        let message = format!("{user} may not create {} in {}", denied.join(", "), cluster.namespace);
        findings.add(AREA, subject, Outcome::Failed, message);
    }
}
