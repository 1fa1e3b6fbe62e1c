//! Which OAuth clients may be registered.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_default;
use crate::auth_client::GrantType;

/// Which AuthClients may be registered with the AuthService, and the most that they may ask for.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Clients {
    /// The namespaces whose AuthClients may be registered. Default: that of the AuthService.
    #[serde(default, skip_serializing_if = "is_default")]
    #[x_kube(validation = Rule::new("(self.from == 'Selector') == has(self.selector)")
        .message("spec.clients.allowedNamespaces: set selector if from is Selector, and only then"))]
    pub allowed_namespaces: AllowedNamespaces,
    /// The most that an AuthClient may ask for. An AuthClient that asks for more is refused.
    #[serde(default, skip_serializing_if = "is_default")]
    pub maximum: ClientMaximum,
}

/// Namespaces, as in the listeners of Gateway API.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub struct AllowedNamespaces {
    /// Same (the namespace of the AuthService), Selector (the namespaces with matching labels) or All.
    #[serde(default)]
    pub from: NamespacesFrom,
    /// Labels of the namespaces, if from is Selector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// How namespaces are chosen.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NamespacesFrom {
    /// Only the namespace of the AuthService.
    #[default]
    Same,
    /// The namespaces with matching labels.
    Selector,
    /// All namespaces that the operator watches.
    All,
}

/// The most that an AuthClient may ask for. A list that is unset permits everything but administrative scopes and token
/// exchange, which must be listed; an empty one permits nothing.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct ClientMaximum {
    /// The scopes that AuthClients may have. users.read, users.write, audit.read and groups.manage let a client administer
    /// this AuthService: every client that may be registered may have those that are listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), inner(length(min = 1, max = 128)))]
    pub scopes: Option<Vec<String>>,
    /// The audiences that AuthClients may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), inner(length(min = 1, max = 512)))]
    pub audiences: Option<Vec<String>>,
    /// The grants that AuthClients may have. urn:ietf:params:oauth:grant-type:token-exchange lets a client act for the
    /// users and clients that call it, towards clients that allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub grant_types: Option<Vec<GrantType>>,
    /// The names of the claims that AuthClients may add to tokens of people (spec.claims). All AuthClients issue these
    /// tokens for one audience: an application that trusts a claim trusts every AuthClient that may have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    pub claims: Option<Vec<String>>,
}
