//! Random specs from the schema: for each spec that the API server accepts, the operator creates objects that the API
//! server accepts, or reports the refused one; it never panics.

use futures::{StreamExt, stream};
use kube::Api;
use kube::api::{Patch, PatchParams};
use latchkey_crds::AuthService;
use latchkey_tests::authority::Authority;
use latchkey_tests::control_plane::auth_service_crd;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

use crate::fixture::{Fixture, condition};
use crate::waiting::wait_for;

/// The number of random specs, unless `LATCHKEY_ARBITRARY_SPECS` sets it.
const SPECS: usize = 40;
/// The number of databases in them.
const DATABASES: usize = 20;

fn any_value(schema: &Value, path: &str) -> BoxedStrategy<Value> {
    if let Some(values) = schema["enum"].as_array() {
        return select(values.clone()).boxed();
    }
    if path.ends_with("podTemplate") {
        return select(pod_templates()).boxed();
    }
    if path.contains("rollout") && schema["x-kubernetes-int-or-string"] == true {
        return select(vec![json!(0), json!(2), json!("25%"), json!("100%")]).boxed();
    }
    if schema["x-kubernetes-int-or-string"] == true {
        let values = ["1", "250m", "64Mi", "1Gi"].map(|text| json!(text));
        return prop_oneof![select(values.to_vec()), Just(json!(2))].boxed();
    }
    match schema["type"].as_str() {
        Some("object") if schema["properties"].is_object() => any_object(schema, path),
        Some("object") => {
            let keys = select(texts("key")).prop_map(str::to_owned);
            let value = any_value(&schema["additionalProperties"], &format!("{path}.value"));
            proptest::collection::btree_map(keys, value, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect()))
                .boxed()
        }
        Some("array") => {
            let fewest = bound(schema, "minItems").unwrap_or(0);
            let most = bound(schema, "maxItems").unwrap_or(2).min(fewest.max(2));
            proptest::collection::vec(any_value(&schema["items"], path), fewest..=most)
                .prop_map(Value::Array)
                .boxed()
        }
        Some("string") => {
            let longest = "a".repeat(bound(schema, "maxLength").unwrap_or(64).min(1024));
            prop_oneof![30 => select(texts(path)).prop_map(Value::from), 1 => Just(json!(longest))].boxed()
        }
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        _ => {
            let number = |name: &str, without: i64| {
                schema[name]
                    .as_f64()
                    .map_or(without, |bound| format!("{bound:.0}").parse().expect("a number"))
            };
            let (least, most) = (number("minimum", 0), number("maximum", 100));
            prop_oneof![Just(least), Just(most), least..=most].prop_map(Value::from).boxed()
        }
    }
}

/// Overrides that the operator accepts or refuses, and one that only the API server refuses.
fn pod_templates() -> Vec<Value> {
    vec![
        json!({}),
        json!({"metadata": {"labels": {"team": "a"}}, "spec": {"terminationGracePeriodSeconds": 60}}),
        json!({"spec": {"volumes": [{"name": "x", "emptyDir": {}}], "containers": [
            {"name": "server", "volumeMounts": [{"name": "x", "mountPath": "/x"}], "env": [{"name": "TZ", "value": "UTC"}]},
            {"name": "other", "image": "other:1", "securityContext": {"readOnlyRootFilesystem": false}}]}}),
        json!({"spec": {"containers": [{"name": "Not valid", "image": "x"}]}}),
        json!({"spec": {"hostNetwork": true}}),
        json!({"spec": {"volumes": {}, "nonsense": [1]}}),
    ]
}

fn any_object(schema: &Value, path: &str) -> BoxedStrategy<Value> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let mut names = Vec::new();
    let mut members = Vec::new();
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        let value = any_value(part, &format!("{path}.{name}"));
        names.push(name.clone());
        members.push(if required.contains(&json!(name)) {
            value.prop_map(Some).boxed()
        } else {
            // There are many sections, any of which may be invalid.
            proptest::option::weighted(if path == "spec" { 0.3 } else { 0.4 }, value).boxed()
        });
    }
    members
        .prop_map(move |values| {
            let members = names.iter().cloned().zip(values);
            Value::Object(members.filter_map(|(name, value)| Some((name, value?))).collect())
        })
        .boxed()
}

fn bound(schema: &Value, name: &str) -> Option<usize> {
    usize::try_from(schema[name].as_u64()?).ok()
}

/// Values for a string field; most of them are valid.
fn texts(path: &str) -> Vec<&'static str> {
    let name = path.rsplit('.').next().unwrap_or_default();
    match name {
        "issuer" | "publicURL" => {
            vec!["https://auth.example.com", "http://[2001:db8::1]:8443/a/", "http://a"]
        }
        "accessTokenTTL" => vec!["1m", "15m", "1h30m", "168h"],
        "refreshTokenTTL" => vec!["168h", "720h", "8760h", "87840h"],
        "interval" if path.contains("keyRotation") => vec!["720h", "87840h", "1h"],
        "jwksCacheTime" => vec!["1s", "5m", "24h"],
        "interval" => vec!["1s", "30s", "1m30s"],
        "host" | "hostnames" => vec!["auth.example.com", "a-1.b-2.example"],
        "ehloName" => vec!["mail.example.com", "192.0.2.1"],
        "deadline" => vec!["15m", "6h", "168h"],
        "storage" => vec!["1Gi", "500Mi", "1"],
        "repository" => vec!["localhost:5000/a/b", "ghcr.io/x"],
        "tag" => vec!["1.2.3", "v1_2-3"],
        "digest" => vec!["sha256:0123456789012345678901234567890123456789012345678901234567890123"],
        "egressNetworks" | "trustedProxies" => vec!["10.0.0.0/8", "2001:db8::/32", "0.0.0.0/0"],
        "corsAllowedOrigins" => vec!["https://app.example.com", "http://localhost:3000"],
        "emailDomains" => vec!["example.com", "Example.ORG"],
        "address" => vec!["no-reply@example.com", "a@b"],
        "otlpEndpoint" => vec!["http://collector:4317", "https://[::1]:4317/x"],
        "defaultLocale" => vec!["en", "pt-BR"],
        "id" => vec!["gateway", "A.b_c~d-1"],
        "priorityClassName" => vec!["system-cluster-critical"],
        "audience" | "name" if path.contains("tokens") || path.contains("from") => {
            vec!["apps", "Ä \"b\" <c>, d"]
        }
        "name" if path.contains("ecret") => vec!["everything"],
        "key" if path.contains("database") => vec!["url"],
        "key" if path.contains("redis") => vec!["cache"],
        "key" if path.contains("introspection") => vec!["secret", "missing"],
        "usernameKey" | "passwordKey" => vec!["username", "password"],
        "protocol" => vec!["TCP", "UDP", "a"],
        "cidr" | "except" => vec!["10.0.0.0/8", "10.1.0.0/16", "a"],
        "secretName" => vec!["everything", "missing"],
        "operator" => vec!["Exists", "Equal", "In", "NotIn"],
        "effect" => vec!["NoSchedule", "NoExecute", "Never"],
        "topologyKey" => vec!["zone", "kubernetes.io/hostname"],
        "whenUnsatisfiable" => vec!["ScheduleAnyway", "DoNotSchedule", "Perhaps"],
        "key" => vec!["a", "example.com/b", "kubernetes.io/metadata.name"],
        "value" | "values" => vec!["a", "", "b-2"],
        _ => vec!["a", "x-1", "example"],
    }
}

/// Removes fields that need more pods than a test has, or that wait for missing objects.
fn tamed(mut spec: Value, number: usize) -> Value {
    let members = spec.as_object_mut().expect("an object");
    members.remove("paused");
    // Another operator would reconcile it.
    members.remove("operatorClass");
    // Types of the Kubernetes API, of which most random values are refused.
    if let Some(Value::Object(policy)) = members.get_mut("networkPolicy")
        && !number.is_multiple_of(8)
    {
        policy.remove("extraEgress");
        policy.remove("extraIngress");
    }
    if let Some(replicas) = members.get_mut("replicas") {
        *replicas = json!(number % 3);
    }
    if let Some(Value::Object(autoscaling)) = members.get_mut("autoscaling") {
        autoscaling.insert("minReplicas".to_owned(), json!(1));
    }
    // Generating keys of this algorithm takes a second.
    if let Some(Value::Object(tokens)) = members.get_mut("tokens")
        && tokens.get("algorithm") == Some(&json!("RS256"))
        && !number.is_multiple_of(20)
    {
        tokens.remove("algorithm");
    }
    if !number.is_multiple_of(8) {
        let everything = |key: &str| json!({"name": "everything", "key": key});
        members
            .insert("database".to_owned(), json!({"urlSecretRef": everything("url"), "allowShared": true}));
        members.insert("redis".to_owned(), json!({"urlSecretRef": everything("cache")}));
    }
    if let Some(Value::Object(admin)) = members.get_mut("bootstrapAdmin") {
        admin.insert("secretRef".to_owned(), json!({"name": "everything"}));
    }
    spec
}

/// A name of the maximum length, so that derived names have it as well.
fn name_of(number: usize) -> String {
    format!("a{number:0>39}")
}

async fn try_apply(
    api: &Api<AuthService>,
    number: usize,
    spec: &Value,
    dry: bool,
) -> Result<(), kube::Error> {
    let name = name_of(number);
    let object = json!({
        "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": {"name": name}, "spec": spec,
    });
    let parameters = PatchParams::apply("tests").force();
    let parameters = if dry { parameters.dry_run() } else { parameters };
    api.patch(&name, &parameters, &Patch::Apply(object)).await.map(drop)
}

/// How the operator handled the spec: the reason why it is blocked, if it is.
async fn outcome(api: Api<AuthService>, number: usize) -> Option<(String, String)> {
    wait_for(api, &name_of(number), |object| {
        let object = object.ok_or("it is not there")?;
        let observed = object.status.as_ref().and_then(|status| status.observed_generation);
        let is = |type_: &str| condition(object, type_).is_some_and(|found| found.status == "True");
        let held_up = condition(object, "Ready").is_some_and(|ready| ready.reason == "MigrationWaiting");
        let ended =
            observed == object.metadata.generation && (is("Stalled") || is("SchemaMigrated") || held_up);
        let stalled = condition(object, "Stalled").filter(|_| is("Stalled"));
        let why = stalled.map(|found| (found.reason.clone(), found.message.clone()));
        ended.then_some(why).ok_or_else(|| format!("{:?}", condition(object, "Ready")))
    })
    .await
}

#[tokio::test]
async fn every_accepted_spec_is_served_or_refused_with_the_invalid_object() {
    let fixture = Fixture::new("arbitrary").await;
    let _kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    let databases: Vec<(String, String)> = (0..DATABASES)
        .map(|number| (format!("url-{number}"), format!("postgres://a:b@db.example.com/auth-{number}")))
        .collect();
    let mut all: Vec<(&str, &str)> =
        databases.iter().map(|(key, url)| (key.as_str(), url.as_str())).collect();
    let authority = Authority::new("Any");
    let issued = authority.issue_for("DNS:auth");
    let text_of = |file| std::fs::read_to_string(file).expect("a file of the certificate");
    let (certificate, key) = (text_of(issued.certificate), text_of(issued.key));
    all.extend([
        ("url", "postgres://a:b@db.example.com/auth"),
        ("cache", "redis://cache.example.com"),
        ("username", "root"),
        ("email", "root@example.com"),
        ("password", "long enough to be a good one"),
        ("secret", "long enough that it cannot be guessed"),
        ("pepper", "pepper"),
        ("a", "any"),
        ("tls.crt", certificate.as_str()),
        ("tls.key", key.as_str()),
    ]);
    fixture.apply_secret("everything", &all).await;

    let text = std::fs::read_to_string(auth_service_crd()).expect("the CRD");
    let crd: Value = serde_yaml_ng::from_str(&text).expect("YAML");
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let strategy = any_value(schema, "spec");
    let mut runner = TestRunner::deterministic();
    let wanted =
        std::env::var("LATCHKEY_ARBITRARY_SPECS").map_or(SPECS, |text| text.parse().expect("a number"));
    let api = fixture.api::<AuthService>();
    let mut accepted = Vec::new();
    let mut seen = Map::new();
    let mut tries = 0;
    while accepted.len() < wanted {
        tries += 1;
        let spec = tamed(strategy.new_tree(&mut runner).expect("a spec").current(), tries);
        match try_apply(&api, tries, &spec, true).await {
            Ok(()) => accepted.push((tries, spec)),
            Err(kube::Error::Api(status)) if status.code == 422 => {
                let rules = status.details.map(|details| details.causes).unwrap_or_default();
                for cause in rules {
                    let count = seen.entry(cause.field).or_insert(json!(0));
                    *count = json!(count.as_i64().unwrap_or_default() + 1);
                }
            }
            Err(error) => panic!("{spec}: {error}"),
        }
        assert!(tries < 40 * wanted, "hardly any spec is accepted; refused fields: {seen:?}");
    }
    let outcomes = stream::iter(accepted).map(async |(number, spec)| {
        try_apply(&api, number, &spec, false).await.unwrap_or_else(|e| panic!("{spec}: {e}"));
        (outcome(api.clone(), number).await, spec)
    });
    let outcomes: Vec<_> = outcomes.buffer_unordered(8).collect().await;
    let mut made = 0;
    for (why, spec) in &outcomes {
        match why.as_ref().map(|(reason, message)| (reason.as_str(), message)) {
            None => made += 1,
            // Types of the Kubernetes API, which the API server validates.
            Some(("ApplyRefused", message)) => {
                let of_pod = message.contains("spec.template.")
                    && ["pod", "podTemplate", "migration"].iter().any(|section| spec.get(*section).is_some());
                let in_policy = ["Selector.", "spec.egress", "spec.ingress"];
                let of_policy = in_policy.iter().any(|part| message.contains(part))
                    && spec.get("networkPolicy").is_some();
                let of_route = message.contains("spec.parentRefs") && spec.get("exposure").is_some();
                assert!(of_pod || of_policy || of_route, "{message}: {spec}");
            }
            Some(("InvalidSpec", message)) if message.starts_with("spec.podTemplate") => {}
            // The referenced objects are missing or have another owner.
            Some((reason, message)) => {
                let known = [
                    "SecretMissing",
                    "SecretKeyMissing",
                    "SecretInvalid",
                    "ConfigMapMissing",
                    "DatabaseShared",
                ];
                assert!(known.contains(&reason), "{reason}: {message}: {spec}");
            }
        }
    }
    let others: Vec<_> = outcomes.iter().filter_map(|(why, _)| why.as_ref()).collect();
    assert!(made > wanted / 3, "only {made} of {wanted} are served: {others:#?}");
    let log = operator.log();
    assert!(!log.contains("panicked") && !log.contains("could not write an event"), "{log}");
}
