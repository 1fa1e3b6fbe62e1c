//! All objects in the cluster, to find those that remain afterwards.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::api::{DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::discovery::{ApiGroup, Discovery, Scope, verbs};
use kube::{Api, Client, ResourceExt};

use crate::waiting::wait_for;

/// Objects, as `NAMESPACE/Kind/name`.
pub type Objects = BTreeSet<String>;

/// Everything in a namespace but Events, which tell of the past.
pub async fn of_namespace(client: &Client, namespace: &str) -> Objects {
    let mut found = Objects::new();
    for resource in resources(client, |scope| *scope == Scope::Namespaced).await {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        add(&mut found, &resource, api).await;
    }
    found
}

/// Everything in the cluster but Events and what the tests' own namespaces hold.
pub async fn all(client: &Client) -> Objects {
    let mut found = Objects::new();
    for resource in resources(client, |_| true).await {
        add(&mut found, &resource, Api::all_with(client.clone(), &resource)).await;
    }
    found.retain(|object| !object.contains("e2e-"));
    found
}

async fn add(found: &mut Objects, resource: &ApiResource, api: Api<DynamicObject>) {
    let list = match api.list(&ListParams::default()).await {
        Ok(list) => list.items,
        // A kind that has gone since the API server said that it serves it.
        Err(kube::Error::Api(status)) if status.code == 404 => return,
        Err(error) => panic!("{} cannot be listed: {error}", resource.kind),
    };
    for object in list {
        let namespace = object.namespace().unwrap_or_default();
        found.insert(format!("{namespace}/{}/{}", resource.kind, object.name_any()));
    }
}

async fn resources(client: &Client, wanted: impl Fn(&Scope) -> bool) -> Vec<ApiResource> {
    // In one request: a group that goes between two would be an error.
    let discovery =
        Discovery::new(client.clone()).run_aggregated().await.expect("the API server says what it serves");
    let resources = discovery.groups().flat_map(ApiGroup::recommended_resources);
    resources
        .filter(|(resource, capabilities)| {
            wanted(&capabilities.scope)
                && capabilities.supports_operation(verbs::LIST)
                && !matches!(
                    resource.kind.as_str(),
                    // A volume goes some time after its claim; with the other two the API server keeps account
                    // of kinds and of the addresses of Services.
                    "Event"
                        | "PersistentVolume"
                        | "APIService"
                        | "IPAddress"
                        // What metrics-server has measured last.
                        | "PodMetrics"
                        | "NodeMetrics"
                )
        })
        .map(|(resource, _)| resource)
        .collect()
}

/// Waits until a new namespace has what controllers put into each.
pub async fn wait_for_namespace(client: &Client, namespace: &str) {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    wait_for("the namespace's account and certificate", async || {
        accounts.get("default").await?;
        maps.get("kube-root-ca.crt").await.map(drop)
    })
    .await;
}
