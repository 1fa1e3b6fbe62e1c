//! What the user may do, by SelfSubjectAccessReview.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

use super::findings::{Findings, Outcome};
use crate::cluster::Cluster;

const AREA: &str = "permissions";
/// Verb, group, resource, and whether applying fails without it.
const NEEDED: [(&str, &str, &str, bool); 5] = [
    ("create", "latchkey.dev", "authservices", true),
    ("patch", "latchkey.dev", "authservices", true),
    ("get", "", "secrets", false),
    ("get", "", "configmaps", false),
    ("create", "", "pods", false),
];

/// Checks the permissions of the user.
pub async fn check(cluster: &Cluster, findings: &mut Findings) {
    for (verb, group, resource, is_required) in NEEDED {
        let attributes = ResourceAttributes {
            namespace: Some(cluster.namespace.clone()),
            verb: Some(verb.to_owned()),
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            ..ResourceAttributes::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let api: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
        let subject = format!("you may {verb} {resource}");
        match api.create(&PostParams::default(), &review).await {
            Ok(review) if review.status.as_ref().is_some_and(|status| status.allowed) => {
                findings.add(AREA, subject, Outcome::Passed, "");
            }
            Ok(_) if is_required => {
                let message = format!("your user may not {verb} {resource} in {}", cluster.namespace);
                findings.add(AREA, subject, Outcome::Failed, message);
            }
            Ok(_) => {
                findings.add(AREA, subject, Outcome::Warning, "you may not: some checks below are left out");
            }
            Err(error) => findings.add(AREA, subject, Outcome::Unknown, error.to_string()),
        }
    }
}
