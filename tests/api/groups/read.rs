//! `GET /api/v1/groups/{name}`

use latchkey_tests::app::App;

use super::{as_root, create};

#[tokio::test]
async fn a_group_is_found_in_any_case() {
    let app = App::start().await;
    let group = create(&app, "Support", &[]).await;
    for name in ["Support", "support", "SUPPORT", "%53upport"] {
        let answer = as_root(&app, "GET", &format!("/{name}"), None).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.ok(200), group, "{name}");
    }
}

#[tokio::test]
async fn what_is_no_name_is_no_group() {
    let app = App::start().await;
    create(&app, "support", &[]).await;
    for name in ["other", "a%20b", "%ff", "system:masters", "%2F", "a%2F..%2Fsupport", "support%00"] {
        for (method, below) in [
            ("GET", ""),
            ("DELETE", ""),
            ("GET", "/members"),
            ("PUT", "/members/1"),
            ("DELETE", "/members/1"),
        ] {
            let answer = as_root(&app, method, &format!("/{name}{below}"), None).await;
            assert_eq!(answer.problem(404)["detail"], "There is no such group.", "{method} {name}{below}");
        }
    }
}
