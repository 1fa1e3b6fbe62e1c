//! Objects of others with the names that the operator uses.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use kube::{Resource, ResourceExt};
use latchkey_crds::AuthService;
use serde::de::DeserializeOwned;

use super::findings::{Findings, Outcome};
use crate::cluster::Cluster;

const AREA: &str = "names";

/// Checks the main objects.
pub async fn check(cluster: &Cluster, service: &AuthService, findings: &mut Findings) {
    let name = service.name_any();
    let mut taken = Vec::new();
    let with = |suffix: &str| format!("{name}{suffix}");
    taken.extend(foreign::<Deployment>(cluster, &name, &name).await);
    taken.extend(foreign::<ServiceAccount>(cluster, &name, &name).await);
    for suffix in ["-settings", "-jwks"] {
        taken.extend(foreign::<ConfigMap>(cluster, &with(suffix), &name).await);
    }
    for suffix in ["", "-management", "-postgres", "-redis"] {
        taken.extend(foreign::<Service>(cluster, &with(suffix), &name).await);
    }
    for suffix in ["-postgres", "-redis"] {
        taken.extend(foreign::<StatefulSet>(cluster, &with(suffix), &name).await);
    }
    for suffix in ["-jwt-keys", "-smtp", "-trusted-cas", "-postgres", "-redis"] {
        taken.extend(foreign::<Secret>(cluster, &with(suffix), &name).await);
    }
    let title = format!("AuthService {name}");
    if taken.is_empty() {
        findings.add(AREA, title, Outcome::Passed, "no other object has a name that the operator uses");
    } else {
        let message = format!(
            "{} belong to others: delete or rename them, or use another name for the AuthService",
            taken.join(", ")
        );
        findings.add(AREA, title, Outcome::Failed, message);
    }
}

/// The object, if it exists and does not belong to the AuthService.
async fn foreign<K>(cluster: &Cluster, name: &str, service: &str) -> Option<String>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    K::DynamicType: Default,
{
    // What may not be read cannot be checked; the operator reports a conflict in a condition.
    let found = cluster.api::<K>().get_metadata_opt(name).await.ok().flatten()?;
    let controller = found.owner_references().iter().find(|owner| owner.controller == Some(true));
    let is_ours = match controller {
        Some(owner) => owner.kind == "AuthService" && owner.name == service,
        None => {
            found.labels().get("app.kubernetes.io/managed-by").is_some_and(|by| by == "latchkey-operator")
        }
    };
    (!is_ours).then(|| format!("{} {name}", K::kind(&K::DynamicType::default())))
}
