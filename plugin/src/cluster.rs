//! The connection to the cluster that the options name.

use std::path::Path;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{GetParams, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Request;
use kube::{Api, Client, Config, Resource};
use latchkey_crds::{AuthClient, AuthService};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::ClusterArguments;
use crate::failure::{Failure, chain};
use crate::lists::{Listed, read};

/// The field manager of what this plugin writes.
pub const FIELD_MANAGER: &str = "kubectl-latchkey";

/// A connection to a cluster.
pub struct Cluster {
    /// The client.
    pub client: Client,
    /// The namespace of the options, or of the context.
    pub namespace: String,
    arguments: ClusterArguments,
}

impl Cluster {
    /// Connects to the cluster that the options name. No request is sent yet.
    pub async fn connect(arguments: ClusterArguments) -> Result<Self, Failure> {
        let config = configuration(&arguments).await?;
        let namespace = arguments.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| {
            Failure::NoCluster(format!("the kubeconfig cannot be used: {}", chain(&error)))
        })?;
        Ok(Self { client, namespace, arguments })
    }

    /// The same cluster with another namespace.
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self {
            client: self.client.clone(),
            namespace: namespace.to_owned(),
            arguments: self.arguments.clone(),
        }
    }

    /// The objects of a kind in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The AuthService of this name. If there is none, the failure lists the names that exist.
    pub async fn auth_service(&self, name: &str) -> Result<AuthService, Failure> {
        Ok(read(self.auth_service_as_stored(name).await?)?)
    }

    /// [`Self::auth_service`], also if this release cannot read it.
    pub async fn auth_service_as_stored(&self, name: &str) -> Result<Value, Failure> {
        let action = format!("read the AuthService {}/{name}", self.namespace);
        match self.get_as_stored::<AuthService>(name).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(self.missing(name).await),
            Err(error) => Err(Failure::of_request(&action, &error)),
        }
    }

    async fn get_as_stored<K: Resource<DynamicType = ()>>(
        &self,
        name: &str,
    ) -> Result<Option<Value>, kube::Error> {
        let request = Request::new(K::url_path(&(), Some(&self.namespace))).get(name, &GetParams::default());
        match self.client.request(request.map_err(kube::Error::BuildRequest)?).await {
            Err(kube::Error::Api(status)) if status.reason == "NotFound" => Ok(None),
            found => found.map(Some),
        }
    }

    async fn missing(&self, name: &str) -> Failure {
        let namespace = &self.namespace;
        match self.auth_services(false).await {
            Err(Failure::NoDefinition) => Failure::NoDefinition,
            Err(_) => Failure::NotFound(format!("the namespace {namespace} has no AuthService {name}")),
            Ok(found) => {
                let names = found.names();
                let existing = match names.len() {
                    0 => "it has none; -n names another namespace".to_owned(),
                    _ => format!("it has {}", names.join(", ")),
                };
                Failure::NotFound(format!("the namespace {namespace} has no AuthService {name}: {existing}"))
            }
        }
    }

    /// The AuthServices of the namespace, or of all namespaces.
    pub async fn auth_services(&self, all_namespaces: bool) -> Result<Listed<AuthService>, Failure> {
        let listed = self.list_all(all_namespaces).await;
        listed.map_err(|error| Failure::of_request("list the AuthServices", &error))
    }

    /// The AuthClient of this name. If there is none, the failure lists the names that exist.
    pub async fn auth_client(&self, name: &str) -> Result<AuthClient, Failure> {
        let namespace = &self.namespace;
        match self.get_as_stored::<AuthClient>(name).await {
            Ok(Some(found)) => Ok(read(found)?),
            Err(error) => Err(of_clients(&format!("read the AuthClient {namespace}/{name}"), &error)),
            Ok(None) => {
                let found = self.auth_clients(false).await;
                let existing = match found {
                    // The kind is missing, too.
                    Err(failure @ Failure::NoCluster(_)) => return Err(failure),
                    Err(_) => String::new(),
                    Ok(found) if found.is_empty() => ": it has none; -n names another namespace".to_owned(),
                    Ok(found) => format!(": it has {}", found.names().join(", ")),
                };
                Err(Failure::NotFound(format!(
                    "the namespace {namespace} has no AuthClient {name}{existing}"
                )))
            }
        }
    }

    /// The AuthClients of the namespace, or of all namespaces.
    pub async fn auth_clients(&self, all_namespaces: bool) -> Result<Listed<AuthClient>, Failure> {
        let listed = self.list_all(all_namespaces).await;
        listed.map_err(|error| of_clients("list the AuthClients", &error))
    }

    async fn list_all<K>(&self, all_namespaces: bool) -> Result<Listed<K>, kube::Error>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let namespace = (!all_namespaces).then_some(self.namespace.as_str());
        Ok(Listed::of(self.list_as_stored(&K::url_path(&(), namespace), "").await?))
    }

    /// The objects of a kind with these labels. Those that this release cannot read are left out.
    pub async fn list<K>(&self, labels: &str) -> Result<Vec<K>, kube::Error>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let path = K::url_path(&(), Some(&self.namespace));
        Ok(Listed::of(self.list_as_stored(&path, labels).await?).read)
    }

    /// The objects with these labels at a path of the API. Those of a list have neither `apiVersion` nor `kind`.
    pub async fn list_as_stored(&self, path: &str, labels: &str) -> Result<Vec<Value>, kube::Error> {
        let request = Request::new(path).list(&ListParams::default().labels(labels));
        let mut list = self.client.request::<Value>(request.map_err(kube::Error::BuildRequest)?).await?;
        Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    /// The options of kubectl that name the same cluster, user and namespace.
    pub fn kubectl_options(&self) -> Vec<String> {
        let arguments = &self.arguments;
        let path = arguments.kubeconfig.as_ref().map(|path| path.display().to_string());
        let options = [
            ("namespace", Some(self.namespace.clone())),
            ("kubeconfig", path),
            ("context", arguments.context.clone()),
            ("cluster", arguments.cluster.clone()),
            ("user", arguments.user.clone()),
            ("as", arguments.impersonate.clone()),
        ];
        let given = options.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value?)));
        given.collect()
    }
}

/// The failure of a request for AuthClients, whose definition is younger than that of AuthServices.
fn of_clients(action: &str, error: &kube::Error) -> Failure {
    match Failure::of_request(action, error) {
        Failure::NoDefinition => Failure::NoCluster(
            "the cluster has no kind AuthClient: install or upgrade the chart of Latchkey first".to_owned(),
        ),
        failure => failure,
    }
}

async fn configuration(arguments: &ClusterArguments) -> Result<Config, Failure> {
    let options = KubeConfigOptions {
        context: arguments.context.clone(),
        cluster: arguments.cluster.clone(),
        user: arguments.user.clone(),
    };
    let kubeconfig = match read_kubeconfig(arguments.kubeconfig.as_deref()) {
        Ok(kubeconfig) => kubeconfig,
        // In a pod, kubectl uses the account of the pod.
        Err(failure) => {
            let in_cluster = arguments.kubeconfig.is_none().then(|| Config::incluster().ok()).flatten();
            return in_cluster.ok_or(failure);
        }
    };
    let contexts: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| {
        let existing = if contexts.is_empty() {
            "it has no contexts".to_owned()
        } else {
            format!("its contexts are {}", contexts.join(", "))
        };
        Failure::NoCluster(format!("the kubeconfig names no cluster: {}; {existing}", chain(&error)))
    })?;
    Ok(impersonating(config, arguments))
}

fn impersonating(mut config: Config, arguments: &ClusterArguments) -> Config {
    if let Some(user) = &arguments.impersonate {
        config.auth_info.impersonate = Some(user.clone());
    }
    config
}

fn read_kubeconfig(path: Option<&Path>) -> Result<Kubeconfig, Failure> {
    let result = path.map_or_else(Kubeconfig::read, Kubeconfig::read_from);
    result.map_err(|error| {
        Failure::NoCluster(format!("no kubeconfig can be read: {}; --kubeconfig names one", chain(&error)))
    })
}
