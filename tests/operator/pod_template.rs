//! Overrides of the pod template and annotations of the ServiceAccount on a real API server.

use serde_json::json;

use crate::fixture::{Fixture, NAME};

#[tokio::test]
async fn an_override_reaches_the_deployment_and_goes_with_the_field() {
    let fixture = Fixture::new("pod-template").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture
        .apply(json!({
            "podTemplate": {
                "metadata": {"labels": {"azure.workload.identity/use": "true"}},
                "spec": {
                    "terminationGracePeriodSeconds": 60,
                    "volumes": [{"name": "ca", "configMap": {"name": "ca", "optional": true}}],
                    "containers": [
                        {"name": "server", "volumeMounts": [{"name": "ca", "mountPath": "/ca"}], "env": [{"name": "TZ", "value": "UTC"}]},
                        {"name": "proxy", "image": "proxy:1"},
                    ],
                },
            },
            "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/auth"}},
        }))
        .await;
    // The namespace enforces Pod Security restricted: the additional container is restricted too.
    fixture.wait_for_condition("Ready", "True").await;
    let template = "/spec/template/spec";
    let value = |path: &str| format!("{template}{path}");
    let at = async |path: &str, expected: serde_json::Value| {
        fixture.wait_for_value("Deployment", NAME, &value(path), &expected).await;
    };
    at("/terminationGracePeriodSeconds", json!(60)).await;
    at("/containers/0/name", json!("server")).await;
    at("/containers/0/env", json!([{"name": "TZ", "value": "UTC"}])).await;
    at("/containers/1/securityContext/capabilities", json!({"drop": ["ALL"]})).await;
    let role = json!("arn:aws:iam::1:role/auth");
    fixture
        .wait_for_value("ServiceAccount", NAME, "/metadata/annotations/eks.amazonaws.com~1role-arn", &role)
        .await;

    fixture.merge(json!({"spec": {"podTemplate": null, "serviceAccount": null}})).await;
    at("/containers/1", json!(null)).await;
    at("/containers/0/env", json!(null)).await;
    at("/terminationGracePeriodSeconds", json!(30)).await;
    let gone = json!(null);
    fixture
        .wait_for_value("ServiceAccount", NAME, "/metadata/annotations/eks.amazonaws.com~1role-arn", &gone)
        .await;
    fixture.wait_for_condition("Ready", "True").await;
}

#[tokio::test]
async fn an_override_of_what_stays_the_operators_is_refused_in_a_condition() {
    let fixture = Fixture::new("pod-template-refused").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let before =
        fixture.any("Deployment").get(NAME).await.expect("the Deployment").data["spec"]["template"].clone();
    for (template, field) in [
        (json!({"spec": {"hostNetwork": true}}), "spec.podTemplate.spec.hostNetwork"),
        (
            json!({"spec": {"containers": [{"name": "server", "command": ["sh"]}]}}),
            "spec.podTemplate.spec.containers[0].command",
        ),
        (
            json!({"spec": {"containers": [{"name": "a", "image": "a:1"}, {"name": "a", "image": "a:1"}]}}),
            "spec.podTemplate.spec.containers[1] has the same name",
        ),
        (
            json!({"spec": {
                "containers": [{"name": "a", "image": "a:1"}], "initContainers": [{"name": "a", "image": "a:1"}],
            }}),
            "spec.podTemplate.spec.initContainers[0] has the same name",
        ),
        (
            json!({"spec": {"containers": [{"name": "a", "image": "a:1", "ports": [
                {"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"},
            ]}]}}),
            "spec.podTemplate.spec.containers[0].ports[1] has the same containerPort and protocol",
        ),
        (
            json!({"spec": {"containers": [{"name": "server", "env": [
                {"name": "A", "value": "1"}, {"name": "A", "value": "2"},
            ]}]}}),
            "spec.podTemplate.spec.containers[0].env[1] has the same name",
        ),
        (
            json!({"spec": {"volumes": [{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}]}}),
            "spec.podTemplate.spec.volumes[1] has the same name",
        ),
        (
            json!({"spec": {"hostAliases": [
                {"ip": "10.0.0.1", "hostnames": ["a"]}, {"ip": "10.0.0.1", "hostnames": ["b"]},
            ]}}),
            "spec.podTemplate.spec.hostAliases[1] has the same ip",
        ),
        (json!({"spec": {"volums": []}}), "spec.podTemplate.spec.volums"),
        (json!({"spec": {"volumes": "x"}}), "spec.podTemplate.spec.volumes must be a list"),
    ] {
        fixture.merge(json!({"spec": {"podTemplate": null}})).await;
        fixture.merge(json!({"spec": {"podTemplate": template}})).await;
        let condition = fixture.wait_for_reason("Ready", "False", "InvalidSpec").await;
        assert!(condition.message.contains(field), "{field}: {}", condition.message);
        fixture.wait_for_condition("Stalled", "True").await;
    }
    let after =
        fixture.any("Deployment").get(NAME).await.expect("the Deployment").data["spec"]["template"].clone();
    assert_eq!(after, before);
    // What passes the operator's checks and not those of the API server is reported in its words.
    let invalid = json!({"spec": {"containers": [{"name": "no_image!"}]}});
    fixture.merge(json!({"spec": {"podTemplate": null}})).await;
    fixture.merge(json!({"spec": {"podTemplate": invalid}})).await;
    let condition = fixture.wait_for_reason("Ready", "False", "ApplyRefused").await;
    assert!(condition.message.contains("no_image!"), "{}", condition.message);
}
