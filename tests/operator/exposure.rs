//! Exposure of the API. The tests simulate the controllers of Ingresses, Gateways and Certificates.

use std::process::Command;

use kube::api::{Patch, PatchParams};
use latchkey_tests::process::run_ok;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};

async fn set_status(fixture: &Fixture, kind: &str, status: Value) {
    let patch = Patch::Merge(json!({"status": status}));
    fixture.any(kind).patch_status(NAME, &PatchParams::default(), &patch).await.expect("its status");
}

fn condition(type_: &str, status: &str, message: &str) -> Value {
    let time = "2026-01-01T00:00:00Z";
    json!({"type": type_, "status": status, "reason": "Reason", "message": message, "lastTransitionTime": time})
}

/// A self-signed certificate in PEM form.
fn certificate(host: &str, days: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    command.args(["-keyout", "/dev/null", "-subj", "/CN=test", "-days", days]);
    run_ok(command.args(["-addext", &format!("subjectAltName=DNS:{host}")]))
}

fn spec(exposure: &Value) -> Value {
    json!({"issuer": "https://auth.example.com", "exposure": exposure})
}

#[tokio::test]
async fn an_ingress_waits_for_its_certificate() {
    let fixture = Fixture::new("ingress").await;
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_reason("Exposed", "False", "Disabled").await;
    let ingress = |tls: Value| {
        spec(&json!({"ingress": {
            "host": "auth.example.com", "className": "nginx", "annotations": {"example.com/note": "a"}, "tls": tls,
        }}))
    };
    fixture.apply(ingress(json!({"secretName": "certificate"}))).await;
    fixture.wait_for_reason("Exposed", "False", "SecretMissing").await;
    fixture.apply_secret("certificate", &[("tls.crt", "a"), ("tls.key", "b")]).await;
    fixture.wait_for_reason("Exposed", "True", "IngressApplied").await;
    fixture.wait_for_reason("CertificateValid", "False", "Unreadable").await;
    for (host, days, status, reason) in [
        ("other.example.com", "365", "False", "WrongHost"),
        ("auth.example.com", "13", "True", "ExpiresSoon"),
        ("*.example.com", "365", "True", "Valid"),
    ] {
        let chain = certificate(host, days);
        fixture.apply_secret("certificate", &[("tls.crt", &chain), ("tls.key", "b")]).await;
        fixture.wait_for_reason("CertificateValid", status, reason).await;
    }
    let rows = [
        ("/spec/ingressClassName", json!("nginx")),
        ("/spec/rules/0/host", json!("auth.example.com")),
        ("/spec/rules/0/http/paths/0/backend/service", json!({"name": NAME, "port": {"name": "http"}})),
        ("/spec/tls", json!([{"hosts": ["auth.example.com"], "secretName": "certificate"}])),
        ("/metadata/annotations/example.com~1note", json!("a")),
    ];
    for (pointer, expected) in rows {
        fixture.wait_for_value("Ingress", NAME, pointer, &expected).await;
    }
    set_status(&fixture, "Ingress", json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})).await;

    fixture.apply(ingress(json!({"certificate": {"issuerRef": {"name": "ca"}}}))).await;
    let condition_now = fixture.wait_for_reason("Exposed", "False", "CertificateNotReady").await;
    assert!(condition_now.message.contains("check its issuer"), "{}", condition_now.message);
    let issuer = json!({"name": "ca", "kind": "Issuer", "group": "cert-manager.io"});
    fixture.wait_for_value("Certificate", NAME, "/spec/issuerRef", &issuer).await;
    fixture.wait_for_value("Certificate", NAME, "/spec/dnsNames", &json!(["auth.example.com"])).await;
    fixture.wait_for_value("Ingress", NAME, "/spec/tls/0/secretName", &json!("auth-tls")).await;
    set_status(&fixture, "Certificate", json!({"conditions": [condition("Ready", "True", "")]})).await;
    let condition_now = fixture.wait_for_reason("Exposed", "True", "IngressApplied").await;
    assert_eq!(condition_now.message, "The Ingress serves auth.example.com.");

    fixture.apply(json!({"issuer": "https://auth.example.com"})).await;
    fixture.wait_until_gone("Ingress", NAME).await;
    fixture.wait_until_gone("Certificate", NAME).await;
    fixture.wait_for_reason("Exposed", "False", "Disabled").await;
}

#[tokio::test]
async fn a_route_is_exposed_when_its_gateway_accepts_it() {
    let fixture = Fixture::new("gateway").await;
    let _operator = fixture.start_operator().await;
    let parent = json!({"name": "public", "namespace": "gateways", "sectionName": "https", "port": 443});
    fixture
        .apply(spec(&json!({"gateway": {"parentRefs": [parent], "hostnames": ["auth.example.com"]}})))
        .await;
    fixture.wait_for_reason("Exposed", "Unknown", "GatewayPending").await;
    fixture.wait_for_value("HTTPRoute", NAME, "/spec/hostnames", &json!(["auth.example.com"])).await;
    fixture.wait_for_value("HTTPRoute", NAME, "/spec/parentRefs/0/port", &json!(443)).await;
    let backend = json!({"group": "", "kind": "Service", "name": NAME, "port": 80, "weight": 1});
    fixture.wait_for_value("HTTPRoute", NAME, "/spec/rules/0/backendRefs/0", &backend).await;
    let route_status = |status: &str| {
        json!({"parents": [{
            "parentRef": {"name": "public", "namespace": "gateways"}, "controllerName": "example.com/gateway",
            "conditions": [condition("Accepted", status, "no listener for this host")],
        }]})
    };
    set_status(&fixture, "HTTPRoute", route_status("False")).await;
    let condition_now = fixture.wait_for_reason("Exposed", "False", "NotAccepted").await;
    assert!(condition_now.message.ends_with("no listener for this host"), "{}", condition_now.message);
    set_status(&fixture, "HTTPRoute", route_status("True")).await;
    fixture.wait_for_reason("Exposed", "True", "RouteAccepted").await;
}

#[tokio::test]
async fn a_route_of_openshift_is_exposed_when_a_router_admits_it() {
    let fixture = Fixture::new("route").await;
    let _operator = fixture.start_operator().await;
    let route = |tls: Value| {
        let annotations = json!({"haproxy.router.openshift.io/timeout": "30s"});
        spec(&json!({"route": {"host": "auth.example.com", "annotations": annotations, "tls": tls}}))
    };
    fixture.apply(route(json!({}))).await;
    fixture.wait_for_reason("Exposed", "Unknown", "RoutePending").await;
    for (pointer, expected) in [
        ("/spec/host", json!("auth.example.com")),
        ("/spec/to", json!({"kind": "Service", "name": NAME, "weight": 100})),
        ("/spec/port", json!({"targetPort": "http"})),
        ("/spec/tls", json!({"termination": "edge", "insecureEdgeTerminationPolicy": "Redirect"})),
        ("/metadata/annotations/haproxy.router.openshift.io~1timeout", json!("30s")),
    ] {
        fixture.wait_for_value("Route", NAME, pointer, &expected).await;
    }
    let admitted = |status: &str| {
        json!({"ingress": [{
            "host": "auth.example.com", "routerName": "default", "wildcardPolicy": "None",
            "conditions": [{"type": "Admitted", "status": status, "message": "another Route has the host"}],
        }]})
    };
    set_status(&fixture, "Route", admitted("False")).await;
    let condition_now = fixture.wait_for_reason("Exposed", "False", "NotAccepted").await;
    assert!(condition_now.message.ends_with("another Route has the host"), "{}", condition_now.message);
    set_status(&fixture, "Route", admitted("True")).await;
    fixture.wait_for_reason("Exposed", "True", "RouteAccepted").await;

    fixture.apply(route(json!({"termination": "reencrypt", "destinationCACertificate": "PEM"}))).await;
    let tls = json!({
        "termination": "reencrypt", "insecureEdgeTerminationPolicy": "Redirect", "destinationCACertificate": "PEM",
    });
    fixture.wait_for_value("Route", NAME, "/spec/tls", &tls).await;
    fixture.apply(json!({"issuer": "https://auth.example.com"})).await;
    fixture.wait_until_gone("Route", NAME).await;
}
