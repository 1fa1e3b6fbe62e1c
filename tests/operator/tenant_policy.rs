//! The policy in `docs/samples` with which an administrator restricts AuthServices, on the real API server.

use std::fs;

use latchkey_tests::control_plane::apply;
use latchkey_tests::{chart, programs, wait};
use serde_json::{Value, json};

use crate::fixture::Fixture;

#[tokio::test]
async fn the_sample_policy_refuses_what_it_says_and_nothing_else() {
    let fixture = Fixture::new("policy").await;
    let text = fs::read_to_string(programs::workspace().join("docs/samples/restrict-auth-services.yaml"));
    for mut object in chart::parse(&text.expect("the sample")) {
        if object["kind"] == "ValidatingAdmissionPolicyBinding" {
            // The other tests of this API server are not affected.
            object["spec"]["matchResources"]["namespaceSelector"] =
                json!({"matchLabels": {"kubernetes.io/metadata.name": fixture.namespace}});
        }
        apply(&fixture.client, &object).await;
    }
    let host = format!("auth.{}.example.com", fixture.namespace);
    let issuer = |kind: &str| json!({"certificate": {"issuerRef": {"name": "ca", "kind": kind}}});
    let ingress = |host: &str, annotations: Value, tls: Value| {
        json!({
            "issuer": "https://auth.example.com",
            "exposure": {"ingress": {"host": host, "annotations": annotations, "tls": tls}},
        })
    };
    let refused = [
        (json!({"image": {"repository": "evil.example/shell"}}), "spec.image.repository"),
        (json!({"database": {"urlSecretRef": {"name": "payroll"}}}), "Secrets whose names"),
        (json!({"redis": {"urlSecretRef": {"name": "payroll"}}}), "Secrets whose names"),
        (json!({"trustedCAs": [{"secretRef": {"name": "payroll"}}]}), "Secrets whose names"),
        (json!({"bootstrapAdmin": {"secretRef": {"name": "payroll"}}}), "Secrets whose names"),
        (ingress("bank.example.com", json!({}), issuer("Issuer")), "host names must end with"),
        (
            ingress(&host, json!({"nginx.ingress.kubernetes.io/server-snippet": "x"}), issuer("Issuer")),
            "annotations",
        ),
        (ingress(&host, json!({}), issuer("ClusterIssuer")), "an Issuer of the namespace"),
        (json!({"pod": {"priorityClassName": "system-cluster-critical"}}), "spec.pod"),
    ];
    wait::until("the policy to be in force", async || {
        wait::check(fixture.try_apply(refused[0].0.clone()).await.is_err(), ())
    })
    .await;
    for (spec, reason) in refused {
        let refusal = fixture.try_apply(spec.clone()).await.expect_err(&spec.to_string()).to_string();
        assert!(refusal.contains("restrict-auth-services") && refusal.contains(reason), "{spec}: {refusal}");
    }
    for spec in [
        json!({}),
        json!({"image": {"tag": "1.2.3"}, "database": {"urlSecretRef": {"name": "auth-database"}}}),
        ingress(&host, json!({"nginx.ingress.kubernetes.io/proxy-body-size": "1m"}), issuer("Issuer")),
        json!({"pod": {"labels": {"team": "a"}}}),
    ] {
        fixture.apply(spec).await;
    }
    // The operator's own writes are not affected.
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
}
