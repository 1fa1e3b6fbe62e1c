//! The permissions of the chart's ServiceAccount, as the API server evaluates them: exactly those in the snapshots.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::discovery::Discovery;
use kube::{Api, Client};
use latchkey_tests::control_plane::{ControlPlane, apply};
use latchkey_tests::operator::Installation;
use serde_json::{Value, json};

const VERBS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
/// Resources that discovery does not list: subresources and special verbs, each by group, resource, subresource and
/// verb.
const SPECIAL: [(&str, &str, &str, &str); 26] = [
    ("", "pods", "exec", "create"),
    ("", "pods", "exec", "get"),
    ("", "pods", "attach", "create"),
    ("", "pods", "portforward", "create"),
    ("", "pods", "proxy", "get"),
    ("", "pods", "log", "get"),
    ("", "pods", "ephemeralcontainers", "patch"),
    ("", "pods", "eviction", "create"),
    ("", "services", "proxy", "get"),
    ("", "nodes", "proxy", "get"),
    ("", "serviceaccounts", "token", "create"),
    ("", "serviceaccounts", "", "impersonate"),
    ("", "users", "", "impersonate"),
    ("", "groups", "", "impersonate"),
    ("apps", "deployments", "scale", "patch"),
    ("latchkey.dev", "authservices", "status", "patch"),
    ("latchkey.dev", "authservices", "finalizers", "update"),
    ("latchkey.dev", "authservices", "scale", "patch"),
    ("latchkey.dev", "authclients", "status", "patch"),
    ("latchkey.dev", "authclients", "finalizers", "update"),
    ("route.openshift.io", "routes", "custom-host", "create"),
    ("route.openshift.io", "routes", "custom-host", "update"),
    ("rbac.authorization.k8s.io", "roles", "", "escalate"),
    ("rbac.authorization.k8s.io", "clusterroles", "", "bind"),
    ("certificates.k8s.io", "signers", "", "approve"),
    ("*", "*", "", "*"),
];

/// CustomResourceDefinitions: the optional ones, and an unrelated one.
const DEFINITIONS: [&str; 6] = [
    "authclients.latchkey.dev",
    "backendtlspolicies.gateway.networking.k8s.io",
    "certificates.cert-manager.io",
    "httproutes.gateway.networking.k8s.io",
    "servicemonitors.monitoring.coreos.com",
    "authservices.latchkey.dev",
];

struct Question {
    namespace: &'static str,
    group: String,
    resource: String,
    subresource: String,
    verb: &'static str,
    name: &'static str,
}

async fn may(client: &Client, installation: &Installation, question: &Question) -> bool {
    account_may(client, (&installation.user, &installation.namespace), question).await
}

/// The same for any service account, by its user name and its namespace.
async fn account_may(client: &Client, (user, namespace): (&str, &str), question: &Question) -> bool {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let groups = ["system:serviceaccounts", "system:authenticated"].map(str::to_owned);
    let mut groups = groups.to_vec();
    groups.push(format!("system:serviceaccounts:{namespace}"));
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            groups: Some(groups),
            resource_attributes: Some(ResourceAttributes {
                namespace: some(question.namespace),
                group: some(&question.group),
                resource: some(&question.resource),
                subresource: some(&question.subresource),
                verb: some(question.verb),
                name: some(question.name),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    let answer = api.create(&PostParams::default(), &review).await.expect("a response");
    answer.status.expect("a status").allowed
}

/// All access reviews: each resource of the API server, with each verb, in each place.
async fn reviews(client: &Client, namespaces: &[&'static str]) -> Vec<Question> {
    let discovery = Discovery::new(client.clone()).run().await.expect("the resources of the API server");
    let mut resources: BTreeSet<(String, String)> = discovery
        .groups()
        .flat_map(kube::discovery::ApiGroup::recommended_resources)
        .map(|(resource, _)| (resource.group, resource.plural))
        .collect();
    // Kubernetes allows every account to review its own access and identity, and every service account to read the
    // trusted authorities.
    resources.retain(|(group, resource)| {
        !matches!(group.as_str(), "authorization.k8s.io" | "authentication.k8s.io")
            && resource != "clustertrustbundles"
    });
    let mut questions = Vec::new();
    for namespace in namespaces {
        let mut ask = |group: &str, resource: &str, subresource: &str, verb, name| {
            questions.push(Question {
                namespace,
                group: group.to_owned(),
                resource: resource.to_owned(),
                subresource: subresource.to_owned(),
                verb,
                name,
            });
        };
        for (group, resource) in &resources {
            for verb in VERBS {
                ask(group, resource, "", verb, "");
            }
        }
        for (group, resource, subresource, verb) in SPECIAL {
            ask(group, resource, subresource, verb, "");
        }
        for verb in ["get", "update", "patch", "delete"] {
            ask("coordination.k8s.io", "leases", "", verb, "latchkey-operator");
        }
        for definition in DEFINITIONS {
            for verb in ["list", "watch", "get"] {
                ask("apiextensions.k8s.io", "customresourcedefinitions", "", verb, definition);
            }
        }
    }
    questions
}

/// The allowed verbs, by place and resource.
async fn matrix(installation: &Installation, namespaces: &[&'static str]) -> BTreeMap<String, String> {
    let client = ControlPlane::shared().await.client().await;
    let questions = reviews(&client, namespaces).await;
    assert!(questions.len() > 400, "the API server has too few resources");
    let answers =
        stream::iter(&questions).map(async |question| (may(&client, installation, question).await, question));
    let allowed: Vec<&Question> =
        answers.buffered(32).filter_map(async |(may, question)| may.then_some(question)).collect().await;
    let mut matrix: BTreeMap<String, String> = BTreeMap::new();
    for question in allowed {
        let Question { namespace, group, resource, subresource, verb, name } = question;
        let place = if namespace.is_empty() { "everywhere" } else { namespace };
        let mut what = format!("{place}: {resource}");
        for (mark, part) in [("/", subresource.as_str()), (".", group.as_str()), (" ", name)] {
            if !part.is_empty() {
                what.push_str(mark);
                what.push_str(part);
            }
        }
        let verbs = matrix.entry(what).or_default();
        if !verbs.is_empty() {
            verbs.push(' ');
        }
        verbs.push_str(verb);
    }
    matrix
}

async fn namespace(name: &str) {
    let client = ControlPlane::shared().await.client().await;
    apply(&client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await;
}

#[tokio::test]
async fn with_one_namespace_the_operator_has_no_permission_elsewhere() {
    let control_plane = ControlPlane::shared().await;
    for name in ["rights-watched", "rights-other"] {
        namespace(name).await;
    }
    let values = ["watchNamespace=rights-watched", "fullnameOverride=rights-one"];
    let installation = Installation::new(control_plane, "rights-one", &values).await;
    let matrix = matrix(&installation, &["rights-one", "rights-watched", "rights-other", ""]).await;
    insta::assert_yaml_snapshot!("one_namespace", matrix);
    // Explicitly, regardless of the snapshot.
    for (what, verbs) in &matrix {
        let (place, resource) = what.split_once(": ").expect("a place");
        match place {
            "rights-watched" => {}
            "rights-one" => {
                assert!(resource.starts_with("leases.") || resource.starts_with("customresource"));
            }
            _ => assert!(resource.starts_with("customresourcedefinitions."), "{what}: {verbs}"),
        }
        assert_is_harmless(what, verbs);
    }
}

#[tokio::test]
async fn with_all_namespaces_the_operator_has_only_the_needed_permissions() {
    let control_plane = ControlPlane::shared().await;
    namespace("rights-other").await;
    let installation = Installation::new(control_plane, "rights-all", &["fullnameOverride=rights-all"]).await;
    let matrix = matrix(&installation, &["rights-all", "rights-other", ""]).await;
    insta::assert_yaml_snapshot!("all_namespaces", matrix);
    for (what, verbs) in &matrix {
        assert_is_harmless(what, verbs);
        assert!(!what.starts_with("rights-other: leases"), "{what}: {verbs}");
    }
}

/// The chart permits reviews of tokens to the servers that it names: to no other account, and not to the operator.
#[tokio::test]
async fn only_the_named_servers_may_review_tokens() {
    let control_plane = ControlPlane::shared().await;
    namespace("rights-identity").await;
    let values = [
        "fullnameOverride=rights-reviews",
        "watchNamespace=rights-identity",
        "workloadIdentity.authServices[0].namespace=rights-identity",
        "workloadIdentity.authServices[0].name=auth",
    ];
    let operator = Installation::new(control_plane, "rights-reviews", &values).await;
    let client = control_plane.client().await;
    let review = Question {
        namespace: "",
        group: "authentication.k8s.io".to_owned(),
        resource: "tokenreviews".to_owned(),
        subresource: String::new(),
        verb: "create",
        name: "",
    };
    for (name, expected) in [("auth", true), ("other", false), ("default", false)] {
        let user = format!("system:serviceaccount:rights-identity:{name}");
        assert_eq!(account_may(&client, (&user, "rights-identity"), &review).await, expected, "{name}");
    }
    assert!(!may(&client, &operator, &review).await);
}

/// Every permission of the chart is among the reviewed ones.
#[test]
fn every_rule_of_the_chart_is_reviewed() {
    for (values, snapshot) in [
        (
            vec!["watchNamespace=rights-watched"],
            include_str!("snapshots/operator__rights__one_namespace.snap"),
        ),
        (vec![], include_str!("snapshots/operator__rights__all_namespaces.snap")),
    ] {
        let objects = latchkey_tests::chart::render("latchkey", "latchkey-system", &values);
        let roles = objects.iter().filter(|object| {
            // The roles for users have labels.
            let is_role = object["kind"] == "Role" || object["kind"] == "ClusterRole";
            is_role && !object["metadata"]["labels"].to_string().contains("aggregate-to")
        });
        let texts = |rule: &Value, list: &str| -> Vec<String> {
            let elements = rule[list].as_array().into_iter().flatten();
            elements.filter_map(|text| text.as_str().map(str::to_owned)).collect()
        };
        let mut granted_verbs = 0;
        for rule in roles.flat_map(|role| role["rules"].as_array().into_iter().flatten()) {
            let names = texts(rule, "resourceNames");
            let names = if names.is_empty() { vec![String::new()] } else { names };
            for ((group, resource), name) in texts(rule, "apiGroups")
                .iter()
                .flat_map(|group| texts(rule, "resources").into_iter().map(move |resource| (group, resource)))
                .flat_map(|pair| names.iter().map(move |name| (pair.clone(), name)))
            {
                let mut what = resource;
                for (mark, part) in [(".", group), (" ", name)] {
                    if !part.is_empty() {
                        what.push_str(mark);
                        what.push_str(part);
                    }
                }
                let line = snapshot.lines().find(|line| line.contains(&format!(": {what}\":")));
                let line = line.unwrap_or_else(|| panic!("{what} is not in the snapshot"));
                let granted: Vec<&str> = line.rsplit(": ").next().unwrap_or_default().split(' ').collect();
                for verb in texts(rule, "verbs") {
                    assert!(granted.contains(&verb.as_str()), "{what}: {verb}: {line}");
                    granted_verbs += 1;
                }
            }
        }
        assert!(granted_verbs > 60, "{granted_verbs}");
    }
}

/// Regardless of the snapshot: no privilege escalation, and no bulk deletion.
fn assert_is_harmless(what: &str, verbs: &str) {
    let (_, resource) = what.split_once(": ").expect("a place");
    for forbidden in [
        "nodes",
        "roles",
        "rolebindings",
        "clusterroles",
        "clusterrolebindings",
        "pods/",
        "serviceaccounts/",
        "*",
    ] {
        assert!(!resource.starts_with(forbidden), "{what}: {verbs}");
    }
    for forbidden in ["deletecollection", "escalate", "bind", "impersonate", "*"] {
        assert!(!verbs.split(' ').any(|verb| verb == forbidden), "{what}: {verbs}");
    }
    if resource == "namespaces" {
        // Their labels decide which AuthClients an AuthService admits.
        assert_eq!(verbs, "get", "{what}");
    }
    if resource == "pods" {
        // Pods are annotated to notify their kubelets of a new key set.
        assert_eq!(verbs, "list watch patch");
    }
}
