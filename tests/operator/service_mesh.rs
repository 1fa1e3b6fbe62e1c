//! Service meshes: a proxy in front of the management port that behaves like Envoy, and one that demands mTLS.

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use latchkey_tests::kubelet::{Kubelet, SERVERS};
use latchkey_tests::proxies::Proxy;
use latchkey_tests::status_port::with_keys;
use latchkey_tests::wait;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};
use crate::waiting::wait_for;

const SECRET: &str = "auth-jwt-keys";

/// Another address of this test, for a proxy in front of the fixture's servers.
fn proxy_address(fixture: &Fixture) -> String {
    let servers = fixture.servers.ip();
    let [_, second, third, last] = servers.split('.').collect::<Vec<_>>()[..] else { panic!("{servers}") };
    format!("127.{}.{third}.{last}", second.parse::<u8>().expect("a number") - 64)
}

async fn keys(fixture: &Fixture) -> Result<Value, String> {
    let secret = fixture.api::<Secret>().get(SECRET).await.map_err(|e| e.to_string())?;
    let data = secret.data.ok_or("no data")?;
    serde_json::from_slice(&data["keys.json"].0).map_err(|e| e.to_string())
}

async fn wait_for_phases(fixture: &Fixture, expected: &[&str]) -> Value {
    wait::until(&format!("keys in the phases {expected:?}"), async || {
        let set = keys(fixture).await?;
        let phases: Vec<_> =
            set["keys"].as_array().into_iter().flatten().map(|key| key["latchkey_phase"].clone()).collect();
        wait::check(phases == expected, phases).map_err(|phases| format!("{phases:?}")).map(|()| set)
    })
    .await
}

/// Istio's proxy refuses HTTP/1.0 with 426 and a request without a host with 400, and keeps connections alive.
#[tokio::test]
async fn the_status_is_read_through_a_proxy_that_behaves_like_envoy() {
    let fixture = Fixture::new("envoy").await;
    let (proxy, servers) = (proxy_address(&fixture), fixture.servers.ip());
    let _proxy = Proxy::nginx(&format!(
        "server {{ listen 80; listen {proxy}:9090; keepalive_timeout 60s;
           if ($server_protocol = \"HTTP/1.0\") {{ return 426; }}
           if ($http_host = \"\") {{ return 400; }}
           location / {{
             proxy_pass http://{servers}:9090; proxy_http_version 1.1;
             add_header server envoy always; add_header x-envoy-upstream-service-time 1 always;
             add_header x-envoy-decorator-operation auth:9090/* always;
           }} }}"
    ))
    .await;
    let _kubelet = Kubelet::start(fixture.client.clone(), &fixture.namespace, proxy);
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    let set = wait_for_phases(&fixture, &["active"]).await;
    fixture.servers.answer(with_keys(&set));
    fixture.wait_for_condition("Ready", "True").await;
    fixture.touch().await;
    fixture.wait_for_reason("KeysReady", "True", "Loaded").await;
    fixture.wait_for_reason("DatabaseReachable", "True", "Reachable").await;
}

/// Moves the times of the keys into the past: the operator waits two minutes for reports before it restarts pods.
async fn age_keys(fixture: &Fixture) {
    wait::until("the keys to be aged", async || {
        let secret = fixture.api::<Secret>().get(SECRET).await.map_err(|e| e.to_string())?;
        let data = secret.data.clone().ok_or("no data")?;
        let mut set: Value = serde_json::from_slice(&data["keys.json"].0).map_err(|e| e.to_string())?;
        for key in set["keys"].as_array_mut().into_iter().flatten() {
            let since = key["latchkey_notes"]["since"].as_i64().ok_or("no time")?;
            key["latchkey_notes"]["since"] = json!(since - 200);
        }
        let metadata = json!({"resourceVersion": secret.resource_version()});
        let change = json!({"metadata": metadata, "stringData": {"keys.json": set.to_string()}});
        let patched =
            fixture.api::<Secret>().patch(SECRET, &PatchParams::default(), &Patch::Merge(change)).await;
        patched.map_err(|e| e.to_string())
    })
    .await;
}

async fn server_pods(fixture: &Fixture) -> Vec<Pod> {
    fixture.api::<Pod>().list(&ListParams::default().labels(SERVERS)).await.expect("pods").items
}

/// Waits until all pods require this of the key set, and returns their startup probe.
async fn wait_for_requirement(fixture: &Fixture, required: &str) {
    wait_for(fixture.any("Deployment"), NAME, |deployment| {
        let template =
            deployment.and_then(|deployment| deployment.data.pointer("/spec/template")).ok_or("none")?;
        let found = &template["metadata"]["annotations"]["latchkey.dev/required-key"];
        (found == required).then_some(()).ok_or_else(|| format!("the pods require {found}, not {required}"))
    })
    .await;
    wait::until("all pods to be replaced", async || {
        let pods = server_pods(fixture).await;
        let path = |pod: &Pod| {
            let probe = pod.spec.as_ref()?.containers.first()?.startup_probe.as_ref()?.http_get.clone()?;
            probe.path
        };
        let (phase, kid) = required.split_once('.').expect("a phase and a key");
        let expected = format!("/startup?key={kid}&phase={phase}");
        let paths: Vec<_> = pods.iter().map(path).collect();
        wait::check(paths.iter().all(|path| path.as_deref() == Some(&expected)), paths)
    })
    .await;
}

#[tokio::test]
async fn under_strict_mtls_a_condition_names_the_remedy_and_a_rotation_proceeds_by_restarts() {
    let fixture = Fixture::new("strict-mtls").await;
    let proxy = proxy_address(&fixture);
    // Like a proxy without a filter chain for plain text: it closes the connection without a response.
    let _proxy = Proxy::nginx(&format!("server {{ listen 80; listen {proxy}:9090; return 444; }}")).await;
    let _kubelet = Kubelet::start(fixture.client.clone(), &fixture.namespace, proxy);
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"replicas": 2, "tokens": {"keyRotation": {"jwksCacheTime": "1s"}}})).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.touch().await;
    let denied = fixture.wait_for_reason("KeysReady", "False", "StatusDenied").await;
    for words in ["9090", "mTLS", "excludeInboundPorts", "skip-inbound-ports"] {
        assert!(denied.message.contains(words), "{}", denied.message);
    }
    fixture.wait_for_warning("StatusDenied", "mTLS").await;

    let kid = |set: &Value, phase: &str| {
        let keys = set["keys"].as_array().expect("keys").iter();
        let mut found = keys.filter(|key| key["latchkey_phase"] == phase);
        found.next().expect("a key")["kid"].as_str().expect("a kid").to_owned()
    };
    fixture.annotate("rotate-keys", "1").await;
    let both = wait_for_phases(&fixture, &["active", "published"]).await;
    let (old, new) = (kid(&both, "active"), kid(&both, "published"));
    // A key does not sign without evidence.
    let before: Vec<_> = server_pods(&fixture).await.iter().map(ResourceExt::name_any).collect();
    fixture.touch().await;
    assert_eq!(wait_for_phases(&fixture, &["active", "published"]).await, both);

    age_keys(&fixture).await;
    fixture.touch().await;
    wait_for_requirement(&fixture, &format!("published.{new}")).await;
    let turned = wait_for_phases(&fixture, &["retiring", "active"]).await;
    assert_eq!((kid(&turned, "retiring"), kid(&turned, "active")), (old, new.clone()));
    let after: Vec<_> = server_pods(&fixture).await.iter().map(ResourceExt::name_any).collect();
    assert!(before.iter().all(|pod| !after.contains(pod)), "{before:?} {after:?}");

    age_keys(&fixture).await;
    fixture.touch().await;
    wait_for_requirement(&fixture, &format!("active.{new}")).await;
    wait::until("the proof that the old key signs no more", async || {
        let set = keys(&fixture).await?;
        let stopped = set["keys"][0]["latchkey_notes"]["signed_until"].clone();
        wait::check(stopped.is_i64(), stopped.to_string())
    })
    .await;
    // No further restarts.
    let settled = fixture.any("Deployment").get(NAME).await.expect("the Deployment").metadata.generation;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.touch().await;
    fixture.wait_for_reason("KeysReady", "False", "StatusDenied").await;
    let now = fixture.any("Deployment").get(NAME).await.expect("the Deployment").metadata.generation;
    assert_eq!(now, settled);
}

#[tokio::test]
async fn additional_rules_are_part_of_the_policies() {
    let fixture = Fixture::new("mesh-rules").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let egress = json!({"ports": [{"port": 15012, "protocol": "TCP"}], "to": [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "istio-system"}}},
    ]});
    let ingress = json!({"ports": [{"port": 15008, "protocol": "TCP"}]});
    fixture
        .apply(
            json!({"networkPolicy": {"enabled": true, "extraEgress": [egress], "extraIngress": [ingress]}}),
        )
        .await;
    fixture.wait_for_condition("Ready", "True").await;
    for name in [NAME, "auth-migrations", "auth-postgres", "auth-redis"] {
        let policy = fixture.any("NetworkPolicy").get(name).await.expect("the policy");
        let rules = |direction: &str| policy.data["spec"][direction].as_array().cloned().unwrap_or_default();
        assert_eq!(rules("egress").last(), Some(&egress), "{name}");
        assert_eq!(rules("ingress").contains(&ingress), name == NAME, "{name}");
    }
    fixture.merge(json!({"spec": {"networkPolicy": {"extraEgress": null, "extraIngress": null}}})).await;
    fixture.wait_for_value("NetworkPolicy", "auth-postgres", "/spec/egress", &Value::Null).await;
}
