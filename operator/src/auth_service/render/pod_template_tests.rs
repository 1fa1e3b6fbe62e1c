//! Overrides of the pod template: what is accepted is merged, and the operator's part always stays its own.

use std::cell::Cell;

use latchkey_crds::pod_template::VOLUMES;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

use super::*;
use crate::auth_service::fixtures::{auth_service, embedded, full, full_spec, validated};
use crate::auth_service::problem::Problem;

/// The pod template of the smallest service with this override.
fn template(given: &Value) -> Result<Value, Problem> {
    let service = validated(&auth_service(json!({"podTemplate": given})), embedded());
    let server = service.server.clone()?;
    let deployment = serde_json::to_value(deployment::build(&service, &server, None)).unwrap();
    Ok(deployment["spec"]["template"].clone())
}

fn plain() -> Value {
    template(&json!({})).unwrap()
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    list.as_array().unwrap().iter().find(|element| element["name"] == name).unwrap()
}

#[test]
fn an_override_is_merged_by_names() {
    let given = json!({
        "metadata": {"labels": {"azure.workload.identity/use": "true"}, "annotations": {"a": "b"}},
        "spec": {
            "terminationGracePeriodSeconds": 90,
            "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
            "securityContext": {"supplementalGroups": [4000]},
            "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
            "containers": [
                {"name": "server", "env": [{"name": "HTTPS_PROXY", "value": "http://proxy"}],
                 "volumeMounts": [{"name": "ca", "mountPath": "/ca"}], "readinessProbe": {"periodSeconds": 7},
                 "lifecycle": {"preStop": {"sleep": {"seconds": 5}}}},
                {"name": "proxy", "image": "proxy:1", "securityContext": {"readOnlyRootFilesystem": false}},
            ],
        },
    });
    let (before, after) = (plain(), template(&given).unwrap());
    let [spec, pod] = [&before["spec"], &after["spec"]];
    assert_eq!(after["metadata"]["labels"]["azure.workload.identity/use"], "true");
    assert_eq!(pod["terminationGracePeriodSeconds"], 90);
    assert_eq!(pod["securityContext"]["supplementalGroups"], json!([4000]));
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(named(&pod["volumes"], "ca")["configMap"]["name"], "ca");
    assert_eq!(pod["volumes"].as_array().unwrap().len(), spec["volumes"].as_array().unwrap().len() + 1);
    let [old, new] = [&spec["containers"][0], named(&pod["containers"], "server")];
    assert_eq!(new["readinessProbe"]["periodSeconds"], 7);
    assert_eq!(new["readinessProbe"]["httpGet"], old["readinessProbe"]["httpGet"]);
    assert_eq!(
        new["volumeMounts"].as_array().unwrap().len(),
        old["volumeMounts"].as_array().unwrap().len() + 1
    );
    assert_eq!(new["env"][0]["name"], "HTTPS_PROXY");
    let proxy = &named(&pod["containers"], "proxy")["securityContext"];
    assert_eq!(proxy["capabilities"]["drop"], json!(["ALL"]), "what it does not set is restricted");
    assert_eq!(proxy["readOnlyRootFilesystem"], false);
}

#[test]
fn a_field_that_stays_the_operators_is_refused_by_its_name() {
    let server = |member: Value| {
        let mut container = json!({"name": "server"});
        container.as_object_mut().unwrap().extend(member.as_object().unwrap().clone());
        json!({"spec": {"containers": [container]}})
    };
    let other = |member: Value| {
        let mut container = json!({"name": "other", "image": "i"});
        container.as_object_mut().unwrap().extend(member.as_object().unwrap().clone());
        json!({"spec": {"containers": [container]}})
    };
    let mount = |path: &str| server(json!({"volumeMounts": [{"name": "x", "mountPath": path}]}));
    let env = |name: &str| server(json!({"env": [{"name": name, "value": "x"}]}));
    for (given, field) in [
        (json!({"metadata": {"labels": {"app.kubernetes.io/instance": "x"}}}), ".metadata.labels"),
        (json!({"metadata": {"annotations": {"latchkey.dev/checksum": "x"}}}), ".metadata.annotations"),
        (json!({"metadata": {"name": "x"}}), ".metadata.name"),
        (json!({"spec": {"hostNetwork": true}}), ".spec.hostNetwork"),
        (json!({"spec": {"serviceAccountName": "x"}}), ".spec.serviceAccountName"),
        (json!({"spec": {"automountServiceAccountToken": true}}), ".spec.automountServiceAccountToken"),
        (json!({"spec": {"securityContext": {"runAsNonRoot": false}}}), ".spec.securityContext.runAsNonRoot"),
        (
            json!({"spec": {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}}),
            ".spec.volumes[0].hostPath",
        ),
        (json!({"spec": {"volumes": [{"name": "keys", "emptyDir": {}}]}}), ".spec.volumes[0]"),
        (json!({"spec": {"nonsense": 1}}), ".spec.nonsense"),
        (json!({"spec": {"$patch": "replace"}}), ".spec.$patch"),
        (json!({"spec": {"dnsConfig": {"nonsense": 1}}}), ".spec.dnsConfig.nonsense"),
        (json!({"spec": {"dnsPolicy": null}}), ".spec.dnsPolicy"),
        (json!({"spec": {"containers": [{"image": "x"}]}}), ".spec.containers[0].name"),
        (json!({"spec": {"initContainers": [{"name": "server"}]}}), ".spec.initContainers[0].name"),
        (server(json!({"image": "x"})), ".spec.containers[0].image"),
        (server(json!({"command": ["x"]})), ".spec.containers[0].command"),
        (server(json!({"args": ["x"]})), ".spec.containers[0].args"),
        (server(json!({"envFrom": []})), ".spec.containers[0].envFrom"),
        (server(json!({"securityContext": {}})), ".spec.containers[0].securityContext"),
        (server(json!({"readinessProbe": {"exec": {}}})), ".spec.containers[0].readinessProbe.exec"),
        (env("ISSUER_URL"), ".spec.containers[0].env[0]"),
        (env("DATABASE_URL_FILE"), ".spec.containers[0].env[0]"),
        (env("LD_PRELOAD"), ".spec.containers[0].env[0]"),
        (mount("/etc/latchkey/keys"), ".spec.containers[0].volumeMounts[0].mountPath"),
        (mount("/etc"), ".spec.containers[0].volumeMounts[0].mountPath"),
        (mount("/"), ".spec.containers[0].volumeMounts[0].mountPath"),
        (mount("/x/../etc//latchkey/."), ".spec.containers[0].volumeMounts[0].mountPath"),
        (mount("/usr/local/bin"), ".spec.containers[0].volumeMounts[0].mountPath"),
        (
            other(json!({"volumeMounts": [{"name": "keys", "mountPath": "/x"}]})),
            ".spec.containers[0].volumeMounts[0]",
        ),
        (
            other(json!({"securityContext": {"privileged": true}})),
            ".spec.containers[0].securityContext.privileged",
        ),
        (
            other(json!({"securityContext": {"runAsUser": 0}})),
            ".spec.containers[0].securityContext.runAsUser",
        ),
        (
            other(json!({"securityContext": {"capabilities": {"add": ["X"]}}})),
            ".securityContext.capabilities.add",
        ),
        (other(json!({"ports": [{"name": "http", "containerPort": 1}]})), ".spec.containers[0].ports[0]"),
        (other(json!({"ports": [{"containerPort": 8080}]})), ".spec.containers[0].ports[0]"),
        (
            other(json!({"ports": [{"containerPort": 1, "hostPort": 1}]})),
            ".spec.containers[0].ports[0].hostPort",
        ),
        (json!({"metadata": {"annotations": {"a": "x".repeat(40_000)}}}), " is larger than 32 KiB"),
    ] {
        let problem = template(&given).expect_err(&given.to_string());
        assert_eq!(problem.reason, "InvalidSpec");
        assert!(problem.message.starts_with("spec.podTemplate"), "{}", problem.message);
        assert!(problem.message.contains(field), "{field}: {}", problem.message);
    }
}

#[test]
fn the_reserved_volumes_are_those_of_a_full_service() {
    let service = validated(&auth_service(full_spec()), full());
    let deployment = deployment::build(&service, service.server.as_ref().unwrap(), None);
    let volumes = deployment.spec.template.spec.unwrap().volumes.unwrap();
    let mut rendered: Vec<_> = volumes.iter().map(|volume| volume.name.as_str()).collect();
    rendered.retain(|name| *name != "scratch");
    rendered.sort_unstable();
    let mut reserved = VOLUMES.to_vec();
    reserved.sort_unstable();
    assert_eq!(rendered, reserved);
}

/// A value of about the right type, for a field of any name.
fn any_leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        select(vec![
            json!("x"),
            json!("server"),
            json!("keys"),
            json!("/etc/latchkey/keys"),
            json!("/data"),
            json!("ISSUER_URL"),
            json!("http"),
            json!(true),
            json!(false),
            json!(0),
            json!(8080),
            json!(7),
            json!(["serve"]),
            json!(["x"]),
            json!({}),
            json!([]),
            json!(null),
        ]),
        "[a-zA-Z/._-]{0,12}".prop_map(Value::from),
    ]
}

fn object(
    names: &'static [&'static str],
    inner: impl Strategy<Value = Value> + 'static,
) -> BoxedStrategy<Value> {
    proptest::collection::btree_map(select(names), inner, 0..4)
        .prop_map(|members| {
            let members = members.into_iter().map(|(name, value)| (name.to_owned(), value));
            Value::Object(members.collect::<Map<_, _>>())
        })
        .boxed()
}

fn list(inner: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    proptest::collection::vec(inner, 1..3).prop_map(Value::Array).boxed()
}

/// Overrides that often touch what is reserved.
fn any_override() -> impl Strategy<Value = Value> {
    let security = object(
        &["privileged", "runAsUser", "runAsNonRoot", "capabilities", "readOnlyRootFilesystem"],
        any_leaf(),
    );
    let env = list(object(&["name", "value"], any_leaf()));
    let mounts = list(object(&["name", "mountPath", "readOnly"], any_leaf()));
    let ports = list(object(&["name", "containerPort"], any_leaf()));
    let container = (
        select(vec!["server", "other"]),
        proptest::option::weighted(0.3, security.clone()),
        proptest::option::weighted(0.5, env),
        proptest::option::weighted(0.5, mounts),
        proptest::option::weighted(0.3, ports),
        object(&["image", "args", "command", "imagePullPolicy", "tty", "lifecycle"], any_leaf()),
    );
    let container = container.prop_map(|(name, security, env, mounts, ports, mut rest)| {
        rest["name"] = json!(name);
        for (member, value) in
            [("securityContext", security), ("env", env), ("volumeMounts", mounts), ("ports", ports)]
        {
            if let Some(value) = value {
                rest[member] = value;
            }
        }
        if rest.as_object().unwrap().len() > 3 {
            rest.as_object_mut()
                .unwrap()
                .retain(|member, _| ["name", "env", "volumeMounts"].contains(&member.as_str()));
        }
        rest
    });
    let containers = list(container.boxed());
    let volumes = list(object(&["name", "emptyDir", "hostPath"], any_leaf()));
    let spec = (
        object(
            &[
                "hostNetwork",
                "serviceAccountName",
                "subdomain",
                "schedulerName",
                "nodeSelector",
                "tolerations",
            ],
            any_leaf(),
        ),
        proptest::option::weighted(0.8, containers),
        proptest::option::weighted(0.5, volumes),
        proptest::option::weighted(0.2, security),
    );
    let spec = spec.prop_map(|(mut rest, containers, volumes, security)| {
        for (member, value) in
            [("containers", containers), ("volumes", volumes), ("securityContext", security)]
        {
            if let Some(value) = value {
                rest[member] = value;
            }
        }
        rest
    });
    let labels = object(&["team", "app.kubernetes.io/instance"], any_leaf());
    (spec, proptest::option::weighted(0.3, labels)).prop_map(|(spec, labels)| {
        let metadata = labels.map_or(json!({}), |labels| json!({"labels": labels}));
        json!({"spec": spec, "metadata": metadata})
    })
}

/// What the operator decides about a pod template.
fn ours(template: &Value, volumes: &[&str], mounts: &[&str], variables: &[&str]) -> Value {
    let pod = &template["spec"];
    let server = named(&pod["containers"], "server");
    let chosen = |list: &Value, key: &str, names: &[&str]| {
        let elements = list.as_array().cloned().unwrap_or_default();
        let kept = elements
            .into_iter()
            .filter(|element| element[key].as_str().is_some_and(|name| names.contains(&name)));
        kept.collect::<Vec<_>>()
    };
    let labels = template["metadata"]["labels"].as_object().unwrap().iter();
    let labels: Vec<_> = labels.filter(|(name, _)| name.starts_with("app.kubernetes.io/")).collect();
    let members =
        ["image", "command", "args", "envFrom", "ports", "securityContext", "resources", "livenessProbe"];
    let identity = [
        "serviceAccountName",
        "automountServiceAccountToken",
        "enableServiceLinks",
        "hostNetwork",
        "hostPID",
    ];
    let security = ["runAsNonRoot", "runAsUser", "fsGroup", "seccompProfile"];
    let count = pod["containers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|container| container["name"] == "server")
        .count();
    json!({
        "labels": labels,
        "checksum": template["metadata"]["annotations"]["latchkey.dev/checksum"],
        "pod": identity.map(|name| &pod[name]),
        "security": security.map(|name| &pod["securityContext"][name]),
        "server": members.map(|name| &server[name]),
        "volumes": chosen(&pod["volumes"], "name", volumes),
        "mounts": chosen(&server["volumeMounts"], "mountPath", mounts),
        "settings": chosen(&server["env"], "name", variables),
        "servers": count,
    })
}

#[test]
fn what_is_accepted_changes_nothing_of_the_operators() {
    let accepted = Cell::new(0);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(2000));
    let result = runner.run(&any_override(), |given| {
        let Ok(after) = template(&given) else { return Ok(()) };
        accepted.set(accepted.get() + 1);
        let before = plain();
        let mounts: Vec<&str> = before["spec"]["containers"][0]["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|mount| mount["mountPath"].as_str())
            .collect();
        let variables = latchkey_config::variables::ALL;
        prop_assert_eq!(
            ours(&after, &VOLUMES, &mounts, &variables),
            ours(&before, &VOLUMES, &mounts, &variables)
        );
        for container in
            after["spec"]["containers"].as_array().unwrap().iter().filter(|one| one["name"] != "server")
        {
            prop_assert!(container["securityContext"]["privileged"] != true);
            let mounted = container["volumeMounts"].as_array().cloned().unwrap_or_default();
            prop_assert!(
                !mounted.iter().any(|mount| VOLUMES.contains(&mount["name"].as_str().unwrap_or_default()))
            );
        }
        Ok(())
    });
    result.unwrap();
    assert!(accepted.get() > 50, "only {} overrides were accepted", accepted.get());
}
