//! `POST /api/v1/groups`

use insta::assert_json_snapshot;
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use serde_json::json;

use super::{as_root, call, last_detail};

#[tokio::test]
async fn a_group_is_created_and_found_at_its_location() {
    let app = App::start().await;
    let body =
        json!({ "name": "/shop/Admins:1", "description": "Those who sell", "permissions": ["users.read"] });
    let answer = as_root(&app, "POST", "", Some(&body)).await;

    let location = answer.header("location").expect("a location").to_owned();
    assert!(location.ends_with("/api/v1/groups/%2Fshop%2FAdmins:1"), "{location}");
    let group = answer.ok(201);
    assert_json_snapshot!(group, { ".created_at" => "<time>" });
    assert_eq!(call(&app, app.superuser().await, "GET", &location, None).await.ok(200), group);
    let expected =
        json!({ "group": "/shop/Admins:1", "group_id": group["id"], "permissions": ["users.read"] });
    assert_eq!(last_detail(&app, "group_created").await, expected);
}

#[tokio::test]
async fn a_group_needs_only_a_name() {
    let app = App::start().await;
    let group = as_root(&app, "POST", "", Some(&json!({ "name": "plain" }))).await.ok(201);
    assert_eq!((&group["description"], &group["permissions"]), (&json!(""), &json!([])));
}

#[tokio::test]
async fn a_name_that_differs_in_case_only_is_taken() {
    let app = App::start().await;
    as_root(&app, "POST", "", Some(&json!({ "name": "Support" }))).await.ok(201);
    let answer = as_root(&app, "POST", "", Some(&json!({ "name": "sUPPORT" }))).await;
    assert_json_snapshot!(answer.problem(409), { ".instance" => "<request id>" });
}

#[tokio::test]
async fn each_invalid_field_is_listed() {
    let app = App::start().await;
    for (body, fields) in [
        (json!({}), &["name"][..]),
        (json!({ "name": null }), &["name"]),
        (json!({ "name": "two words" }), &["name"]),
        (json!({ "name": "a/../b" }), &["name"]),
        (json!({ "name": "system:masters" }), &["name"]),
        (json!({ "name": "a".repeat(129) }), &["name"]),
        (
            json!({ "name": "", "description": "two\nlines", "permissions": ["root"] }),
            &["name", "description", "permissions"],
        ),
        (json!({ "name": "a", "description": "a".repeat(501) }), &["description"]),
        (json!({ "name": "a", "permissions": ["USERS.READ"] }), &["permissions"]),
        (json!({ "name": "a", "permissions": "users.read" }), &["permissions"]),
        (json!({ "name": "a", "is_superuser": true }), &["body"]),
    ] {
        assert_eq!(as_root(&app, "POST", "", Some(&body)).await.invalid_fields(), fields, "{body}");
    }
    let request = app.post(path::GROUPS).bearer_auth(&app.superuser().await.access);
    request.header("content-type", "application/json").body("{").answer().await.problem(400);
}

#[tokio::test]
async fn a_permission_that_is_named_twice_is_granted_once() {
    let app = App::start().await;
    let body = json!({ "name": "twice", "permissions": ["users.write", "audit.read", "users.write"] });
    let group = as_root(&app, "POST", "", Some(&body)).await.ok(201);
    assert_eq!(group["permissions"], json!(["audit.read", "users.write"]));
}
