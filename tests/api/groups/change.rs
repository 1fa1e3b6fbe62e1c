//! `PATCH /api/v1/groups/{name}`

use latchkey_tests::app::App;
use serde_json::json;

use super::{as_root, audited, create, join, last_detail, members, officer};

#[tokio::test]
async fn only_the_given_fields_are_changed() {
    let app = App::start().await;
    let (manager, session) = officer(&app, "manager", &["groups.manage"]).await;
    let mut expected = create(&app, "support", &["audit.read"]).await;
    assert_eq!(as_root(&app, "PATCH", "/support", Some(&json!({}))).await.ok(200), expected);

    let change = json!({ "description": "Helps customers" });
    let answer = as_root(&app, "PATCH", "/SUPPORT", Some(&change)).await.ok(200);
    expected["description"] = change["description"].clone();
    assert_eq!(answer, expected);

    let change = json!({ "permissions": ["users.read", "users.write"] });
    expected["permissions"] = change["permissions"].clone();
    assert_eq!(as_root(&app, "PATCH", "/support", Some(&change)).await.ok(200), expected);
    let detail = last_detail(&app, "group_changed").await;
    assert_eq!(detail["changed"], json!(["permissions"]));
    assert_eq!(detail["former_permissions"], json!(["audit.read"]));
    assert_eq!(detail["permissions"], json!(["users.read", "users.write"]));
    assert_eq!(as_root(&app, "GET", "/support", None).await.ok(200), expected);

    // Nothing is different: no event.
    create(&app, "plain", &[]).await;
    let same = json!({ "name": "plain", "description": "", "permissions": [] });
    super::send(&app, &session, "PATCH", "/plain", Some(&same)).await.ok(200);
    assert_eq!(audited(&app, "group_changed", manager.id).await, 0);
}

#[tokio::test]
async fn a_renamed_group_keeps_its_members() {
    let app = App::start().await;
    let user = app.create_user("member").await;
    create(&app, "before", &[]).await;
    join(&app, "before", &user).await;

    as_root(&app, "PATCH", "/before", Some(&json!({ "name": "After" }))).await.ok(200);

    as_root(&app, "GET", "/before", None).await.problem(404);
    assert_eq!(members(&app, "after").await, [user.username]);
    assert_eq!(last_detail(&app, "group_changed").await["former_name"], "before");
    // Another spelling of its own name is free.
    as_root(&app, "PATCH", "/after", Some(&json!({ "name": "AFTER" }))).await.ok(200);
    create(&app, "before", &[]).await;
    as_root(&app, "PATCH", "/before", Some(&json!({ "name": "after" }))).await.problem(409);
}

#[tokio::test]
async fn each_invalid_field_is_listed() {
    let app = App::start().await;
    create(&app, "one", &[]).await;
    for (body, fields) in [
        (
            json!({ "name": "", "description": "\u{7}", "permissions": ["x"] }),
            &["name", "description", "permissions"][..],
        ),
        (json!({ "name": null }), &["name"]),
        (json!({ "permissions": null }), &["permissions"]),
        (json!({ "members": [1] }), &["body"]),
    ] {
        assert_eq!(as_root(&app, "PATCH", "/one", Some(&body)).await.invalid_fields(), fields, "{body}");
    }
    as_root(&app, "PATCH", "/none", Some(&json!({}))).await.problem(404);
}
