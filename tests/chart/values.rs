//! The values and their schema.

use std::process::Output;

use latchkey_tests::chart::{folder, helm};

fn template_with(values: &[&str]) -> Output {
    let mut arguments = vec!["template", "latchkey"];
    for value in values {
        arguments.extend(["--set", value]);
    }
    helm(&arguments)
}

#[test]
fn helm_lint_finds_nothing() {
    let output = helm(&["lint", "--strict"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn unknown_and_malformed_values_are_refused_with_their_names() {
    let bad = [
        ("replica=2", "replica"),
        ("image.tags=x", "tags"),
        ("image.digest=sha256:abc", "/image/digest"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("image.repository=", "/image/repository"),
        ("serverImage.pullPolicy=Always", "pullPolicy"),
        ("embedded.redisImage=x", "redisImage"),
        ("replicas=-1", "/replicas"),
        ("replicas=two", "/replicas"),
        ("watchNamespace=Not_A_Name", "/watchNamespace"),
        ("watchNamespaces[0]=Not_A_Name", "/watchNamespaces/0"),
        ("operatorClass=Blue", "/operatorClass"),
        ("image.registry=https://registry.example.com", "/image/registry"),
        ("log.level=loud", "/log/level"),
        ("log.format=xml", "/log/format"),
        ("crds.kept=true", "kept"),
        ("crds.keep=yes", "/crds/keep"),
        ("leaderElection.enable=true", "enable"),
        ("rbac.clusterAdmin=true", "clusterAdmin"),
        ("metrics.service.port=0", "/metrics/service/port"),
        ("metrics.serviceMonitor.interval=often", "/metrics/serviceMonitor/interval"),
        ("metrics.prometheusRule.enable=true", "enable"),
        ("metrics.prometheusRule.runbookUrl=wiki", "/metrics/prometheusRule/runbookUrl"),
        ("metrics.prometheusRule.disabled=All", "/metrics/prometheusRule/disabled"),
        ("metrics.prometheusRule.alertLabels.a=1", "/metrics/prometheusRule/alertLabels/a"),
        ("metrics.dashboard.folder=x", "folder"),
        ("metrics.dashboard.labels.grafana_dashboard=1", "/metrics/dashboard/labels/grafana_dashboard"),
        ("networkPolicy.enabled=on", "/networkPolicy/enabled"),
        ("networkPolicy.metricsFrom[0].namespace=x", "/networkPolicy/metricsFrom/0"),
        ("networkPolicy.apiServer.cidrs={10.0.0.1}", "/networkPolicy/apiServer/cidrs/0"),
        ("networkPolicy.apiServer.ports={0}", "/networkPolicy/apiServer/ports/0"),
        ("networkPolicy.extraEgress[0].from=x", "from"),
        ("commonAnnotations.a=1", "/commonAnnotations/a"),
        ("extraObjects[0].kind=ConfigMap", "/extraObjects/0"),
        ("tolerations[0].effect=Maybe", "/tolerations/0/effect"),
        ("podLabels.number=1", "/podLabels/number"),
        ("imagePullSecrets[0]=name", "/imagePullSecrets/0"),
    ];
    for (value, named) in bad {
        let output = template_with(&[value]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{value} was accepted");
        assert!(message.contains(named), "{value}: the message does not name {named}: {message}");
    }
}

#[test]
fn a_parent_chart_may_set_global_values() {
    assert!(template_with(&["global.region=north"]).status.success());
}

#[test]
fn an_existing_service_account_needs_a_name() {
    let output = template_with(&["serviceAccount.create=false"]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(message.contains("serviceAccount.name is needed"), "{message}");
    assert!(template_with(&["serviceAccount.create=false", "serviceAccount.name=own"]).status.success());
}

#[test]
fn every_value_has_a_comment() {
    let text = std::fs::read_to_string(folder().join("values.yaml")).expect("values.yaml");
    let lines: Vec<&str> = text.lines().collect();
    // The fields of `resources` are documented by Kubernetes.
    let own = lines.iter().enumerate().filter(|(at, line)| {
        let inside_resources =
            lines[..*at].iter().rev().find(|l| !l.starts_with([' ', '#']) && !l.is_empty());
        line.contains(':')
            && !line.trim_start().starts_with('#')
            && !(line.starts_with(' ') && inside_resources.is_some_and(|l| l.starts_with("resources:")))
    });
    let unexplained: Vec<&str> = own
        .filter(|(at, _)| *at == 0 || !lines[at - 1].trim_start().starts_with('#'))
        .map(|(_, line)| *line)
        .collect();
    assert!(unexplained.is_empty(), "{unexplained:?}");
}

#[test]
fn the_chart_contains_the_generated_crds() {
    use latchkey_tests::control_plane::{auth_client_crd, auth_service_crd};
    let read = |path| std::fs::read_to_string(path).expect("the CRD");
    for (generated, file) in
        [(auth_service_crd(), "auth_service.yaml"), (auth_client_crd(), "auth_client.yaml")]
    {
        assert_eq!(read(folder().join("files").join(file)), read(generated), "run `make generate`");
    }
}
