//! The rendered objects of the chart.

use latchkey_tests::chart::{of_kind, render};
use serde_json::{Value, json};

fn kinds_and_names(objects: &[Value]) -> Vec<String> {
    let text =
        |object: &Value, path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or("-").to_owned();
    let mut found: Vec<String> = objects
        .iter()
        .map(|o| {
            format!("{} {} {}", text(o, "/kind"), text(o, "/metadata/namespace"), text(o, "/metadata/name"))
        })
        .collect();
    found.sort();
    found
}

fn container(objects: &[Value]) -> &Value {
    &of_kind(objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]
}

#[test]
fn by_default_the_operator_has_cluster_wide_permissions() {
    let objects = render("latchkey", "latchkey-system", &[]);
    assert_eq!(
        kinds_and_names(&objects),
        [
            "ClusterRole - latchkey-operator:latchkey-system",
            "ClusterRole - latchkey-operator:latchkey-system:edit",
            "ClusterRole - latchkey-operator:latchkey-system:optional-crds",
            "ClusterRole - latchkey-operator:latchkey-system:view",
            "ClusterRoleBinding - latchkey-operator:latchkey-system",
            "ClusterRoleBinding - latchkey-operator:latchkey-system:optional-crds",
            "CustomResourceDefinition - authclients.latchkey.dev",
            "CustomResourceDefinition - authservices.latchkey.dev",
            "Deployment latchkey-system latchkey-operator",
            "Lease latchkey-system latchkey-operator",
            "Role latchkey-system latchkey-operator:leader-election",
            "RoleBinding latchkey-system latchkey-operator:leader-election",
            "Service latchkey-system latchkey-operator",
            "ServiceAccount latchkey-system latchkey-operator",
        ]
    );
}

#[test]
fn with_a_watched_namespace_the_permissions_are_limited_to_it() {
    let objects = render("latchkey", "latchkey-system", &["watchNamespace=team-a"]);
    assert_eq!(
        kinds_and_names(&objects),
        [
            "ClusterRole - latchkey-operator:latchkey-system:edit",
            "ClusterRole - latchkey-operator:latchkey-system:optional-crds",
            "ClusterRole - latchkey-operator:latchkey-system:view",
            "ClusterRoleBinding - latchkey-operator:latchkey-system:optional-crds",
            "CustomResourceDefinition - authclients.latchkey.dev",
            "CustomResourceDefinition - authservices.latchkey.dev",
            "Deployment latchkey-system latchkey-operator",
            "Lease latchkey-system latchkey-operator",
            "Role latchkey-system latchkey-operator:leader-election",
            "Role team-a latchkey-operator",
            "RoleBinding latchkey-system latchkey-operator:leader-election",
            "RoleBinding team-a latchkey-operator",
            "Service latchkey-system latchkey-operator",
            "ServiceAccount latchkey-system latchkey-operator",
        ]
    );
    let cluster_wide = of_kind(&objects, "ClusterRole")
        .into_iter()
        .find(|role| role["metadata"]["name"].as_str().is_some_and(|name| name.ends_with(":optional-crds")));
    assert_eq!(
        cluster_wide.expect("the role for definitions")["rules"],
        json!([{
            "apiGroups": ["apiextensions.k8s.io"],
            "resources": ["customresourcedefinitions"],
            "resourceNames": [
                "authclients.latchkey.dev",
                "backendtlspolicies.gateway.networking.k8s.io",
                "certificates.cert-manager.io",
                "httproutes.gateway.networking.k8s.io",
                "servicemonitors.monitoring.coreos.com",
            ],
            "verbs": ["list", "watch"],
        }])
    );
    let arguments = container(&objects)["args"].as_array().expect("arguments");
    assert!(arguments.contains(&json!("--watch-namespace=team-a")));
}

#[test]
fn several_namespaces_have_a_role_each() {
    let values = ["watchNamespace=team-a", "watchNamespaces={team-b,team-a}"];
    let objects = render("latchkey", "latchkey-system", &values);
    let roles = of_kind(&objects, "Role");
    let places: Vec<_> = roles
        .iter()
        .filter(|role| role["metadata"]["name"] == "latchkey-operator")
        .map(|role| role["metadata"]["namespace"].clone())
        .collect();
    assert_eq!(places, ["team-a", "team-b"]);
    assert!(of_kind(&objects, "ClusterRoleBinding").iter().all(|binding| {
        binding["metadata"]["name"].as_str().is_some_and(|name| name.ends_with(":optional-crds"))
    }));
    let arguments = container(&objects)["args"].as_array().expect("arguments").clone();
    for argument in ["--watch-namespace=team-a", "--watch-namespace=team-b"] {
        assert!(arguments.contains(&json!(argument)), "{arguments:?}");
    }
}

#[test]
fn a_class_has_a_lease_of_its_own() {
    let objects = render("blue", "latchkey-system", &["operatorClass=blue", "selector=team=a"]);
    assert_eq!(of_kind(&objects, "Lease")[0]["metadata"]["name"], "latchkey-operator-blue");
    let election = of_kind(&objects, "Role").into_iter().find(|role| {
        role["metadata"]["name"].as_str().is_some_and(|name| name.ends_with(":leader-election"))
    });
    let rules = election.expect("a role")["rules"].to_string();
    assert!(rules.contains("[\"latchkey-operator-blue\"]"), "{rules}");
    let arguments = container(&objects)["args"].as_array().expect("arguments").clone();
    for argument in ["--operator-class=blue", "--selector=team=a"] {
        assert!(arguments.contains(&json!(argument)), "{arguments:?}");
    }
}

#[test]
fn a_registry_and_pull_secrets_apply_to_all_pods() {
    let values = ["image.registry=registry.example.com/mirror/", "imagePullSecrets[0].name=pull"];
    let objects = render("latchkey", "latchkey-system", &values);
    let pod = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"];
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "pull"}]));
    let image = container(&objects)["image"].as_str().expect("an image");
    assert!(image.starts_with("registry.example.com/mirror/latchkey-dev/latchkey-operator:"), "{image}");
    let arguments = container(&objects)["args"].as_array().expect("arguments").clone();
    for argument in ["--image-registry=registry.example.com/mirror/", "--image-pull-secret=pull"] {
        assert!(arguments.contains(&json!(argument)), "{arguments:?}");
    }
}

#[test]
fn both_modes_grant_the_same_permissions() {
    let wide = render("latchkey", "latchkey-system", &[]);
    let narrow = render("latchkey", "latchkey-system", &["watchNamespace=team-a"]);
    let rules = |objects: &[Value], kind: &str, name: &str| {
        let roles = of_kind(objects, kind);
        roles.iter().find(|role| role["metadata"]["name"] == name).expect("the role")["rules"].clone()
    };
    assert_eq!(
        rules(&wide, "ClusterRole", "latchkey-operator:latchkey-system"),
        rules(&narrow, "Role", "latchkey-operator")
    );
}

#[test]
fn no_permission_is_a_wildcard_or_allows_a_privilege_escalation() {
    // These permissions allow a privilege escalation.
    let powerful = ["roles", "rolebindings", "clusterroles", "clusterrolebindings", "nodes", "pods/exec"];
    for values in [&[][..], &["watchNamespace=team-a"]] {
        let objects = render("latchkey", "latchkey-system", values);
        let roles = [of_kind(&objects, "Role"), of_kind(&objects, "ClusterRole")].concat();
        for rule in roles.iter().flat_map(|role| role["rules"].as_array().expect("rules")) {
            let text = rule.to_string();
            assert!(!text.contains('*'), "{text}");
            for verb in ["escalate", "bind", "impersonate", "\"deletecollection\""] {
                let for_people = rule["apiGroups"] == json!(["latchkey.dev"]);
                assert!(for_people || !text.contains(verb), "{text}");
            }
            let resources = rule["resources"].as_array().expect("resources");
            assert!(!resources.iter().any(|r| powerful.contains(&r.as_str().unwrap_or_default())), "{text}");
        }
    }
}

#[test]
fn the_pod_has_no_privileges() {
    let objects = render("latchkey", "latchkey-system", &[]);
    let pod = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"];
    assert_eq!(
        pod["securityContext"],
        json!({
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        })
    );
    assert_eq!(
        container(&objects)["securityContext"],
        json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        })
    );
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert!(container(&objects)[probe].is_object(), "{probe}");
    }
    assert!(container(&objects)["resources"]["limits"]["memory"].is_string());
}

#[test]
fn a_cluster_that_assigns_users_gets_no_user_from_the_chart() {
    let objects = render("latchkey", "latchkey-system", &["podSecurity.assignUser=false"]);
    let pod = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"];
    assert_eq!(
        pod["securityContext"],
        json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}})
    );
    let arguments = container(&objects)["args"].as_array().expect("arguments");
    assert!(arguments.contains(&json!("--assign-pod-users=false")), "{arguments:?}");
}

#[test]
fn the_pace_of_rollouts_is_a_value() {
    for (values, expected) in [(&[][..], "--max-rollouts=10"), (&["maxRollouts=3"][..], "--max-rollouts=3")] {
        let objects = render("latchkey", "latchkey-system", values);
        let arguments = container(&objects)["args"].as_array().expect("arguments");
        assert!(arguments.contains(&json!(expected)), "{arguments:?}");
    }
}

#[test]
fn a_digest_takes_precedence_over_a_tag() {
    let digest = format!("sha256:{:064x}", 7);
    let with_digest =
        [format!("image.digest={digest}"), "image.tag=1.2".into(), format!("serverImage.digest={digest}")];
    let with_digest: Vec<&str> = with_digest.iter().map(String::as_str).collect();
    let objects = render("latchkey", "latchkey-system", &with_digest);
    let server = format!("--server-image=ghcr.io/latchkey-dev/latchkey-server@{digest}");
    assert_eq!(
        container(&objects)["image"],
        json!(format!("ghcr.io/latchkey-dev/latchkey-operator@{digest}"))
    );
    assert!(container(&objects)["args"].as_array().expect("arguments").contains(&json!(server)));

    let objects = render("latchkey", "latchkey-system", &["image.tag=1.2"]);
    assert_eq!(container(&objects)["image"], "ghcr.io/latchkey-dev/latchkey-operator:1.2");
}

#[test]
fn a_disruption_budget_exists_with_two_replicas() {
    let budget = |replicas: &str| {
        let objects = render("latchkey", "latchkey-system", &[replicas]);
        of_kind(&objects, "PodDisruptionBudget").first().map(|pdb| pdb["spec"]["maxUnavailable"].clone())
    };
    assert_eq!(budget("replicas=1"), None);
    assert_eq!(budget("replicas=2"), Some(json!(1)));
}

#[test]
fn each_scheduling_value_reaches_the_pod() {
    let objects = render(
        "latchkey",
        "latchkey-system",
        &[
            "podLabels.team=identity",
            "podLabels.app\\.kubernetes\\.io/name=other",
            "podAnnotations.note=hello",
            "priorityClassName=high",
            "nodeSelector.disk=fast",
            "tolerations[0].key=spot,tolerations[0].operator=Exists",
            "imagePullSecrets[0].name=registry",
            "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1",
            "topologySpreadConstraints[0].topologyKey=zone",
            "commonLabels.owner=platform",
        ],
    );
    let deployment = of_kind(&objects, "Deployment")[0];
    let template = &deployment["spec"]["template"];
    assert_eq!(template["metadata"]["labels"]["team"], "identity");
    // The selector's labels cannot be overridden, because the Deployment would select no pod.
    assert_eq!(template["metadata"]["labels"]["app.kubernetes.io/name"], "latchkey");
    assert_eq!(template["metadata"]["annotations"]["note"], "hello");
    let pod = &template["spec"];
    assert_eq!(pod["priorityClassName"], "high");
    assert_eq!(pod["nodeSelector"], json!({"disk": "fast"}));
    assert_eq!(pod["tolerations"], json!([{"key": "spot", "operator": "Exists"}]));
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "registry"}]));
    assert!(pod["affinity"]["nodeAffinity"].is_object());
    assert_eq!(pod["topologySpreadConstraints"], json!([{"topologyKey": "zone"}]));
    for object in &objects {
        assert_eq!(object["metadata"]["labels"]["owner"], "platform", "{}", object["kind"]);
    }
}

#[test]
fn a_service_monitor_is_rendered_on_request() {
    let objects = render(
        "latchkey",
        "latchkey-system",
        &["metrics.serviceMonitor.enabled=true", "metrics.serviceMonitor.labels.release=prometheus"],
    );
    let monitor = of_kind(&objects, "ServiceMonitor")[0];
    let service = of_kind(&objects, "Service")[0];
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    let selected = monitor["spec"]["selector"]["matchLabels"].as_object().expect("labels");
    let labels = service["metadata"]["labels"].as_object().expect("labels");
    assert!(
        selected.iter().all(|(name, value)| labels.get(name) == Some(value)),
        "the ServiceMonitor does not select the Service"
    );
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], service["spec"]["ports"][0]["name"]);
}

#[test]
fn the_crd_survives_an_uninstallation_and_can_be_omitted() {
    let objects = render("latchkey", "latchkey-system", &[]);
    let crds = of_kind(&objects, "CustomResourceDefinition");
    assert_eq!(crds.len(), 2);
    for crd in crds {
        assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    }
    let objects = render("latchkey", "latchkey-system", &["crds.install=false"]);
    assert!(of_kind(&objects, "CustomResourceDefinition").is_empty());
}

#[test]
fn only_the_servers_that_are_named_may_review_tokens() {
    let is_review = |object: &&Value| {
        object["metadata"]["name"].as_str().is_some_and(|name| name.ends_with(":token-review"))
    };
    assert_eq!(render("latchkey", "latchkey-system", &[]).iter().filter(is_review).count(), 0);
    let values = [
        "watchNamespace=identity",
        "workloadIdentity.authServices[0].namespace=identity",
        "workloadIdentity.authServices[0].name=auth",
    ];
    let objects = render("latchkey", "latchkey-system", &values);
    let found: Vec<_> = objects.iter().filter(is_review).collect();
    let [role, binding] = found.as_slice() else { panic!("{found:?}") };
    let rules =
        json!([{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}]);
    assert_eq!((&role["kind"], &role["rules"]), (&json!("ClusterRole"), &rules));
    assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
    let subjects = json!([{"kind": "ServiceAccount", "name": "auth", "namespace": "identity"}]);
    assert_eq!(binding["subjects"], subjects);
}
