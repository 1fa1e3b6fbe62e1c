//! ResourceQuotas: whether all pods together fit. LimitRanges and the quota of one pod are decided by the dry run.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceQuota, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use latchkey_crds::AuthService;
use serde_json::json;

use super::findings::{Findings, Outcome};
use super::quantity;
use crate::cluster::Cluster;
use crate::failure::Failure;

const AREA: &str = "quotas";

/// The pods of a component.
#[derive(Debug, Clone)]
pub struct PodNeeds {
    /// The component.
    pub component: &'static str,
    /// How many there are at the same time, at most.
    pub count: i128,
    /// The resources of each.
    pub resources: ResourceRequirements,
}

/// The pods that the operator creates for an AuthService. tests/operator/plugin_check.rs compares them with those that it
/// creates.
pub fn needs(service: &AuthService) -> Vec<PodNeeds> {
    let spec = &service.spec;
    let most = spec.autoscaling.as_ref().map_or(spec.replicas, |autoscaling| autoscaling.max_replicas);
    let server = spec.pod.resources.clone().unwrap_or_else(|| resources("50m", "64Mi", "256Mi"));
    let migration = spec.migration.resources.clone().unwrap_or_else(|| resources("50m", "64Mi", "256Mi"));
    let postgres = spec.database.embedded.as_ref().and_then(|embedded| embedded.resources.clone());
    let postgres = postgres.unwrap_or_else(|| resources("50m", "128Mi", "512Mi"));
    let redis = spec.redis.embedded.as_ref().and_then(|embedded| embedded.resources.clone());
    let redis = redis.unwrap_or_else(|| resources("20m", "32Mi", "192Mi"));
    let mut pods = vec![
        PodNeeds { component: "server", count: i128::from(most) + surge(service, most), resources: server },
        PodNeeds { component: "migration", count: 1, resources: migration },
    ];
    if spec.database.url_secret_ref.is_none() {
        pods.push(PodNeeds { component: "postgres", count: 1, resources: postgres });
    }
    if spec.redis.url_secret_ref.is_none() {
        pods.push(PodNeeds { component: "redis", count: 1, resources: redis });
    }
    pods
}

/// How many pods a rollout adds, at most.
fn surge(service: &AuthService, replicas: i32) -> i128 {
    match &service.spec.rollout.max_surge {
        IntOrString::Int(pods) => i128::from(*pods),
        IntOrString::String(text) => {
            let percent: i128 = text.trim_end_matches('%').parse().unwrap_or_default();
            (i128::from(replicas) * percent + 99) / 100
        }
    }
}

fn resources(cpu: &str, memory: &str, memory_limit: &str) -> ResourceRequirements {
    let value = json!({"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory_limit}});
    serde_json::from_value(value).unwrap_or_default()
}

/// What all pods need together, by the names that quotas use.
fn total(pods: &[PodNeeds]) -> BTreeMap<String, i128> {
    let mut total = BTreeMap::new();
    let mut add = |name: String, amount: i128| *total.entry(name).or_insert(0) += amount;
    for pod in pods {
        add("pods".to_owned(), pod.count * 1_000);
        add("count/pods".to_owned(), pod.count * 1_000);
        for (kind, quantities) in [("requests", &pod.resources.requests), ("limits", &pod.resources.limits)] {
            for (name, amount) in quantities.iter().flatten() {
                let amount = quantity::parse(&amount.0).unwrap_or_default() * pod.count;
                add(format!("{kind}.{name}"), amount);
                if kind == "requests" {
                    add(name.clone(), amount);
                }
            }
        }
    }
    total
}

/// Compares the needs with what each quota leaves.
pub async fn check(cluster: &Cluster, service: &AuthService, findings: &mut Findings) {
    let quotas: Vec<ResourceQuota> = match cluster.list("").await {
        Ok(quotas) => quotas,
        Err(error) => {
            let failure = Failure::of_request("list the ResourceQuotas", &error);
            findings.add(AREA, &cluster.namespace, Outcome::Unknown, failure.to_string());
            return;
        }
    };
    if quotas.is_empty() {
        findings.add(AREA, &cluster.namespace, Outcome::Passed, "the namespace has no ResourceQuota");
    }
    // Pods that exist already are part of what is used.
    let exists = !cluster
        .list::<k8s_openapi::api::apps::v1::Deployment>(&crate::pods::selector(&service.name_any()))
        .await
        .unwrap_or_default()
        .is_empty();
    for quota in &quotas {
        compare(quota, service, exists, findings);
    }
}

fn compare(quota: &ResourceQuota, service: &AuthService, exists: bool, findings: &mut Findings) {
    let subject = format!("ResourceQuota {}", quota.name_any());
    let spec = quota.spec.clone().unwrap_or_default();
    if spec.scopes.is_some() || spec.scope_selector.is_some() {
        findings.add(
            AREA,
            subject,
            Outcome::Unknown,
            "it applies only to some pods; the dry run of a pod decides",
        );
        return;
    }
    let status = quota.status.clone().unwrap_or_default();
    let hard = status.hard.or(spec.hard).unwrap_or_default();
    let used = status.used.unwrap_or_default();
    let mut pods = needs(service);
    if exists {
        // What runs is part of what is used. A rollout adds a migration and one replica.
        pods.retain(|pod| ["server", "migration"].contains(&pod.component));
        for pod in &mut pods {
            pod.count = 1;
        }
    }
    let total = total(&pods);
    let mut faults = Vec::new();
    for (name, limit) in &hard {
        let Some(limit) = quantity::parse(&limit.0) else { continue };
        let used = used.get(name).and_then(|used| quantity::parse(&used.0)).unwrap_or_default();
        let Some(needed) = total.get(name).copied() else { continue };
        let room = limit - used;
        if needed > room {
            let show = |amount| quantity::show(name, amount);
            faults.push(format!(
                "{name}: {} are needed with one more replica during a rollout, and {} of {} are left",
                show(needed),
                show(room.max(0)),
                show(limit)
            ));
        }
    }
    if faults.is_empty() {
        findings.add(AREA, subject, Outcome::Passed, "all pods fit");
    } else {
        findings.add(AREA, subject, Outcome::Failed, faults.join("; "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_needs_of_all_pods_are_added() {
        let service: AuthService = serde_json::from_value(json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": {"name": "a"}, "spec": {"replicas": 2},
        }))
        .expect("an AuthService");
        let total = total(&needs(&service));
        assert_eq!(total["pods"], 6_000, "three servers during a rollout, a migration and two stores");
        assert_eq!(total["requests.cpu"], 3 * 50 + 50 + 50 + 20);
        assert_eq!(total["limits.memory"], (4 * 256 + 512 + 192) * 1024 * 1024 * 1_000);
    }
}
