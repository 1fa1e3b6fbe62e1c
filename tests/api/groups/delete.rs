//! `DELETE /api/v1/groups/{name}`

use latchkey_tests::app::App;
use serde_json::json;

use super::{as_root, create, join, last_detail};

#[tokio::test]
async fn a_deleted_group_leaves_its_members() {
    let app = App::start().await;
    let (user, session) = app.new_session("member").await;
    let group = create(&app, "short-lived", &["users.read"]).await;
    join(&app, "short-lived", &user).await;

    let answer = as_root(&app, "DELETE", "/Short-Lived", None).await;

    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    as_root(&app, "DELETE", "/short-lived", None).await.problem(404);
    app.me(&session.access).await.ok(200);
    assert_eq!(app.database.count("SELECT count(*) FROM memberships WHERE $1 <> ''", "any").await, 0);
    let expected = json!({
        "group": "short-lived", "group_id": group["id"], "permissions": ["users.read"], "members": 1,
    });
    assert_eq!(last_detail(&app, "group_deleted").await, expected);
}

#[tokio::test]
async fn a_group_with_many_members_is_deleted() {
    const MEMBERS: &str = "WITH made AS (
            INSERT INTO users (username, email, name, password_hash)
            SELECT 'many-' || n, 'many-' || n || '@example.test', 'Many', 'none' FROM generate_series(1, 10000) AS n
            RETURNING id)
        INSERT INTO memberships (group_id, user_id) SELECT groups.id, made.id FROM groups, made";
    let app = App::start().await;
    create(&app, "large", &[]).await;
    assert_eq!(app.database.execute(MEMBERS).await, 10_000);
    let page = as_root(&app, "GET", "/large/members?limit=200", None).await.ok(200);
    assert_eq!(page["members"].as_array().unwrap().len(), 200);
    assert_eq!(as_root(&app, "DELETE", "/large", None).await.status, 204);
}
