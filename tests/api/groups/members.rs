//! `GET /api/v1/groups/{name}/members`, `PUT /api/v1/groups/{name}/members/{id}` and `GET /api/v1/users/{id}/groups`

use insta::assert_json_snapshot;
use latchkey_tests::app::{App, path};
use serde_json::{Value, json};

use super::{as_root, audited, call, create, join, last_detail, members, officer, send};

#[tokio::test]
async fn a_member_is_added_once() {
    let app = App::start().await;
    let (manager, session) = officer(&app, "manager", &["groups.manage"]).await;
    let user = app.create_user("member").await;
    let group = create(&app, "support", &[]).await;
    let member = format!("/support/members/{}", user.id);

    let answer = send(&app, &session, "PUT", &member, None).await;
    assert_eq!((answer.status, answer.body.as_str()), (201, ""));
    assert_eq!(send(&app, &session, "PUT", &member, None).await.status, 204);

    assert_eq!(members(&app, "support").await, std::slice::from_ref(&user.username));
    assert_eq!(audited(&app, "group_member_added", manager.id).await, 1);
    let expected = json!({ "group": "support", "group_id": group["id"] });
    assert_eq!(last_detail(&app, "group_member_added").await, expected);
    let sql =
        "SELECT user_id::text FROM audit_events WHERE kind = 'group_member_added' AND actor_id::text = $1";
    let added = app.database.text(sql, &manager.id.to_string()).await;
    assert_eq!(added, user.id.to_string());
    let mut page = as_root(&app, "GET", "/support/members", None).await.ok(200);
    page["members"][0]["username"] = "member".into();
    assert_json_snapshot!(page, { ".members[0].id" => "<id>", ".members[0].since" => "<time>" });
}

#[tokio::test]
async fn an_account_that_does_not_exist_is_no_member() {
    let app = App::start().await;
    create(&app, "support", &[]).await;
    for id in ["0", "-1", "999999", "one", "9999999999999999999999"] {
        for method in ["PUT", "DELETE"] {
            let answer = as_root(&app, method, &format!("/support/members/{id}"), None).await;
            assert_eq!(answer.problem(404)["detail"], "There is no such account.", "{method} {id}");
        }
        let groups = format!("{}/{id}/groups", path::USERS);
        call(&app, app.superuser().await, "GET", &groups, None).await.problem(404);
    }
}

#[tokio::test]
async fn a_deleted_account_is_no_member_any_more() {
    let app = App::start().await;
    let user = app.create_user("member").await;
    create(&app, "support", &[]).await;
    join(&app, "support", &user).await;
    let one = format!("{}/{}", path::USERS, user.id);
    assert_eq!(call(&app, app.superuser().await, "DELETE", &one, None).await.status, 204);
    assert_eq!(members(&app, "support").await, Vec::<String>::new());
}

#[tokio::test]
async fn every_member_and_every_group_is_on_exactly_one_page() {
    let app = App::start().await;
    create(&app, "all", &[]).await;
    let mut users = Vec::new();
    for number in 0..5 {
        users.push(app.create_user(&format!("user-{number}")).await);
        join(&app, "all", &users[number]).await;
    }
    let first = users[0].id;
    for number in 1..5 {
        create(&app, &format!("others-{number}"), &[]).await;
        create(&app, &format!("more-{number}"), &[]).await;
        join(&app, &format!("more-{number}"), &users[0]).await;
    }
    let users = users.into_iter().map(|user| user.username).collect();
    let lists = [
        (format!("{}/all/members", path::GROUPS), "members", "username", users),
        (
            format!("{}/{first}/groups", path::USERS),
            "groups",
            "name",
            ["all", "more-1", "more-2", "more-3", "more-4"].map(str::to_owned).to_vec(),
        ),
    ];
    for (list, items, name, expected) in lists {
        let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
        loop {
            let page = call(&app, app.superuser().await, "GET", &format!("{list}{query}"), None).await;
            assert_eq!(page.header("cache-control"), Some("no-store"));
            let page = page.ok(200);
            let found = page[items].as_array().expect("a list");
            assert!(found.len() <= 2);
            seen.extend(found.iter().map(|item: &Value| item[name].as_str().expect("a name").to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            query = format!("?limit=2&cursor={next}");
        }
        assert_eq!(seen, expected, "{list}");
    }
}
