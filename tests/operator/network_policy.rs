//! The rendered NetworkPolicies. They are not enforced here.

use kube::api::ListParams;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};

fn namespace(name: &str) -> Value {
    json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}})
}

fn own(component: &str) -> Value {
    json!({"podSelector": {"matchLabels": {
        "app.kubernetes.io/component": component, "app.kubernetes.io/instance": NAME,
        "app.kubernetes.io/name": "latchkey",
    }}})
}

fn port(number: i32) -> Value {
    json!([{"port": number, "protocol": "TCP"}])
}

#[tokio::test]
async fn the_policies_allow_only_the_connections_of_the_spec() {
    let fixture = Fixture::new("policies").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"networkPolicy": {"enabled": true}})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let operator = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": fixture.namespace}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/component": "operator"}},
    });
    let asks = json!({"from": [operator], "ports": [
        {"port": 8080, "protocol": "TCP"}, {"port": 9090, "protocol": "TCP"},
    ]});
    let names = json!({"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]});
    let both = json!(["Ingress", "Egress"]);
    // Embedded stores: only their pods, and only from the pods that need them.
    let expected = [
        (NAME, "/spec/ingress", json!([{"from": [{"podSelector": {}}], "ports": port(8080)}, asks])),
        (
            NAME,
            "/spec/egress",
            json!([
                names,
                {"to": [own("postgres")], "ports": port(5432)},
                {"to": [own("redis")], "ports": port(6379)},
            ]),
        ),
        ("auth-migrations", "/spec/egress", json!([names, {"to": [own("postgres")], "ports": port(5432)}])),
        ("auth-migrations", "/spec/ingress", Value::Null),
        (
            "auth-postgres",
            "/spec/ingress",
            json!([{"from": [own("server"), own("migration")], "ports": port(5432)}]),
        ),
        ("auth-postgres", "/spec/egress", Value::Null),
        ("auth-redis", "/spec/ingress", json!([{"from": [own("server")], "ports": port(6379)}])),
        ("auth-redis", "/spec/egress", Value::Null),
    ];
    for (name, pointer, value) in expected {
        fixture.wait_for_value("NetworkPolicy", name, pointer, &value).await;
        fixture.wait_for_value("NetworkPolicy", name, "/spec/policyTypes", &both).await;
    }

    // External stores: the ports of their URLs, in the networks of the spec.
    fixture.apply_secret("database", &[("url", "postgres://auth:x@db.example.com:6543/auth")]).await;
    fixture.apply_secret("redis", &[("url", "rediss://:x@cache.example.com:6380")]).await;
    let spec = json!({
        "database": {"urlSecretRef": {"name": "database"}},
        "redis": {"urlSecretRef": {"name": "redis"}},
        "email": {"enabled": true, "from": {"address": "a@example.com"}, "smtp": {"host": "mx.example.com"}},
        "tracing": {"otlpEndpoint": "http://collector.example.com:4317"},
        "networkPolicy": {
            "enabled": true,
            "allowFrom": [namespace("apps")],
            "allowMetricsFrom": [namespace("monitoring")],
            "egressNetworks": ["192.0.2.0/24"],
        },
    });
    fixture.apply(spec).await;
    let to = |number| json!({"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": port(number)});
    let egress = json!([names.clone(), to(6543), to(6380), to(587), to(4317)]);
    fixture.wait_for_value("NetworkPolicy", NAME, "/spec/egress", &egress).await;
    let ingress = json!([
        {"from": [namespace("apps")], "ports": port(8080)},
        asks,
        {"from": [namespace("monitoring")], "ports": port(9090)},
    ]);
    fixture.wait_for_value("NetworkPolicy", NAME, "/spec/ingress", &ingress).await;
    fixture.wait_until_gone("NetworkPolicy", "auth-postgres").await;
    fixture.wait_until_gone("NetworkPolicy", "auth-redis").await;

    // Every port of a URL, and those that only Sentinel or the Redis Cluster knows.
    fixture
        .apply_secret("database", &[("url", "postgresql:///auth?host=db.example.com&port=6432&user=auth")])
        .await;
    fixture
        .apply_secret(
            "redis",
            &[("url", "redis+sentinel://:x@one.example.com,two.example.com:26380/primary")],
        )
        .await;
    fixture.merge(json!({"spec": {"networkPolicy": {"redisPorts": [6381]}}})).await;
    let ports = [6432, 6379, 6381, 26379, 26380, 587, 4317];
    let egress: Vec<Value> = [names].into_iter().chain(ports.map(to)).collect();
    fixture.wait_for_value("NetworkPolicy", NAME, "/spec/egress", &json!(egress)).await;

    fixture.merge(json!({"spec": {"networkPolicy": {"enabled": false}}})).await;
    fixture.wait_until_gone("NetworkPolicy", NAME).await;
    fixture.wait_until_gone("NetworkPolicy", "auth-migrations").await;
    assert!(
        fixture.any("NetworkPolicy").list(&ListParams::default()).await.expect("a list").items.is_empty()
    );
}
