//! The webhooks and policies that may change objects of a kind at admission.

use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use crate::cluster::kinds::Kind;
use crate::error_chain::ErrorChain;

/// The maximum number of names.
const MOST: usize = 8;

/// The names of the mutating webhooks and policies whose rules match this operation on a kind, such as
/// `MutatingWebhookConfiguration sidecar-injector`. Of their selectors only the name of the namespace is evaluated.
/// Empty if there are none, or if the operator may not list them.
pub(super) async fn mutating_plugins(
    client: &Client,
    kind: Kind,
    operation: &str,
    namespace: &str,
) -> Vec<String> {
    let sources = [
        ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
        ("MutatingAdmissionPolicy", "mutatingadmissionpolicies"),
    ];
    let mut names = Vec::new();
    for (source, plural) in sources {
        let group = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", source);
        let resource = ApiResource::from_gvk_with_plural(&group, plural);
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        match api.list(&kube::api::ListParams::default().limit(500)).await {
            Ok(found) => {
                let matching =
                    found.iter().filter(|plugin| concerns(&plugin.data, kind, operation, namespace));
                names.extend(matching.map(|plugin| format!("{source} {}", plugin.name_any())));
            }
            Err(error) => tracing::debug!(source, error = %ErrorChain(&error), "not listed"),
        }
    }
    names.truncate(MOST);
    names
}

fn concerns(plugin: &Value, kind: Kind, operation: &str, namespace: &str) -> bool {
    let of_webhooks =
        plugin["webhooks"].as_array().into_iter().flatten().map(|webhook| (webhook, &webhook["rules"]));
    let constraints = &plugin["spec"]["matchConstraints"];
    let mut rules = of_webhooks
        .chain([(constraints, &constraints["resourceRules"])])
        .filter(|(plugin, _)| {
            let selected = plugin.pointer("/namespaceSelector/matchLabels/kubernetes.io~1metadata.name");
            selected.is_none_or(|selected| selected == namespace)
        })
        .filter_map(|(_, rules)| rules.as_array())
        .flatten();
    let resource = kind.api_resource();
    rules.any(|rule| {
        let contains = |member: &str, wanted: &str| {
            rule[member].as_array().into_iter().flatten().any(|value| value == wanted || value == "*")
        };
        contains("apiGroups", &resource.group)
            && (contains("resources", &resource.plural) || contains("resources", "*/*"))
            && contains("operations", operation)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_rules_decide_whether_a_plugin_concerns_a_kind() {
        let rule = json!({"apiGroups": ["apps"], "resources": ["deployments"], "operations": ["CREATE"]});
        let webhook = json!({"webhooks": [{"rules": [rule]}]});
        let policy = json!({"spec": {"matchConstraints": {"resourceRules": [
            {"apiGroups": ["*"], "resources": ["*"], "operations": ["*"]},
        ]}}});
        assert!(concerns(&webhook, Kind::Deployment, "CREATE", "a"));
        assert!(!concerns(&webhook, Kind::Deployment, "UPDATE", "a"));
        assert!(!concerns(&webhook, Kind::StatefulSet, "CREATE", "a"));
        assert!(concerns(&policy, Kind::Job, "UPDATE", "a"));
        assert!(!concerns(&json!({}), Kind::Job, "UPDATE", "a"));
        let mut elsewhere = policy;
        elsewhere["spec"]["matchConstraints"]["namespaceSelector"] =
            json!({"matchLabels": {"kubernetes.io/metadata.name": "b"}});
        assert!(!concerns(&elsewhere, Kind::Job, "UPDATE", "a"));
        assert!(concerns(&elsewhere, Kind::Job, "UPDATE", "b"));
    }
}
