//! Scopes, groups and claims of the tokens that a registered client gets for a person.

use insta::assert_json_snapshot;
use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Session, User, path};
use latchkey_tests::clients_file::TestClient;
use latchkey_tests::forged_tokens::{Forged, claim};
use serde_json::{Value, json};

use super::{as_root, create, join};

/// A client of people with these scopes.
fn shop(scopes: &[&str]) -> TestClient {
    TestClient::new("shop", scopes).with("grant_types", json!(["password", "refresh_token"]))
}

async fn start(client: &TestClient) -> App {
    App::setup().clients(std::slice::from_ref(client)).start().await
}

/// `POST /token` of a client for itself.
async fn post(app: &App, client: &TestClient, form: &[(&str, &str)]) -> Answer {
    app.post(path::TOKEN).basic_auth(&client.id, Some(&client.secret)).form(form).answer().await
}

async fn log_in(app: &App, client: &TestClient, user: &User, scope: &str) -> Answer {
    let form = [
        ("grant_type", "password"),
        ("username", user.username.as_str()),
        ("password", user.password.as_str()),
        ("scope", scope),
    ];
    post(app, client, &form).await
}

async fn refresh(app: &App, client: &TestClient, session: &Session, scope: &str) -> Answer {
    let form =
        [("grant_type", "refresh_token"), ("refresh_token", session.refresh.as_str()), ("scope", scope)];
    post(app, client, &form).await
}

#[track_caller]
fn session(answer: &Answer) -> Session {
    let body = answer.ok(200);
    let token = |name: &str| body[name].as_str().expect("a token").to_owned();
    Session { access: token("access_token"), refresh: token("refresh_token") }
}

#[track_caller]
fn assert_error(answer: &Answer, error: &str) {
    let problem = answer.problem(400);
    assert_eq!(problem["error"], error, "{problem}");
}

async fn introspected(app: &App, token: &str) -> Value {
    let superuser = &app.superuser().await.access;
    let answer = app.post(path::INTROSPECT).bearer_auth(superuser).form(&[("token", token)]).answer().await;
    answer.ok(200)
}

/// The headers `X-Auth-Scopes` and `X-Auth-Groups`.
async fn verified(app: &App, token: &str) -> [String; 2] {
    let answer = app.get(path::VERIFY).bearer_auth(token).answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    ["x-auth-scopes", "x-auth-groups"].map(|name| answer.header(name).expect(name).to_owned())
}

#[tokio::test]
async fn a_client_gets_the_requested_scopes_that_it_may_have_and_the_groups_of_the_person() {
    let client = shop(&["orders:read", "groups", "users.read"]);
    let app = start(&client).await;
    let user = app.create_user("anna").await;
    for group in ["staff", "Shop/Admins", "audit:readers"] {
        create(&app, group, &[]).await;
    }
    for group in ["staff", "Shop%2FAdmins"] {
        join(&app, group, &user).await;
    }

    let answer = log_in(&app, &client, &user, "").await;

    assert_json_snapshot!(answer.ok(200), { ".access_token" => "<jwt>", ".refresh_token" => "<jwt>" }, @r#"
    {
      "access_token": "<jwt>",
      "expires_in": 600,
      "refresh_token": "<jwt>",
      "scope": "orders:read groups",
      "token_type": "bearer"
    }
    "#);
    let Session { access, refresh } = session(&answer);
    assert_json_snapshot!(Value::Object(Forged::from_token(&access).claims), {
        ".iat" => "<time>", ".nbf" => "<time>", ".exp" => "<time>", ".jti" => "<uuid>", ".sid" => "<uuid>",
        ".sub" => "<id>",
    }, @r#"
    {
      "aud": "https://auth.example.test",
      "client_id": "shop",
      "exp": "<time>",
      "groups": [
        "Shop/Admins",
        "staff"
      ],
      "iat": "<time>",
      "iss": "https://auth.example.test",
      "jti": "<uuid>",
      "nbf": "<time>",
      "scope": "orders:read groups",
      "sid": "<uuid>",
      "sub": "<id>"
    }
    "#);
    assert_eq!(claim(&refresh, "groups"), Value::Null);
    assert_eq!(verified(&app, &access).await, ["orders:read groups", "Shop/Admins,staff"]);
    let found = introspected(&app, &access).await;
    assert_eq!(
        (&found["scope"], &found["groups"]),
        (&json!("orders:read groups"), &json!(["Shop/Admins", "staff"]))
    );
    let found = introspected(&app, &refresh).await;
    assert_eq!(
        (&found["active"], &found["scope"], &found["groups"]),
        (&json!(true), &Value::Null, &Value::Null)
    );

    // Only what is requested, and without the scope no groups.
    let only = log_in(&app, &client, &user, "openid orders:read users.read").await;
    assert_eq!(only.ok(200)["scope"], "orders:read");
    assert_eq!(claim(&session(&only).access, "groups"), Value::Null);
    assert_eq!(verified(&app, &session(&only).access).await, ["orders:read", ""]);
    for scope in ["openid", "users.read", "Groups"] {
        assert_error(&log_in(&app, &client, &user, scope).await, "invalid_scope");
    }
    // The password is not looked at.
    let wrong = User { password: "NeverLogged, and wrong".to_owned(), ..user };
    assert_error(&log_in(&app, &client, &wrong, "openid").await, "invalid_scope");
    assert_error(&log_in(&app, &client, &wrong, "groups").await, "invalid_grant");

    // A person in no group.
    let nobody = app.create_user("berta").await;
    let Session { access, .. } = session(&log_in(&app, &client, &nobody, "groups").await);
    assert_eq!(claim(&access, "groups"), json!([]));
    assert_eq!(verified(&app, &access).await, ["groups", ""]);
    assert_eq!(introspected(&app, &access).await["groups"], json!([]));
}

#[tokio::test]
async fn without_a_registered_client_scopes_are_ignored() {
    let client = shop(&["groups"]);
    let app = start(&client).await;
    let user = app.create_user("anna").await;
    create(&app, "staff", &[]).await;
    join(&app, "staff", &user).await;
    for client_id in ["", "web"] {
        let form = [
            ("username", user.username.as_str()),
            ("password", user.password.as_str()),
            ("scope", "groups"),
            ("client_id", client_id),
        ];
        let answer = app.post(path::TOKEN).form(&form).answer().await;
        insta::allow_duplicates! {
        assert_json_snapshot!(answer.ok(200), { ".access_token" => "<jwt>" }, @r#"
        {
          "access_token": "<jwt>",
          "expires_in": 604800,
          "token_type": "bearer"
        }
        "#);
        }
        let claims = Forged::from_token(answer.json()["access_token"].as_str().unwrap()).claims;
        assert!(!claims.contains_key("scope") && !claims.contains_key("groups"), "{claims:?}");
    }
    // A session that began without a client gives none its scopes.
    let unbound = app.log_in(&user).await;
    assert_error(&refresh(&app, &client, &unbound, "groups").await, "invalid_scope");
    let bound = refresh(&app, &client, &unbound, "").await;
    assert_eq!(bound.ok(200)["scope"], Value::Null);
    // The lifetimes of the client apply, and the session is listed until the last of its tokens has expired.
    assert_eq!(bound.ok(200)["expires_in"], 600);
    let time = |name| claim(&session(&bound).refresh, name).as_i64().unwrap();
    assert_eq!(time("exp") - time("iat"), 28_800);
    let listed = "SELECT count(*) FROM sessions JOIN users ON users.id = user_id
                  WHERE username = $1 AND sessions.expires_at < access_tokens_expire_at";
    assert_eq!(app.database.count(listed, &user.username).await, 0);
    assert_eq!(claim(&session(&bound).access, "groups"), Value::Null);
}

#[tokio::test]
async fn a_refresh_narrows_and_never_widens() {
    let client = shop(&["a", "b", "groups"]);
    let app = start(&client).await;
    let user = app.create_user("anna").await;
    let first = session(&log_in(&app, &client, &user, "a groups").await);

    for scope in ["b", "b openid"] {
        assert_error(&refresh(&app, &client, &first, scope).await, "invalid_scope");
    }
    // The refused requests have not used the token.
    let narrow = refresh(&app, &client, &first, "a b").await;
    assert_eq!(narrow.ok(200)["scope"], "a");
    assert_eq!(claim(&session(&narrow).access, "groups"), Value::Null);
    // The session still has what it was granted.
    let all = refresh(&app, &client, &session(&narrow), "").await;
    assert_eq!(all.ok(200)["scope"], "a groups");
    assert_eq!(claim(&session(&all).access, "groups"), json!([]));

    // A scope that the client loses, and one that it gains.
    app.register(&[client.clone().with("scopes", json!(["b", "groups"]))]).await;
    let fewer = refresh(&app, &client, &session(&all), "").await;
    assert_eq!(fewer.ok(200)["scope"], "groups");

    // A client that is not registered any more gets nothing.
    app.register(&[]).await;
    let form =
        [("grant_type", "refresh_token"), ("refresh_token", &session(&fewer).refresh), ("client_id", "shop")];
    let gone = app.post(path::TOKEN).form(&form).answer().await;
    assert_eq!(gone.ok(200)["scope"], Value::Null);
    assert_eq!(claim(&session(&gone).access, "groups"), Value::Null);
}

#[tokio::test]
async fn the_json_refresh_of_a_public_client_has_the_scopes_of_the_session() {
    let client = shop(&["groups"]).with("type", "public").with("credentials", json!([]));
    let app = start(&client).await;
    let user = app.create_user("anna").await;
    let form =
        [("username", user.username.as_str()), ("password", user.password.as_str()), ("client_id", "shop")];
    let first = session(&app.post(path::TOKEN).form(&form).answer().await);
    create(&app, "staff", &[]).await;
    join(&app, "staff", &user).await;
    let second = Session::from_answer(&app.refresh(&first).await);
    assert_eq!(claim(&second.access, "groups"), json!(["staff"]));
    assert_eq!(claim(&second.access, "scope"), "groups");
}

#[tokio::test]
async fn a_removal_takes_effect_at_the_next_refresh_or_at_once() {
    let client = shop(&["groups"]);
    let app = start(&client).await;
    let user = app.create_user("anna").await;
    create(&app, "staff", &[]).await;
    join(&app, "staff", &user).await;
    let first = session(&log_in(&app, &client, &user, "").await);

    let member = format!("/staff/members/{}", user.id);
    assert_eq!(as_root(&app, "DELETE", &member, None).await.status, 204);
    assert_eq!(verified(&app, &first.access).await, ["groups", "staff"]);
    let second = session(&refresh(&app, &client, &first, "").await);
    assert_eq!(verified(&app, &second.access).await, ["groups", ""]);

    join(&app, "staff", &user).await;
    let third = session(&refresh(&app, &client, &second, "").await);
    assert_eq!(verified(&app, &third.access).await, ["groups", "staff"]);
    assert_eq!(as_root(&app, "DELETE", &format!("{member}?end_sessions=true"), None).await.status, 204);
    app.get(path::VERIFY).bearer_auth(&third.access).answer().await.problem(401);
    assert_error(&refresh(&app, &client, &third, "").await, "invalid_grant");
}

#[tokio::test]
async fn only_members_of_the_allowed_groups_may_use_the_client() {
    let client = shop(&[]).with("allowed_groups", json!(["Staff", "does-not-exist"]));
    let app = start(&client).await;
    let (user, other) = (app.create_user("anna").await, app.create_user("berta").await);
    create(&app, "staff", &[]).await;
    join(&app, "staff", &user).await;

    let first = session(&log_in(&app, &client, &user, "").await);
    let refused = log_in(&app, &client, &other, "").await;
    assert_error(&refused, "invalid_grant");
    assert_eq!(refused.json()["error_description"], "This account may not use this application.");
    let sql = "SELECT detail::text FROM audit_events WHERE kind = 'login' AND outcome = 'refused' AND user_id = $1::bigint";
    let detail: Value = serde_json::from_str(&app.database.text(sql, &other.id.to_string()).await).unwrap();
    assert_eq!(detail, json!({ "reason": "not_allowed", "client_id": "shop" }));
    assert!(app.server().metric("latchkey_logins_total", &["not_allowed"]).await > 0.0);
    let sessions = "SELECT count(*) FROM sessions WHERE user_id = $1::bigint";
    assert_eq!(app.database.count(sessions, &other.id.to_string()).await, 0);
    // Others do not find out who may.
    for user in [&user, &other] {
        let wrong = User { password: "NeverLogged, and wrong".to_owned(), ..user.clone() };
        let answer = log_in(&app, &client, &wrong, "").await;
        assert_error(&answer, "invalid_grant");
        assert_eq!(answer.json()["error_description"], "The username or the password is wrong.");
    }
    // The account may use others, but not bring a session of its own.
    let own = app.log_in(&other).await;
    assert_error(&refresh(&app, &client, &own, "").await, "invalid_grant");
    app.refresh(&own).await.ok(200);

    let second = session(&refresh(&app, &client, &first, "").await);
    let member = format!("/staff/members/{}", user.id);
    assert_eq!(as_root(&app, "DELETE", &member, None).await.status, 204);
    let request =
        app.post(path::TOKEN).basic_auth("shop", Some(&client.secret)).header("x-request-id", "left-one");
    let form = [("grant_type", "refresh_token"), ("refresh_token", second.refresh.as_str())];
    assert_error(&request.form(&form).answer().await, "invalid_grant");
    let line = app.server().wait_for_log("left-one").await;
    assert!(
        app.server().log().iter().any(|line| line.contains("left-one") && line.contains("access_denied")),
        "{line}"
    );
    // The session has not ended: who comes back can go on.
    join(&app, "staff", &user).await;
    session(&refresh(&app, &client, &second, "").await);
}

#[tokio::test]
async fn a_client_has_claims_from_the_groups_of_the_person() {
    let values =
        json!([{ "group": "Shop-Admins", "value": "admin" }, { "group": "staff", "value": "editor" }]);
    let client = shop(&[]).with(
        "claims",
        json!([
            { "name": "roles", "values": values },
            { "name": "https://shop.example/roles", "format": "space_separated", "values": values },
        ]),
    );
    let app = start(&client).await;
    let user = app.create_user("anna").await;
    create(&app, "staff", &[]).await;
    create(&app, "shop-admins", &["groups.manage"]).await;
    join(&app, "staff", &user).await;
    let claims = |session: &Session| {
        (claim(&session.access, "roles"), claim(&session.access, "https://shop.example/roles"))
    };

    let first = session(&log_in(&app, &client, &user, "").await);
    assert_eq!(claims(&first), (json!(["editor"]), json!("editor")));
    join(&app, "shop-admins", &user).await;
    let second = session(&refresh(&app, &client, &first, "").await);
    assert_eq!(claims(&second), (json!(["admin", "editor"]), json!("admin editor")));
    let stranger = app.create_user("berta").await;
    let third = session(&log_in(&app, &client, &stranger, "").await);
    assert_eq!(claims(&third), (json!([]), json!("")));
    // They mean nothing here.
    app.me(&second.access).await.ok(200);
    assert_eq!(verified(&app, &second.access).await, ["", ""]);
    assert_eq!(introspected(&app, &second.access).await["roles"], Value::Null);
    // Nor do they appear without the client.
    assert_eq!(claims(&app.log_in(&user).await), (Value::Null, Value::Null));
}

const MANY_GROUPS: &str = "WITH made AS (
        INSERT INTO groups (name) SELECT rpad($1 || '-' || lpad(n::text, 3, '0') || '-', 128, 'x')
        FROM generate_series(1, 250) AS n RETURNING id)
    INSERT INTO memberships (group_id, user_id) SELECT made.id, users.id FROM made, users WHERE username = $1";
const SHORT_GROUPS: &str = "WITH made AS (
        INSERT INTO groups (name) SELECT $1 || '-' || lpad(n::text, 3, '0') FROM generate_series(1, 250) AS n
        RETURNING id)
    INSERT INTO memberships (group_id, user_id) SELECT made.id, users.id FROM made, users WHERE username = $1";

#[tokio::test]
async fn a_token_names_at_most_200_groups_and_fits_into_a_header() {
    let client = shop(&["groups"]);
    let app = start(&client).await;
    let truncated = async || app.server().metric("latchkey_truncated_groups_total", &[]).await;
    for (sql, expected) in [(SHORT_GROUPS, 200), (MANY_GROUPS, 124)] {
        let before = truncated().await;
        let user = app.create_user("many").await;
        assert_eq!(app.database.execute_for(sql, &user.username).await, 250);
        let Session { access, refresh } = session(&log_in(&app, &client, &user, "").await);
        let groups = claim(&access, "groups");
        let names: Vec<_> = groups.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        assert_eq!(names.len(), expected);
        assert!(names.is_sorted() && names[0].starts_with(&format!("{}-001", user.username)), "{names:?}");
        assert!(truncated().await > before);
        // The server accepts it wherever it may be sent.
        assert_eq!(verified(&app, &access).await[1], names.join(","));
        let cookie = app.get(path::VERIFY).header("cookie", format!("access_token={access}"));
        assert_eq!(cookie.answer().await.status, 200);
        app.me(&access).await.ok(200);
        assert_eq!(introspected(&app, &access).await["groups"], groups);
        app.refresh(&Session { access, refresh }).await.problem(401);
    }
    app.server().wait_for_log("an access token does not name all groups of the account").await;
}
