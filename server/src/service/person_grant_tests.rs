use latchkey_clients::{ClaimFormat, ClaimValue, ClientType, GroupClaim};
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// `http::connections::MAX_HEAD_BYTES`; the service knows no HTTP. `tests/api/auth/groups_in_tokens.rs` sends such a token.
const MAX_HEAD_BYTES: usize = 32 * 1024;

fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn client(scopes: &[&str]) -> Client {
    Client {
        client_id: "shop".to_owned(),
        client_type: ClientType::Public,
        grant_types: Vec::new(),
        scopes: list(scopes),
        audiences: Vec::new(),
        allowed_groups: Vec::new(),
        claims: Vec::new(),
        permissions: Vec::new(),
        token_exchange_from: Vec::new(),
        access_token_ttl: 600,
        refresh_token_ttl: 600,
        credentials: Vec::new(),
    }
}

fn claim(name: &str, format: ClaimFormat, values: &[(&str, &str)]) -> GroupClaim {
    let values = values
        .iter()
        .map(|(group, value)| ClaimValue { group: (*group).to_owned(), value: (*value).to_owned() });
    GroupClaim { name: name.to_owned(), format, values: values.collect() }
}

/// A person who is in these groups, all of which were looked for.
fn in_groups(names: &[&str]) -> PersonGroups {
    PersonGroups { names: list(names), among: names.iter().map(|name| name.to_ascii_lowercase()).collect() }
}

#[test]
fn a_login_gets_the_requested_scopes_that_the_client_may_have() {
    let shop = client(&["orders:read", "groups", "orders:write"]);
    for (requested, granted) in [
        ("", &["orders:read", "groups", "orders:write"][..]),
        (" ", &["orders:read", "groups", "orders:write"]),
        ("orders:write orders:read", &["orders:read", "orders:write"]),
        ("openid groups", &["groups"]),
        ("groups groups", &["groups"]),
    ] {
        assert_eq!(decide_scopes(&shop, requested, None).unwrap(), granted, "{requested:?}");
    }
    for requested in ["openid", "Groups", "group", "groups\torders:read"] {
        assert!(matches!(decide_scopes(&shop, requested, None), Err(ServiceError::InvalidScope)));
    }
    assert_eq!(decide_scopes(&client(&[]), "", None).unwrap(), list(&[]));
}

#[test]
fn a_refresh_gets_no_scope_that_the_login_did_not_get() {
    let shop = client(&["a", "b", "c"]);
    let before = list(&["a", "c", "removed"]);
    for (requested, granted) in [("", &["a", "c"][..]), ("c", &["c"]), ("b c", &["c"])] {
        assert_eq!(decide_scopes(&shop, requested, Some(&before)).unwrap(), granted, "{requested:?}");
    }
    for requested in ["b", "removed"] {
        assert!(decide_scopes(&shop, requested, Some(&before)).is_err(), "{requested}");
    }
    assert_eq!(decide_scopes(&shop, "", Some(&[])).unwrap(), list(&[]));
}

#[test]
fn no_scope_of_a_person_has_the_name_of_a_permission() {
    let mut names: Vec<_> = Permission::ALL.into_iter().map(Permission::as_str).collect();
    names.push("a");
    assert_eq!(decide_scopes(&client(&names), "", None).unwrap(), ["a"]);
    assert!(decide_scopes(&client(&names), "users.read", None).is_err());
}

#[test]
fn only_members_of_the_allowed_groups_may_use_a_client() {
    let mut shop = client(&[]);
    assert!(decide_claims(&shop, &[], &in_groups(&[])).is_some());
    shop.allowed_groups = list(&["Shop/Staff", "support"]);
    for (groups, is_allowed) in
        [(&[][..], false), (&["staff"], false), (&["other", "support"], true), (&["shop/staff"], true)]
    {
        assert_eq!(decide_claims(&shop, &[], &in_groups(groups)).is_some(), is_allowed, "{groups:?}");
    }
}

#[test]
fn claims_have_the_values_of_the_persons_groups() {
    let mut shop = client(&[]);
    let values = [("admins", "admin"), ("Editors", "editor"), ("owners", "admin")];
    shop.claims = vec![
        claim("roles", ClaimFormat::Array, &values),
        claim("https://shop.example/roles", ClaimFormat::SpaceSeparated, &values),
    ];
    for (groups, array, text) in [
        (&[][..], json!([]), ""),
        (&["others"], json!([]), ""),
        (&["owners", "admins"], json!(["admin"]), "admin"),
        (&["editors", "owners"], json!(["editor", "admin"]), "editor admin"),
    ] {
        let (claims, _) = decide_claims(&shop, &[], &in_groups(groups)).unwrap();
        assert_eq!(claims.more["roles"], array);
        assert_eq!(claims.more["https://shop.example/roles"], text);
        assert_eq!((claims.scope, claims.groups), (None, None));
    }
}

#[test]
fn groups_are_named_with_the_scope_only_and_at_most_200() {
    let names: Vec<_> = (0..201).map(|number| format!("g{number:03}")).collect();
    let groups = PersonGroups { names, among: HashSet::new() };
    let shop = client(&["groups", "a"]);
    assert_eq!(decide_claims(&shop, &list(&["a"]), &groups).unwrap().0.groups, None);
    let (claims, is_truncated) = decide_claims(&shop, &list(&["groups"]), &groups).unwrap();
    assert_eq!(claims.scope.as_deref(), Some("groups"));
    assert_eq!((claims.groups.unwrap(), is_truncated), (groups.names[..200].to_vec(), true));
    let all = PersonGroups { names: groups.names[..200].to_vec(), ..groups };
    let (claims, is_truncated) = decide_claims(&shop, &list(&["groups"]), &all).unwrap();
    assert_eq!((claims.groups.unwrap().len(), is_truncated), (200, false));
    let (claims, _) = decide_claims(&shop, &list(&["groups"]), &PersonGroups::default()).unwrap();
    assert_eq!(claims.groups, Some(Vec::new()));
}

proptest! {
    #[test]
    fn a_token_fits_into_the_head_of_a_request(
        lengths in prop::collection::vec(1..=128_usize, 0..201),
        scopes in 0..64_usize,
        scope_length in 1..=128_usize,
        values in 0..30_usize,
    ) {
        let mut shop = client(&[]);
        let value = "v".repeat(100);
        let values: Vec<_> = (0..values).map(|number| (format!("g{number}"), format!("{value}{number}"))).collect();
        let pairs: Vec<_> = values.iter().map(|(group, value)| (group.as_str(), value.as_str())).collect();
        shop.claims = vec![claim("roles", ClaimFormat::Array, &pairs)];
        let mut scopes: Vec<_> = (0..scopes).map(|_| "s".repeat(scope_length)).collect();
        scopes.push(GROUPS.to_owned());
        let names: Vec<_> = lengths.iter().map(|length| "n".repeat(*length)).collect();
        let among = values.iter().map(|(group, _)| group.clone()).collect();
        let person = PersonGroups { names, among };
        let (claims, is_truncated) = decide_claims(&shop, &scopes, &person).unwrap();
        let named = claims.groups.clone().unwrap();
        prop_assert_eq!(&named, &person.names[..named.len()]);
        prop_assert_eq!(is_truncated, named.len() < person.names.len());
        let json = json!({ "scope": claims.scope, "groups": named, "more": claims.more }).to_string();
        // With the claims of every token, the longest signature (RS256 with 4096 bits) and the header of the token.
        let token = (json.len() + 1_200) * 4 / 3 + 700 + 200;
        prop_assert!(token < MAX_HEAD_BYTES - 4 * 1024, "{} bytes", token);
    }
}
