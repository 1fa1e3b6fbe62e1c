//! `spec.tls`: the API port has TLS, and everything that leads to it follows.

use std::fs;

use latchkey_tests::authority::{Authority, Certificate};
use serde_json::{Value, json};

use crate::fixture::Fixture;

async fn store(fixture: &Fixture, name: &str, certificate: &Certificate) {
    let read = |path| fs::read_to_string(path).expect("the file");
    let (chain, key) = (read(&certificate.certificate), read(&certificate.key));
    fixture.apply_secret(name, &[("tls.crt", &chain), ("tls.key", &key)]).await;
}

fn spec(tls: &Value) -> Value {
    json!({
        "issuer": "https://auth.example.com",
        "tls": tls,
        "exposure": {"ingress": {"host": "auth.example.com", "annotations": {"a": "b"}}},
    })
}

#[tokio::test]
async fn everything_that_leads_to_the_api_follows_its_scheme() {
    let fixture = Fixture::new("api-tls").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let authority = Authority::new("API CA");
    let name = format!("auth.{}.svc", fixture.namespace);
    store(&fixture, "api", &authority.issue_for(&format!("DNS:{name}"))).await;
    fixture.apply(spec(&json!({"secretRef": {"name": "api"}}))).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_reason("CertificateValid", "True", "ExpiresSoon").await;

    let service = fixture.any("Service").get("auth").await.expect("the Service").data;
    let port = &service["spec"]["ports"][0];
    assert_eq!((&port["name"], &port["port"]), (&json!("https"), &json!(443)));
    assert_eq!((&port["targetPort"], &port["appProtocol"]), (&json!("https"), &json!("https")));
    let ingress = fixture.any("Ingress").get("auth").await.expect("the Ingress");
    let backend = ingress.data.pointer("/spec/rules/0/http/paths/0/backend/service/port/name");
    assert_eq!(backend, Some(&json!("https")));
    let annotations = ingress.metadata.annotations.expect("annotations");
    assert_eq!(annotations["nginx.ingress.kubernetes.io/backend-protocol"], "HTTPS");
    assert_eq!(annotations["a"], "b");
    let deployment = fixture.any("Deployment").get("auth").await.expect("the Deployment").data;
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["ports"][0]["name"], "https");
    // Probes and metrics use the management port, which has no TLS.
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], "management");
    }
    let settings = fixture.any("ConfigMap").get("auth-settings").await.expect("the settings").data;
    assert_eq!(settings["data"]["TLS_CERT_FILE"], "/etc/latchkey/tls/tls.crt");
    assert_eq!(settings["data"]["TLS_KEY_FILE"], "/etc/latchkey/tls/tls.key");
    let endpoint = fixture.auth_service().await.status.expect("a status").endpoint;
    assert_eq!(endpoint, Some(format!("https://{name}")));

    // A renewal rolls no pod; a certificate for another name is reported.
    let checksum = fixture.checksum().await;
    store(&fixture, "api", &authority.issue_for("DNS:other.example.com")).await;
    let wrong = fixture.wait_for_reason("CertificateValid", "False", "WrongHost").await;
    assert!(wrong.message.contains(&name), "{}", wrong.message);
    assert_eq!(fixture.checksum().await, checksum);
    fixture.wait_for_condition("Ready", "True").await;
    fixture.apply_secret("api", &[("tls.crt", "no certificate"), ("tls.key", "no key")]).await;
    fixture.wait_for_unresolved("SecretInvalid", &["spec.tls.secretRef"]).await;
    fixture.apply(spec(&json!({"secretRef": {"name": "absent"}}))).await;
    fixture.wait_for_unresolved("SecretMissing", &["absent", "spec.tls.secretRef"]).await;

    let without = json!({"issuer": "https://auth.example.com"});
    fixture.apply(without).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_value("Service", "auth", "/spec/ports/0/port", &json!(80)).await;
    let endpoint = fixture.auth_service().await.status.expect("a status").endpoint;
    assert_eq!(endpoint, Some(format!("http://{name}")));
}

#[tokio::test]
async fn an_issuer_is_asked_for_a_certificate_of_the_service() {
    let fixture = Fixture::new("api-issuer").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"tls": {"issuerRef": {"name": "internal", "kind": "ClusterIssuer"}}})).await;
    fixture.wait_for_reason("CertificateValid", "False", "CertificateNotReady").await;
    let certificate = fixture.any("Certificate").get("auth-api").await.expect("the Certificate").data;
    assert_eq!(certificate["spec"]["secretName"], "auth-api-tls");
    assert_eq!(certificate["spec"]["issuerRef"]["name"], "internal");
    assert_eq!(certificate["spec"]["dnsNames"][0], format!("auth.{}.svc", fixture.namespace));
    let issuer = json!(format!("https://auth.{}.svc", fixture.namespace));
    fixture.wait_for_value("ConfigMap", "auth-settings", "/data/ISSUER_URL", &issuer).await;
    fixture.wait_for_value("ConfigMap", "auth-jwks", "/data/issuer", &issuer).await;
    let volumes = "/spec/template/spec/volumes";
    fixture.wait_for_condition("SchemaMigrated", "True").await;
    fixture.wait_for_condition("Ready", "True").await;
    let deployment = fixture.any("Deployment").get("auth").await.expect("the Deployment").data;
    assert!(deployment.pointer(volumes).expect("volumes").to_string().contains("auth-api-tls"));

    fixture.apply(json!({})).await;
    fixture.wait_until_gone("Certificate", "auth-api").await;
    fixture.wait_for_reason("CertificateValid", "Unknown", "NotConfigured").await;
}

#[tokio::test]
async fn a_gateway_verifies_the_certificate_of_the_pods() {
    let fixture = Fixture::new("backend-tls").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let authority = Authority::new("API CA");
    let certificate = authority.issue_for(&format!("DNS:auth.{}.svc", fixture.namespace));
    store(&fixture, "api", &certificate).await;
    let gateway = json!({"parentRefs": [{"name": "public"}], "hostnames": ["auth.example.com"]});
    let spec = json!({
        "issuer": "https://auth.example.com",
        "tls": {"secretRef": {"name": "api"}},
        "exposure": {"gateway": gateway},
    });
    fixture.apply(spec).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_value("HTTPRoute", "auth", "/spec/rules/0/backendRefs/0/port", &json!(443)).await;
    let validation = "/spec/validation/wellKnownCACertificates";
    fixture.wait_for_value("BackendTLSPolicy", "auth", validation, &json!("System")).await;
    let target = "/spec/targetRefs/0/sectionName";
    fixture.wait_for_value("BackendTLSPolicy", "auth", target, &json!("https")).await;

    // A Secret of a private issuer contains its authority.
    let read = |path| fs::read_to_string(path).expect("the file");
    let (chain, key) = (read(&certificate.certificate), read(&certificate.key));
    fixture
        .apply_secret("api", &[("tls.crt", &chain), ("tls.key", &key), ("ca.crt", &authority.text())])
        .await;
    fixture.wait_for_value("BackendTLSPolicy", "auth", validation, &json!(null)).await;
    let reference = "/spec/validation/caCertificateRefs/0/name";
    fixture.wait_for_value("BackendTLSPolicy", "auth", reference, &json!("auth-api-ca")).await;
    fixture.wait_for_value("ConfigMap", "auth-api-ca", "/data/ca.crt", &json!(authority.text())).await;
    let hostname = json!(format!("auth.{}.svc", fixture.namespace));
    fixture.wait_for_value("BackendTLSPolicy", "auth", "/spec/validation/hostname", &hostname).await;

    fixture.apply(json!({"issuer": "https://auth.example.com", "exposure": {"gateway": gateway}})).await;
    fixture.wait_until_gone("BackendTLSPolicy", "auth").await;
    fixture.wait_until_gone("ConfigMap", "auth-api-ca").await;
    fixture.wait_for_value("HTTPRoute", "auth", "/spec/rules/0/backendRefs/0/port", &json!(80)).await;
}
