//! `GET /metrics`

use std::collections::BTreeSet;

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use latchkey_tests::documentation::{documented_metrics, exported_metrics};
use latchkey_tests::logs;
use latchkey_tests::wait;

#[tokio::test]
async fn requests_are_counted_by_route_method_and_status_class() {
    let app = App::start().await;
    let (user, session) = app.new_session("counted").await;
    app.me(&session.access).await.ok(200);
    app.me("nonsense").await.problem(401);
    app.post_login(&user.username, "not the password").await.problem(401);

    let server = app.server();
    for (route, method, class, expected) in [
        (path::ME, "GET", "2xx", 1.0),
        (path::ME, "GET", "4xx", 1.0),
        (path::LOGIN, "POST", "2xx", 2.0),
        (path::LOGIN, "POST", "4xx", 1.0),
        (path::USERS, "POST", "2xx", 1.0),
    ] {
        let labels = [format!("route=\"{route}\""), format!("method=\"{method}\""), format!("=\"{class}\"")];
        let labels: Vec<_> = labels.iter().map(String::as_str).collect();
        let found = server.metric("latchkey_http_requests_total", &labels).await;
        assert!((found - expected).abs() < 0.5, "{method} {route} {class}: {found}");
        let timed = server.metric("latchkey_http_request_duration_seconds_count", &labels[..2]).await;
        assert!(timed >= expected, "{method} {route} is timed: {timed}");
    }
}

#[tokio::test]
async fn requests_do_not_increase_the_number_of_series() {
    let app = App::start().await;
    // The first run of housekeeping adds a series for each table.
    wait::until("the first run of housekeeping", || async {
        let runs = app.server().metric("latchkey_housekeeping_runs_total", &["completed"]).await;
        wait::check(runs > 0.0, runs)
    })
    .await;
    let series = async || -> BTreeSet<String> {
        let metrics = app.server().metrics().await;
        let lines = metrics.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
    };
    let attempt = async |number: usize| {
        app.get(&format!("/nowhere/{number}")).answer().await.problem(404);
        app.post(&format!("{}/{number}@example.test", path::RECOVERY)).answer().await.problem(503);
        app.post_login(&format!("nobody-{number}"), "not the password").await.problem(401);
        app.server().request(&format!("METHOD{number}"), path::ME).answer().await;
    };
    attempt(0).await;
    let before = series().await;
    for number in 1..20 {
        attempt(number).await;
    }
    let after = series().await;
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
    let metrics = app.server().metrics().await;
    assert!(metrics.contains("{email}"), "the route is the template, not the path");
    assert!(!metrics.contains("@example.test") && !metrics.contains("nobody"), "{metrics}");
}

#[tokio::test]
async fn pools_outbox_revocation_and_keys_have_metrics() {
    let app = App::start().await;
    app.superuser().await;
    let metrics = app.server().metrics().await;
    let names: BTreeSet<&str> = metrics.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    for about in ["hash", "pool", "outbox", "revocation", "key"] {
        assert!(names.iter().any(|name| name.contains(about)), "no metric about {about}: {names:?}");
    }
    for line in metrics.lines() {
        assert_eq!(logs::leak(line), None, "{line}");
    }
}

#[tokio::test]
async fn every_metric_has_a_help_text() {
    let app = App::start().await;
    let answer = app.server().management("/metrics").await;
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{answer:?}");
    let words = |kind: &str| -> BTreeSet<String> {
        let lines = answer.body.lines().filter_map(|line| line.strip_prefix(kind));
        lines.filter_map(|rest| rest.split(' ').next()).map(str::to_owned).collect()
    };
    assert_eq!(words("# HELP "), words("# TYPE "));
    assert!(!words("# HELP ").is_empty());
}

#[tokio::test]
async fn the_documentation_lists_the_metrics_and_values_of_a_running_server() {
    let app = App::setup().set("RATE_LIMIT_PER_ACCOUNT", "3").start().await;
    let (_, session) = app.new_session("documented").await;
    app.me(&session.access).await.ok(200);
    for _ in 0..5 {
        app.post_login("nobody", "not the password").await;
    }
    let documented = documented_metrics("## Metrics of the server");
    let exported = exported_metrics(&app.server().metrics().await);
    for counted in
        ["latchkey_rate_limited_total", "latchkey_audit_events_total", "latchkey_database_connections"]
    {
        assert!(exported.contains_key(counted), "{counted}: {exported:?}");
    }
    for (name, labels) in exported {
        let listed = documented.get(&name).unwrap_or_else(|| panic!("{name} is not documented"));
        assert_eq!(listed.keys().collect::<Vec<_>>(), labels.keys().collect::<Vec<_>>(), "{name}");
        for (label, values) in labels {
            let known = &listed[&label];
            assert!(known.is_empty() || values.is_subset(known), "{name}, {label}: {values:?}");
            // A gauge of states has every state at every scrape.
            if label == "state" {
                assert_eq!(&values, known, "{name}");
            }
        }
    }
}
