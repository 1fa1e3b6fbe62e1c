use latchkey_tests::documentation::{MetricLabels, documented_metrics, exported_metrics};

use super::*;

fn documented() -> MetricLabels {
    documented_metrics("## Metrics of the server")
}

#[test]
fn the_documentation_lists_every_metric_with_its_labels() {
    let metrics = Metrics::new().unwrap();
    metrics.observe_request("/x", "GET", 200, 0.1);
    metrics.count_login("succeeded");
    metrics.count_audit_event("login", "success");
    metrics.count_introspection("active");
    metrics.count_rate_limited("login", "account");
    metrics.count_mail("invitation", "sent");
    metrics.count_closed_connection("idle");
    metrics.count_reload(ReloadedFile::SigningKeys, true);
    metrics.count_housekeeping_deleted("outbox", 1);
    metrics.count_housekeeping_run("completed");
    for gauge in [
        StateGauge::Connections,
        StateGauge::FeedReaders,
        StateGauge::HashPool,
        StateGauge::DatabasePool,
        StateGauge::Outbox,
        StateGauge::RevocationMode,
        StateGauge::Dependency,
    ] {
        metrics.set_state(gauge, "x", 1.0);
    }
    let names = |metrics: MetricLabels| -> Vec<_> {
        let labels = metrics.into_iter();
        labels.map(|(name, labels)| (name, labels.into_keys().collect::<Vec<_>>())).collect()
    };
    assert_eq!(names(documented()), names(exported_metrics(&metrics.render().unwrap())));
}

#[test]
fn the_documentation_lists_the_values_that_are_initialised_with_zero() {
    let initial = exported_metrics(&Metrics::new().unwrap().render().unwrap());
    assert!(initial.len() >= 5, "{initial:?}");
    for (name, labels) in initial {
        assert_eq!(documented()[&name], labels, "{name}");
    }
}
