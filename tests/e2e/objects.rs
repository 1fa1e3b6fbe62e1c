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

/// All objects in a namespace, except Events.
pub async fn of_namespace(client: &Client, namespace: &str) -> Objects {
    let mut found = Objects::new();
    for resource in resources(client, |scope| *scope == Scope::Namespaced).await {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        add(&mut found, &resource, api).await;
    }
    found
}

/// All objects in the cluster, except Events and those in the namespaces of the tests.
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
        // The kind was removed after the discovery.
        Err(kube::Error::Api(status)) if status.code == 404 => return,
        Err(error) => panic!("{} cannot be listed: {error}", resource.kind),
    };
    for object in list {
        let namespace = object.namespace().unwrap_or_default();
        found.insert(format!("{namespace}/{}/{}", resource.kind, object.name_any()));
    }
}

async fn resources(client: &Client, wanted: impl Fn(&Scope) -> bool) -> Vec<ApiResource> {
    // In one request, because a group that is removed between two requests would be an error.
    let discovery =
        Discovery::new(client.clone()).run_aggregated().await.expect("the resources of the API server");
    let resources = discovery.groups().flat_map(ApiGroup::recommended_resources);
    resources
        .filter(|(resource, capabilities)| {
            wanted(&capabilities.scope)
                && capabilities.supports_operation(verbs::LIST)
                && !matches!(
                    resource.kind.as_str(),
                    // A volume is deleted some time after its claim. The API server manages the other two itself, for
                    // kinds and for the addresses of Services.
                    "Event"
                        | "PersistentVolume"
                        | "APIService"
                        | "IPAddress"
                        // The last measurements of metrics-server.
                        | "PodMetrics"
                        | "NodeMetrics"
                )
        })
        .map(|(resource, _)| resource)
        .collect()
}

/// Waits until controllers have created their objects in a new namespace.
pub async fn wait_for_namespace(client: &Client, namespace: &str) {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    wait_for("the namespace's account and certificate", async || {
        accounts.get("default").await?;
        maps.get("kube-root-ca.crt").await.map(drop)
    })
    .await;
}
