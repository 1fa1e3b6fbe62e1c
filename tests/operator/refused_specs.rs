//! Specs that break one rule of the CustomResourceDefinition each.

use serde_json::{Value, json};

const CAS: &str = "spec.trustedCAs: each entry has either secretRef or configMapRef";
const LISTENERS: &str = "spec.exposure.gateway.parentRefs: several references to one Gateway must name different listeners by sectionName or port";
const ROLLOUT: &str =
    "spec.rollout: maxSurge and maxUnavailable must not both be 0, because then no pod could be replaced";
const WORDS: &str = "spec.passwordPolicy.forbiddenWords must contain words or names, such as example, without commas and control characters and without spaces around them";

/// Specs that the validation rules of the CRD refuse, each with its message.
#[expect(clippy::too_many_lines, reason = "a table, one rule a line")]
pub fn refused() -> Vec<(Value, &'static str)> {
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
    let claims = json!({"claims": [{"name": "a"}, {"name": "a"}]});
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
        (
            json!({"clients": {"allowedNamespaces": {"from": "Selector"}}}),
            "spec.clients.allowedNamespaces: set selector if from is Selector, and only then",
        ),
        (
            json!({"clients": {"allowedNamespaces": {"selector": {}}}}),
            "spec.clients.allowedNamespaces: set selector if from is Selector, and only then",
        ),
        (json!({"database": url}), "spec.database: set urlSecretRef or embedded, not both"),
        (
            json!({"database": {"allowShared": true}}),
            "spec.database.allowShared applies only to an external database: set urlSecretRef, or remove allowShared",
        ),
        (
            json!({"database": {"clientCertificateSecretRef": {"name": "client"}}}),
            "spec.database.clientCertificateSecretRef applies only to an external database: set urlSecretRef, or remove clientCertificateSecretRef",
        ),
        (
            json!({"redis": {"clientCertificateSecretRef": {"name": "client"}}}),
            "spec.redis.clientCertificateSecretRef applies only to an external Redis: set urlSecretRef, or remove clientCertificateSecretRef",
        ),
        (
            json!({"email": {"smtp": {"ehloName": "not a name"}}}),
            "spec.email.smtp.ehloName must be a domain name or an IP address",
        ),
        (
            json!({"migration": {"deadline": "169h"}}),
            "spec.migration.deadline must be between 1m and 168h (a week), such as 15m or 6h",
        ),
        (
            json!({"migration": {"labels": {name: "x"}}}),
            "spec.migration.labels: the app.kubernetes.io labels name, instance, component and managed-by are reserved for the operator",
        ),
        (
            json!({"serviceAccount": {"annotations": {"latchkey.dev/rendered": "x"}}}),
            "spec.serviceAccount.annotations: latchkey.dev/rendered is reserved for the operator",
        ),
        (
            json!({"database": {"embedded": {"reclaim": "Retain"}}}),
            "spec.database.embedded.reclaim: Retain needs storage: without a volume there is nothing to retain",
        ),
        (json!({"rollout": {"maxSurge": 0}}), ROLLOUT),
        (json!({"rollout": {"maxSurge": "0%", "maxUnavailable": "0%"}}), ROLLOUT),
        (json!({"redis": url}), "spec.redis: set urlSecretRef or embedded, not both"),
        (json!({"tls": {}}), "spec.tls: set secretRef or issuerRef, one of the two"),
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
        (
            exposed(&json!({}), &json!({})),
            "spec.exposure: set ingress, gateway or route, exactly one of them",
        ),
        (
            exposed(
                &json!({
                    "ingress": {"host": "a.example.com"},
                    "gateway": {"parentRefs": [{"name": "a"}], "hostnames": ["a.example.com"]},
                }),
                &json!({}),
            ),
            "spec.exposure: set ingress, gateway or route, exactly one of them",
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
            json!({"pod": {"topologySpreadConstraints": [spread("a", "ScheduleAnyway"), spread("a", "ScheduleAnyway")]}}),
            "spec.pod.topologySpreadConstraints has two elements with the same topologyKey and whenUnsatisfiable: remove one",
        ),
        (
            json!({"pod": {"resources": claims}}),
            "spec.pod.resources.claims has two elements with the same name: remove one",
        ),
        (
            json!({"migration": {"resources": claims}}),
            "spec.migration.resources.claims has two elements with the same name: remove one",
        ),
        (
            json!({"database": {"embedded": {"resources": claims}}}),
            "spec.database.embedded.resources.claims has two elements with the same name: remove one",
        ),
        (
            json!({"redis": {"embedded": {"resources": claims}}}),
            "spec.redis.embedded.resources.claims has two elements with the same name: remove one",
        ),
        (parents(&json!([{"name": "a"}, {"name": "a"}])), LISTENERS),
        (parents(&json!([{"name": "a"}, {"name": "a", "sectionName": "https"}])), LISTENERS),
        (parents(&json!([{"name": "a", "port": 443}, {"name": "b"}, {"name": "a", "port": 443}])), LISTENERS),
        (
            parents(&json!([
                {"name": "a", "namespace": "n", "sectionName": "https"},
                {"name": "a", "namespace": "n", "sectionName": "https"},
            ])),
            LISTENERS,
        ),
        (
            json!({"operatorClass": "Blue"}),
            "spec.operatorClass must contain only lower-case letters, digits and '-', such as blue",
        ),
        (
            exposed(&json!({"route": {"host": "a"}}), &json!({})),
            "spec.exposure.route.host must be a host name in lower case, such as auth.apps.example.com",
        ),
        (
            exposed(
                &json!({"route": {"host": "a.example.com", "annotations": {"latchkey.dev/rendered": "x"}}}),
                &json!({}),
            ),
            "spec.exposure.route.annotations: latchkey.dev/rendered is reserved for the operator",
        ),
        (
            exposed(
                &json!({"route": {"host": "a.example.com", "tls": {"destinationCACertificate": "x"}}}),
                &json!({}),
            ),
            "spec.exposure.route.tls: destinationCACertificate needs the termination reencrypt",
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

/// A constraint for the spread of pods.
pub fn spread(key: &str, otherwise: &str) -> Value {
    json!({"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": otherwise})
}

/// A route with these parents.
pub fn parents(references: &Value) -> Value {
    let gateway = json!({"parentRefs": references, "hostnames": ["a.example.com"]});
    exposed(&json!({ "gateway": gateway }), &json!({}))
}

fn exposed(exposure: &Value, policy: &Value) -> Value {
    json!({"issuer": "https://auth.example.com", "exposure": exposure, "networkPolicy": policy})
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
