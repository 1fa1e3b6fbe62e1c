//! The messages of `kubectl apply` for an invalid AuthService. Each message is part of the API.

use kube::api::{DynamicObject, Patch, PatchParams};
use latchkey_crds::AuthService;
use latchkey_tests::control_plane::{FIELD_MANAGER, auth_service_crd};
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};

const CAS: &str = "spec.trustedCAs: each entry has either secretRef or configMapRef";
const WORDS: &str = "spec.passwordPolicy.forbiddenWords must contain words or names, such as example, without commas and control characters and without spaces around them";

/// Specs that the validation rules of the CRD refuse, each with its message.
#[expect(clippy::too_many_lines, reason = "a table, one rule a line")]
fn refused() -> Vec<(Value, &'static str)> {
    let url = json!({"urlSecretRef": {"name": "x"}, "embedded": {}});
    let mail = |value: Value| {
        let mut email = json!({
            "enabled": true,
            "from": {"address": "no-reply@example.com"},
            "smtp": {"host": "smtp.example.com"},
        });
        json_patch(&mut email, value);
        json!({"email": email})
    };
    let name = "app.kubernetes.io/name";
    vec![
        (
            json!({"issuer": "auth.example.com"}),
            "spec.issuer must be an http or https URL without user, query and fragment, such as https://auth.example.com",
        ),
        (
            json!({"issuer": "https://user@example.com"}),
            "spec.issuer must be an http or https URL without user, query and fragment, such as https://auth.example.com",
        ),
        (
            json!({"issuer": "https://example.com/?a=b"}),
            "spec.issuer must be an http or https URL without user, query and fragment, such as https://auth.example.com",
        ),
        (json!({"database": url}), "spec.database: set urlSecretRef or embedded, not both"),
        (
            json!({"database": {"allowShared": true}}),
            "spec.database.allowShared applies only to an external database: set urlSecretRef, or remove allowShared",
        ),
        (
            json!({"database": {"embedded": {"reclaim": "Retain"}}}),
            "spec.database.embedded.reclaim: Retain needs storage: without a volume there is nothing to retain",
        ),
        (json!({"redis": url}), "spec.redis: set urlSecretRef or embedded, not both"),
        (json!({"trustedCAs": [{}]}), CAS),
        (json!({"trustedCAs": [{"secretRef": {"name": "a"}, "configMapRef": {"name": "a"}}]}), CAS),
        (json!({"passwordPolicy": {"forbiddenWords": ["example", "acme,corp"]}}), WORDS),
        (json!({"passwordPolicy": {"forbiddenWords": ["example", " acme"]}}), WORDS),
        (json!({"passwordPolicy": {"forbiddenWords": ["example", "acme "]}}), WORDS),
        (json!({"passwordPolicy": {"forbiddenWords": ["example", "a\u{7}cme"]}}), WORDS),
        (json!({"passwordPolicy": {"forbiddenWords": ["example", "-.-"]}}), WORDS),
        (
            json!({"database": {"embedded": {"storage": "much"}}}),
            "spec.database.embedded.storage must be a size above 0, such as 1Gi",
        ),
        (
            json!({"database": {"embedded": {"storage": "0Gi"}}}),
            "spec.database.embedded.storage must be a size above 0, such as 1Gi",
        ),
        (
            json!({"image": {"tag": "1", "digest": format!("sha256:{:064x}", 1)}}),
            "spec.image: set tag or digest, not both",
        ),
        (
            json!({"image": {"repository": "Example.com/x:1"}}),
            "spec.image.repository must be a registry and path without tag and digest, such as ghcr.io/latchkey-dev/latchkey-server",
        ),
        (
            json!({"image": {"tag": "a b"}}),
            "spec.image.tag must be letters, digits, '_', '.' and '-', such as 0.1.0",
        ),
        (
            json!({"image": {"digest": "sha256:1"}}),
            "spec.image.digest must be sha256: and 64 hexadecimal digits",
        ),
        (
            json!({"image": {"pullSecrets": [{"name": "a"}, {"name": "a"}]}}),
            "spec.image.pullSecrets names a Secret twice: remove one",
        ),
        (
            json!({"tokens": {"accessTokenTTL": "90s"}}),
            "spec.tokens.accessTokenTTL must be whole minutes between 1m and 87840h (ten years), such as 15m, 1h30m or 168h",
        ),
        (
            json!({"tokens": {"accessTokenTTL": "7d"}}),
            "spec.tokens.accessTokenTTL must be whole minutes between 1m and 87840h (ten years), such as 15m, 1h30m or 168h",
        ),
        (
            json!({"tokens": {"refreshTokenTTL": "0m"}}),
            "spec.tokens.refreshTokenTTL must be whole minutes between 1m and 87840h (ten years), such as 720h or 8760h",
        ),
        (
            json!({"tokens": {"keyRotation": {"interval": "59m"}}}),
            "spec.tokens.keyRotation.interval must be whole minutes between 1h and 87840h (ten years), such as 720h",
        ),
        (
            json!({"tokens": {"keyRotation": {"jwksCacheTime": "25h"}}}),
            "spec.tokens.keyRotation.jwksCacheTime must be between 1s and 24h, such as 5m",
        ),
        (
            json!({"tokens": {"refreshTokenTTL": "201h", "keyRotation": {"interval": "1h"}}}),
            "spec.tokens.keyRotation.interval must be at least a 200th of spec.tokens.refreshTokenTTL, because every key is retained until its last token has expired: raise the first or lower the second",
        ),
        (
            json!({"tokens": {"accessTokenTTL": "2h", "refreshTokenTTL": "1h"}}),
            "spec.tokens.refreshTokenTTL must be at least as long as spec.tokens.accessTokenTTL: raise the first or lower the second",
        ),
        (
            json!({"email": {"enabled": true, "smtp": {"host": "smtp.example.com"}}}),
            "spec.email.from.address is required when spec.email.enabled is true",
        ),
        (
            json!({"email": {"enabled": true, "from": {"address": "a@example.com"}}}),
            "spec.email.smtp.host is required when spec.email.enabled is true",
        ),
        (
            mail(json!({"from": {"address": "nobody"}})),
            "spec.email.from.address must be an e-mail address such as no-reply@example.com",
        ),
        (mail(json!({"from": {"name": "two\nlines"}})), "spec.email.from.name must be one line"),
        (
            mail(json!({"smtp": {"host": "smtp://example.com"}})),
            "spec.email.smtp.host must be a host name or an address, without scheme and port",
        ),
        (
            mail(json!({"publicURL": "example.com"})),
            "spec.email.publicURL must be an http or https URL without user, query and fragment, such as https://auth.example.com",
        ),
        (
            json!({"registration": {"enabled": true}}),
            "spec.registration.enabled needs spec.email.enabled: addresses are verified by e-mail",
        ),
        (
            json!({"registration": {"emailDomains": ["@example.com"]}}),
            "spec.registration.emailDomains must contain domains such as example.com",
        ),
        (
            json!({"accounts": {"defaultLocale": "en_GB"}}),
            "spec.accounts.defaultLocale must be a language tag such as en or pt-BR",
        ),
        (
            json!({"trustedProxies": ["10.0.0.0/40"]}),
            "spec.trustedProxies must contain networks such as 10.0.0.0/8, or addresses",
        ),
        (
            json!({"corsAllowedOrigins": ["https://app.example.com/path"]}),
            "spec.corsAllowedOrigins must contain origins such as https://app.example.com: scheme, host and port, nothing else",
        ),
        (
            json!({"introspectionClient": {"id": "a:b", "secretRef": {"name": "x"}}}),
            "spec.introspectionClient.id may contain letters, digits and . _ ~ -",
        ),
        (
            json!({"replicas": 2, "autoscaling": {"maxReplicas": 3}}),
            "spec.replicas and spec.autoscaling exclude each other: leave spec.replicas out (0 stops serving), or remove spec.autoscaling",
        ),
        (
            json!({"autoscaling": {"maxReplicas": 3}, "pod": {"resources": {"requests": {"memory": "1Gi"}}}}),
            "spec.autoscaling needs spec.pod.resources.requests.cpu: load is measured in percent of it",
        ),
        (
            json!({"autoscaling": {"minReplicas": 3, "maxReplicas": 2}}),
            "spec.autoscaling.maxReplicas must be at least spec.autoscaling.minReplicas: raise the first or lower the second",
        ),
        (
            json!({"exposure": {"ingress": {"host": "auth.example.com"}}}),
            "spec.exposure needs spec.issuer: set the address that clients use, such as https://auth.example.com",
        ),
        (
            exposed(&json!({"ingress": {"host": "auth.example.com"}}), &json!({"enabled": true})),
            "spec.exposure with spec.networkPolicy.enabled needs spec.networkPolicy.allowFrom: name the namespace of the ingress controller or gateway there",
        ),
        (exposed(&json!({}), &json!({})), "spec.exposure: set ingress or gateway, one of the two"),
        (
            exposed(
                &json!({
                    "ingress": {"host": "a.example.com"},
                    "gateway": {"parentRefs": [{"name": "a"}], "hostnames": ["a.example.com"]},
                }),
                &json!({}),
            ),
            "spec.exposure: set ingress or gateway, one of the two",
        ),
        (
            exposed(&json!({"ingress": {"host": "https://auth.example.com"}}), &json!({})),
            "spec.exposure.ingress.host must be a host name in lower case, such as auth.example.com",
        ),
        (
            exposed(
                &json!({"ingress": {"host": "a.example.com", "annotations": {"latchkey.dev/rendered": "x"}}}),
                &json!({}),
            ),
            "spec.exposure.ingress.annotations: latchkey.dev/rendered is reserved for the operator",
        ),
        (
            exposed(&json!({"ingress": {"host": "a.example.com", "tls": {}}}), &json!({})),
            "spec.exposure.ingress.tls: set secretName or certificate, one of the two",
        ),
        (
            exposed(
                &json!({"gateway": {"parentRefs": [{"name": "a"}], "hostnames": ["*.example.com"]}}),
                &json!({}),
            ),
            "spec.exposure.gateway.hostnames must contain host names in lower case, such as auth.example.com",
        ),
        (
            json!({"networkPolicy": {"egressNetworks": ["10.0.0.1"]}}),
            "spec.networkPolicy.egressNetworks must contain networks such as 10.0.0.0/8",
        ),
        (
            json!({"monitoring": {"serviceMonitor": {"interval": "often"}}}),
            "spec.monitoring.serviceMonitor.interval must be a duration of at least 1s, such as 30s",
        ),
        (
            json!({"monitoring": {"serviceMonitor": {"labels": {name: "x"}}}}),
            "spec.monitoring.serviceMonitor.labels: the app.kubernetes.io labels name, instance, component and managed-by are reserved for the operator",
        ),
        (
            json!({"tracing": {"otlpEndpoint": "collector:4317"}}),
            "spec.tracing.otlpEndpoint must be an http or https URL such as http://collector.observability.svc:4317",
        ),
        (
            json!({"pod": {"labels": {name: "x"}}}),
            "spec.pod.labels: the app.kubernetes.io labels name, instance, component and managed-by are reserved for the operator",
        ),
        (
            json!({"pod": {"annotations": {"latchkey.dev/checksum": "x"}}}),
            "spec.pod.annotations: latchkey.dev/checksum is reserved for the operator",
        ),
    ]
}

fn exposed(exposure: &Value, policy: &Value) -> Value {
    json!({"issuer": "https://auth.example.com", "exposure": exposure, "networkPolicy": policy})
}

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
        (json!({"logging": {"format": "xml"}}), ["spec.logging.format", "supported values"]),
        (json!({"replica": 2}), [".spec.replica", "field not declared in schema"]),
    ]
}

fn json_patch(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                json_patch(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch,
    }
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

fn each_rule(schema: &Value, found: &mut impl FnMut(&str)) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        found(rule["message"].as_str().expect("a rule has a message"));
    }
    let properties = schema["properties"].as_object().into_iter().flat_map(|properties| properties.values());
    for part in properties.chain(schema.get("items")).chain(schema.get("additionalProperties")) {
        each_rule(part, found);
    }
}
