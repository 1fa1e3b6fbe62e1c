//! `latchkey-server users import --format keycloak`: groups and roles become groups.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use serde_json::{Value, json};

use crate::users_import::{Import, stderr, stdout};

const REALM: &str = include_str!("fixtures/keycloak_realm.json");
const USERS: &str = include_str!("fixtures/keycloak_users.json");
const OPTIONS: [&str; 2] = ["--format", "keycloak"];

/// Each group with its members.
const GROUPS: &str = "SELECT coalesce(string_agg(line, ' ' ORDER BY line COLLATE \"C\"), '') FROM (
        SELECT groups.name || '=' || coalesce(string_agg(split_part(email, '@', 1), ',' ORDER BY email), '') AS line
        FROM groups LEFT JOIN memberships ON group_id = groups.id LEFT JOIN users ON users.id = user_id
        GROUP BY groups.id) AS lines
    WHERE $1 <> ''";

async fn groups(import: &Import) -> String {
    import.app.database.text(GROUPS, "any").await
}

async fn create_group(import: &Import, body: Value) {
    let app = &import.app;
    let request = app.post(path::GROUPS).bearer_auth(&app.superuser().await.access).json(&body);
    request.answer().await.ok(201);
}

/// The lines about groups in the output.
fn about_groups(output: &std::process::Output) -> Vec<String> {
    stdout(output).lines().filter(|line| line.contains("memberships")).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_groups_and_roles_of_an_account_become_its_groups() {
    for text in [REALM, USERS] {
        let import = Import::with(App::start().await);

        let dry = import.run("users.json", text, &[&OPTIONS[..], &["--dry-run"]].concat());
        assert_eq!(about_groups(&dry), ["3 groups and 4 memberships would be created"], "{}", stderr(&dry));
        assert_eq!(groups(&import).await, "");

        let output = import.run("users.json", text, &OPTIONS);
        assert_eq!(about_groups(&output), ["3 groups and 4 memberships created"], "{}", stderr(&output));
        // A space is not allowed in a name. Service accounts and the roles that everyone has are left out.
        let found = groups(&import).await;
        let mut found = found.split(' ');
        let derived = found.next().expect("a group");
        assert!(derived.starts_with("/Sales-Team-") && derived.ends_with("=ada"), "{derived}");
        assert_eq!(found.collect::<Vec<_>>(), ["/shop/admins=ada,bob", "editor=ada"]);

        // Again: nothing is there to do.
        let before = groups(&import).await;
        let again = import.run("users.json", text, &OPTIONS);
        assert_eq!(about_groups(&again), Vec::<String>::new());
        assert_eq!(groups(&import).await, before);
    }
}

#[tokio::test]
async fn an_import_gives_no_permissions_and_merges_no_groups() {
    let import = Import::with(App::start().await);
    create_group(&import, json!({ "name": "/shop/admins", "permissions": ["users.write"] })).await;
    create_group(&import, json!({ "name": "Editor" })).await;
    let before = groups(&import).await;

    let dry = import.run("users.json", REALM, &[&OPTIONS[..], &["--dry-run"]].concat());
    let output = import.run("users.json", REALM, &OPTIONS);

    let left_out = "3 memberships left out: ";
    for (output, created) in [
        (&dry, "1 groups and 1 memberships would be created"),
        (&output, "1 groups and 1 memberships created"),
    ] {
        let lines = about_groups(output);
        assert_eq!(lines[0], created);
        assert!(lines[1].starts_with(left_out), "{lines:?}");
    }
    let after = groups(&import).await;
    assert!(after.ends_with(&before), "{before} became {after}");
}

#[tokio::test]
async fn accounts_join_a_group_that_exists() {
    let import = Import::with(App::start().await);
    create_group(&import, json!({ "name": "/shop/admins", "description": "Those who sell" })).await;
    let output = import.run("users.json", REALM, &OPTIONS);
    assert_eq!(about_groups(&output), ["2 groups and 4 memberships created"]);
    assert!(groups(&import).await.contains("/shop/admins=ada,bob"));
}

#[tokio::test]
async fn an_import_records_the_groups() {
    let import = Import::with(App::start().await);
    import.run("users.json", REALM, &OPTIONS);
    let app = &import.app;
    let sql = "SELECT detail::text FROM audit_events JOIN users ON users.id = user_id
               WHERE kind = 'user_imported' AND email = $1";
    let detail = async |email: &str| {
        serde_json::from_str::<Value>(&app.database.text(sql, email).await).expect("JSON")
    };
    assert_eq!(
        detail("bob@example.test").await,
        json!({ "is_superuser": false, "groups": ["/shop/admins"] })
    );
    assert_eq!(detail("eve@example.test").await, json!({ "is_superuser": false }));
    let created = "SELECT count(*) FROM audit_events
                   WHERE kind = $1 AND request_id LIKE 'import-%' AND actor_id IS NULL AND user_id IS NULL";
    assert_eq!(app.database.count(created, "group_created").await, 3);
}
