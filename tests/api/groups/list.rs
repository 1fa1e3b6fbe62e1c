//! `GET /api/v1/groups`

use latchkey_tests::app::App;
use serde_json::Value;

use super::{as_root, create};

fn names(page: &Value) -> Vec<String> {
    let groups = page["groups"].as_array().expect("groups");
    groups.iter().map(|group| group["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn every_group_is_on_exactly_one_page() {
    let app = App::start().await;
    for number in 0..5 {
        create(&app, &format!("group-{number}"), &[]).await;
    }
    let (mut seen, mut query, mut pages) = (Vec::new(), "?limit=2".to_owned(), 0);
    loop {
        let answer = as_root(&app, "GET", &query, None).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let page = answer.ok(200);
        seen.extend(names(&page));
        pages += 1;
        // A deletion between two pages neither repeats nor skips a group.
        if pages == 1 {
            assert_eq!(as_root(&app, "DELETE", "/group-0", None).await.status, 204);
        }
        match page["next_cursor"].as_str() {
            Some(next) => query = format!("?limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["group-0", "group-1", "group-2", "group-3", "group-4"]);
    assert_eq!(pages, 3);
}

#[tokio::test]
async fn the_search_finds_the_start_of_a_name_in_any_case() {
    let app = App::start().await;
    for name in ["Support", "supply", "shop/support", "a_b", "ab"] {
        create(&app, name, &[]).await;
    }
    for (search, expected) in [
        ("sup", &["Support", "supply"][..]),
        ("SUPP", &["Support", "supply"]),
        ("supporter", &[]),
        ("shop%2Fs", &["shop/support"]),
        ("a_", &["a_b"]),
        ("%25", &[]),
        ("%00", &[]),
        ("", &["Support", "supply", "shop/support", "a_b", "ab"]),
    ] {
        let page = as_root(&app, "GET", &format!("?search={search}"), None).await.ok(200);
        assert_eq!(names(&page), expected, "{search}");
    }
}

#[tokio::test]
async fn each_invalid_parameter_is_listed() {
    let app = App::start().await;
    create(&app, "one", &[]).await;
    for list in ["", "/one/members"] {
        for (query, fields) in [
            ("limit=0", &["limit"][..]),
            ("limit=201&cursor=nonsense", &["cursor", "limit"]),
            ("limit=1&limit=2", &["limit"]),
            ("is_active=true", &["query"]),
        ] {
            let answer = as_root(&app, "GET", &format!("{list}?{query}"), None).await;
            assert_eq!(answer.invalid_fields(), fields, "{list} {query}");
        }
    }
    let long = "x".repeat(129);
    assert_eq!(as_root(&app, "GET", &format!("?search={long}"), None).await.invalid_fields(), ["search"]);
}
