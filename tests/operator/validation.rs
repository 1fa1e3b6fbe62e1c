//! The messages of `kubectl apply` for an invalid AuthService. Each message is part of the API.

use kube::api::{DynamicObject, Patch, PatchParams};
use latchkey_crds::AuthService;
use latchkey_tests::control_plane::{FIELD_MANAGER, auth_service_crd};
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};
use crate::refused_specs::{parents, refused, spread};

/// Specs with wrong types: each with words of the API server's message.
fn malformed() -> Vec<(Value, [&'static str; 2])> {
    vec![
        (json!({"replicas": -1}), ["spec.replicas", "should be greater than or equal to 0"]),
        (json!({"replicas": 101}), ["spec.replicas", "should be less than or equal to 100"]),
        (json!({"replicas": "two"}), ["spec.replicas", "expected numeric (int or float), got string"]),
        (json!({"image": {"pullPolicy": "Sometimes"}}), ["spec.image.pullPolicy", "supported values"]),
        (json!({"image": {"pullSecrets": [{}]}}), ["spec.image.pullSecrets[0].name", "Required value"]),
        (json!({"tokens": {"algorithm": "HS256"}}), ["spec.tokens.algorithm", "supported values"]),
        (json!({"email": {"smtp": {"port": 0}}}), ["spec.email.smtp.port", "greater than or equal to 1"]),
        (
            json!({"email": {"smtp": {"port": 65536}}}),
            ["spec.email.smtp.port", "less than or equal to 65535"],
        ),
        (json!({"email": {"smtp": {"security": "ssl"}}}), ["spec.email.smtp.security", "supported values"]),
        (
            json!({"database": {"urlSecretRef": {"key": "url"}}}),
            ["spec.database.urlSecretRef.name", "Required value"],
        ),
        (
            json!({"passwordPolicy": {"minLength": 7}}),
            ["spec.passwordPolicy.minLength", "greater than or equal to 8"],
        ),
        (
            json!({"passwordPolicy": {"minLength": 65}}),
            ["spec.passwordPolicy.minLength", "less than or equal to 64"],
        ),
        (
            json!({"passwordPolicy": {"forbiddenWords": ["ab"]}}),
            ["spec.passwordPolicy.forbiddenWords[0]", "at least 3"],
        ),
        (json!({"trustedCAs": [{"secretRef": {}}]}), ["spec.trustedCAs[0].secretRef.name", "Required value"]),
        (json!({"bootstrapAdmin": {}}), ["spec.bootstrapAdmin.secretRef", "Required value"]),
        (json!({"logging": {"level": "loud"}}), ["spec.logging.level", "supported values"]),
        (json!({"pod": {"labels": {"team": "not valid"}}}), ["spec.pod.labels.team", "should match"]),
        (json!({"migration": {"labels": {"team": "-x"}}}), ["spec.migration.labels.team", "should match"]),
        (
            json!({"monitoring": {"serviceMonitor": {"labels": {"release": "a/b"}}}}),
            ["spec.monitoring.serviceMonitor.labels.release", "should match"],
        ),
        (json!({"logging": {"format": "xml"}}), ["spec.logging.format", "supported values"]),
        (json!({"replica": 2}), [".spec.replica", "field not declared in schema"]),
    ]
}

#[tokio::test]
async fn each_rule_refuses_invalid_specs_with_the_name_of_the_field() {
    let fixture = Fixture::new("rules").await;
    for (spec, sentence) in refused() {
        let error = fixture.try_apply(spec.clone()).await.expect_err(&spec.to_string()).to_string();
        assert!(error.contains(sentence), "{spec}: {error}");
    }
    for (spec, words) in malformed() {
        let error = fixture.try_apply(spec.clone()).await.expect_err(&spec.to_string()).to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{spec}: {error}");
    }
    assert!(fixture.api::<AuthService>().get_opt(NAME).await.expect("a response").is_none());
}

#[tokio::test]
async fn a_name_that_no_service_can_have_is_refused() {
    let fixture = Fixture::new("names").await;
    let api = fixture.api::<AuthService>();
    let try_name = async |name: &str| {
        let object = json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": {"name": name}, "spec": {},
        });
        api.patch(name, &PatchParams::apply(FIELD_MANAGER).dry_run(), &Patch::Apply(object)).await
    };
    let sentence = "metadata.name must start with a letter, contain only lower-case letters, digits and '-', and have at most 40 characters: it becomes the name of a Service";
    let (longest_label, longest_name) = ("a".repeat(63), "a".repeat(253));
    let bad =
        ["1auth", "auth.example", "a1234567890123456789012345678901234567890", &longest_label, &longest_name];
    for bad in bad {
        let error = try_name(bad).await.expect_err(bad).to_string();
        assert!(error.contains(sentence), "{bad}: {error}");
    }
    for good in ["a", "auth-2", "a123456789012345678901234567890123456789"] {
        try_name(good).await.unwrap_or_else(|e| panic!("{good}: {e}"));
    }
}

#[tokio::test]
async fn an_immutable_field_is_refused_with_the_remedy() {
    let fixture = Fixture::new("changes").await;
    fixture.apply(json!({"database": {"embedded": {"storage": "1Gi"}}})).await;
    for (spec, sentence) in unchangeable() {
        let error = fixture.try_apply(spec.clone()).await.expect_err(&spec.to_string()).to_string();
        assert!(error.contains(sentence), "{spec}: {error}");
    }
    fixture.apply(json!({"database": {"urlSecretRef": {"name": "database"}}})).await;
}

fn unchangeable() -> [(Value, &'static str); 2] {
    let storage = "spec.database.embedded.storage cannot be changed, because the volume already exists: migrate to an external database with spec.database.urlSecretRef instead";
    [(json!({"database": {"embedded": {"storage": "2Gi"}}}), storage), (json!({}), storage)]
}

#[tokio::test]
async fn valid_specs_are_accepted() {
    let fixture = Fixture::new("good").await;
    let good = [
        json!({}),
        json!({"issuer": "http://localhost:8080"}),
        json!({"issuer": "https://example.com/auth/"}),
        json!({"issuer": "https://[2001:db8::1]:8443"}),
        json!({"tokens": {"accessTokenTTL": "1h30m", "refreshTokenTTL": "87840h", "algorithm": "EdDSA"}}),
        json!({"tokens": {"refreshTokenTTL": "200h", "keyRotation": {"interval": "1h", "jwksCacheTime": "1s"}}}),
        json!({"database": {"embedded": {"storage": "500Mi"}}, "redis": {"embedded": {}}}),
        json!({"image": {"repository": "localhost:5000/a/b", "tag": "v1.2_3"}}),
        json!({"email": {"enabled": false, "from": {"address": "a@b"}, "smtp": {"port": 25, "security": "none"}}}),
        json!({"monitoring": {"serviceMonitor": {"interval": "1m30s"}}}),
        json!({"trustedCAs": [{"secretRef": {"name": "a"}}, {"configMapRef": {"name": "b", "key": "c"}}]}),
        json!({"passwordPolicy": {"minLength": 64, "forbiddenWords": ["馬馬馬", "café & co.", "4711"]}}),
        json!({"pod": {"labels": {"app.kubernetes.io/part-of": "x"}}}),
        parents(
            &json!([{"name": "a", "sectionName": "x"}, {"name": "a", "sectionName": "y"}, {"name": "b"}]),
        ),
        parents(&json!([{"name": "a"}, {"name": "a", "namespace": "n"}])),
        json!({"pod": {"topologySpreadConstraints": [spread("a", "ScheduleAnyway"), spread("b", "ScheduleAnyway")]}}),
    ];
    for spec in good {
        let object = json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": {"name": NAME}, "spec": spec,
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).dry_run();
        let taken = fixture.api::<AuthService>().patch(NAME, &parameters, &Patch::Apply(object)).await;
        taken.unwrap_or_else(|e| panic!("{spec}: {e}"));
    }
}

#[test]
fn every_rule_of_the_crd_is_tested() {
    let known: Vec<&str> = refused()
        .iter()
        .map(|(_, sentence)| *sentence)
        .chain(unchangeable().iter().map(|(_, sentence)| *sentence))
        .collect();
    let mut missing = Vec::new();
    let text = std::fs::read_to_string(auth_service_crd()).expect("the CRD");
    let crd: DynamicObject = serde_yaml_ng::from_str(&text).expect("YAML");
    each_rule(&crd.data["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &mut |sentence| {
        // There is a separate test of the name above.
        if !known.contains(&sentence) && !sentence.starts_with("metadata.name") {
            missing.push(sentence.to_owned());
        }
    });
    assert!(missing.is_empty(), "{missing:#?}");
}

pub fn each_rule(schema: &Value, found: &mut impl FnMut(&str)) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        found(rule["message"].as_str().expect("a rule has a message"));
    }
    let properties = schema["properties"].as_object().into_iter().flat_map(|properties| properties.values());
    for part in properties.chain(schema.get("items")).chain(schema.get("additionalProperties")) {
        each_rule(part, found);
    }
}
