use latchkey_clients::GrantType;
use proptest::prelude::*;

use super::*;

const TTL: u32 = 600;

pub(crate) fn digest(number: u8) -> SecretDigest {
    SecretDigest::new([number; 32])
}

pub(crate) fn client(id: &str) -> Client {
    Client {
        client_id: id.to_owned(),
        client_type: ClientType::Confidential,
        grant_types: vec![GrantType::ClientCredentials],
        scopes: Vec::new(),
        permissions: Vec::new(),
        audiences: Vec::new(),
        allowed_groups: Vec::new(),
        claims: Vec::new(),
        token_exchange_from: Vec::new(),
        access_token_ttl: TTL,
        refresh_token_ttl: 3600,
        credentials: Vec::new(),
    }
}

pub(crate) fn wanted(id: &str, secret: Option<u8>) -> Wanted {
    Wanted {
        client: client(id),
        has_secret: true,
        current: secret.map(digest),
        next: None,
        overlap: 100,
        revokes_previous: false,
    }
}

fn member(wanted: Wanted) -> Member {
    Member::Wanted { uid: format!("uid of {}", wanted.client.client_id), wanted: Box::new(wanted) }
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn next(last: Option<&Registry>, members: Vec<Member>, now: i64) -> Registry {
    next_registry(last, members, at(now), 1000, Uuid::new_v4).unwrap().registry
}

fn secrets(registry: &Registry, id: &str) -> Vec<(SecretDigest, Option<i64>)> {
    let client = registry.clients().iter().find(|client| client.client_id == id).unwrap();
    let pairs = client.credentials.iter();
    pairs.map(|known| (digest_of(known).unwrap(), known.expires_at.map(|end| end.timestamp()))).collect()
}

#[test]
fn the_serial_rises_exactly_with_the_content() {
    let first = next(None, vec![member(wanted("b", Some(1))), member(wanted("a", Some(2)))], 0);
    assert_eq!(first.serial(), 1000, "the floor");
    let ids: Vec<_> = first.clients().iter().map(|client| client.client_id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    let same = next(Some(&first), vec![member(wanted("a", Some(2))), member(wanted("b", Some(1)))], 50);
    assert_eq!(same, first);
    let fewer = next(Some(&same), vec![member(wanted("a", Some(2)))], 50);
    assert_eq!((fewer.serial(), fewer.clients().len()), (1001, 1));
    assert_eq!(fewer.clients()[0], first.clients()[0], "its credential keeps its id");
    assert_eq!(next(Some(&fewer), Vec::new(), 50).serial(), 1002);
}

#[test]
fn a_client_that_is_not_decided_stays_as_it_was() {
    let first = next(None, vec![member(wanted("a", Some(1))), member(wanted("b", Some(2)))], 0);
    let undecided = |id: &str| Member::Undecided { client_id: id.to_owned() };
    assert_eq!(next(Some(&first), vec![undecided("a"), undecided("b"), undecided("c")], 9), first);
    // One that has no AuthClient any more does not.
    assert_eq!(next(Some(&first), vec![undecided("b")], 9).clients(), &first.clients()[1..]);
}

#[test]
fn the_oldest_client_has_the_id() {
    let mut younger = wanted("a", Some(2));
    younger.client.scopes = vec!["everything".to_owned()];
    let younger = Member::Wanted { uid: "younger".to_owned(), wanted: Box::new(younger) };
    let result =
        next_registry(None, vec![member(wanted("a", Some(1))), younger], at(0), 1, Uuid::new_v4).unwrap();
    assert_eq!(secrets(&result.registry, "a"), [(digest(1), None)]);
    assert_eq!(result.owners["a"], "uid of a");
}

#[test]
fn a_replaced_secret_works_during_the_overlap_and_its_tokens_until_they_expire() {
    let first = next(None, vec![member(wanted("a", Some(1)))], 0);
    // The next secret is registered before applications can read it.
    let before = Wanted { next: Some(digest(2)), ..wanted("a", Some(1)) };
    let prepared = next(Some(&first), vec![member(before)], 10);
    assert_eq!(secrets(&prepared, "a"), [(digest(1), None), (digest(2), None)]);
    let ids = |registry: &Registry| -> Vec<Uuid> {
        registry.clients()[0].credentials.iter().map(|known| known.id).collect()
    };
    let rotated = next(Some(&prepared), vec![member(wanted("a", Some(2)))], 20);
    assert_eq!(secrets(&rotated, "a"), [(digest(2), None), (digest(1), Some(120))]);
    assert_eq!(ids(&rotated), [ids(&prepared)[1], ids(&prepared)[0]]);
    assert_eq!(next(Some(&rotated), vec![member(wanted("a", Some(2)))], 60), rotated, "the end stays");
    let shorter = Wanted { overlap: 10, ..wanted("a", Some(2)) };
    assert_eq!(secrets(&next(Some(&rotated), vec![member(shorter)], 60), "a")[1].1, Some(70));
    let ttl = i64::from(TTL);
    assert_eq!(next(Some(&rotated), vec![member(wanted("a", Some(2)))], 119 + ttl), rotated);
    let expired = next(Some(&rotated), vec![member(wanted("a", Some(2)))], 120 + ttl);
    assert_eq!(secrets(&expired, "a"), [(digest(2), None)]);
}

#[test]
fn a_previous_secret_is_revoked_on_request() {
    let first = next(None, vec![member(wanted("a", Some(1)))], 0);
    let rotated = next(Some(&first), vec![member(wanted("a", Some(2)))], 20);
    let revoked = Wanted { revokes_previous: true, ..wanted("a", Some(2)) };
    assert_eq!(secrets(&next(Some(&rotated), vec![member(revoked)], 21), "a"), [(digest(2), None)]);
    // While the current secret is not known, a revocation would revoke the only one.
    let unknown = Wanted { revokes_previous: true, ..wanted("a", None) };
    assert_eq!(next(Some(&first), vec![member(unknown)], 21), first);
}

#[test]
fn a_missing_secret_changes_no_credential() {
    assert!(next(None, vec![member(wanted("a", None))], 0).clients().is_empty());
    let first = next(None, vec![member(wanted("a", Some(1)))], 0);
    let mut narrower = wanted("a", None);
    narrower.client.access_token_ttl = 60;
    let changed = next(Some(&first), vec![member(narrower)], 10);
    assert_eq!(secrets(&changed, "a"), [(digest(1), None)]);
    assert_eq!(changed.clients()[0].access_token_ttl, 60);
    // Also if there are previous ones.
    let rotated = next(Some(&first), vec![member(wanted("a", Some(2)))], 20);
    assert_eq!(next(Some(&rotated), vec![member(wanted("a", None))], 30), rotated);
}

#[test]
fn a_client_that_becomes_public_loses_its_credentials() {
    let first = next(None, vec![member(wanted("a", Some(1)))], 0);
    let mut public = wanted("a", None);
    (public.client.client_type, public.has_secret) = (ClientType::Public, false);
    public.client.grant_types = vec![GrantType::RefreshToken];
    assert!(next(Some(&first), vec![member(public)], 10).clients()[0].credentials.is_empty());
}

proptest! {
    /// Whatever happens to a secret, the current one is accepted, previous ones have an end, and their number is
    /// limited.
    #[test]
    fn the_current_secret_never_expires(steps in proptest::collection::vec((0_u8..6, 0_i64..50, any::<bool>()), 1..40)) {
        let (mut last, mut now, mut used) = (None::<Registry>, 0, std::collections::HashMap::new());
        for (secret, pause, revokes_previous) in steps {
            now += pause;
            let step = Wanted { revokes_previous, ..wanted("a", Some(secret)) };
            let registry = next(last.as_ref(), vec![member(step)], now);
            let found = secrets(&registry, "a");
            prop_assert_eq!(found[0], (digest(secret), None));
            prop_assert!(found.len() <= 1 + MOST_PREVIOUS);
            prop_assert!(found[1..].iter().all(|(_, end)| end.is_some_and(|end| end <= now + 100)));
            prop_assert!(last.as_ref().is_none_or(|last| (last == &registry) == (last.serial() == registry.serial())));
            for known in &registry.clients()[0].credentials {
                let digest = digest_of(known).unwrap();
                prop_assert_eq!(*used.entry(known.id).or_insert(digest), digest, "an id is never used again");
            }
            last = Some(registry);
        }
    }
}

fn service_account(id: u128, name: &str) -> Credential {
    let kind = CredentialKind::ServiceAccount { namespace: "shop".to_owned(), name: name.to_owned() };
    Credential { id: Uuid::from_u128(id), expires_at: None, kind }
}

#[test]
fn keys_and_service_accounts_have_ids_that_are_never_used_again() {
    let key = |id: u128, x: &str| {
        let jwk = serde_json::json!({"kty": "OKP", "crv": "Ed25519", "kid": id.to_string(), "x": x});
        let jwk = serde_json::from_value(jwk).unwrap();
        Credential { id: Uuid::from_u128(id), expires_at: None, kind: CredentialKind::Key { jwk } }
    };
    let (one, two) = (key(1, &"A".repeat(43)), key(2, &format!("B{}", "A".repeat(42))));
    let with = |keys: &[&Credential], secret: Option<u8>| {
        let mut wanted = wanted("a", secret);
        wanted.client.credentials = keys.iter().map(|key| (*key).clone()).collect();
        wanted.has_secret = secret.is_some();
        wanted
    };
    let kinds = |registry: &Registry| -> Vec<_> {
        registry.clients()[0].credentials.iter().map(|credential| credential.kind.clone()).collect()
    };
    let id_of = |registry: &Registry, wanted: &Credential| {
        let credentials = &registry.clients()[0].credentials;
        credentials.iter().find(|credential| credential.kind.is_same(&wanted.kind)).map(|known| known.id)
    };
    let first = next(None, vec![member(with(&[&one], Some(1)))], 0);
    assert_eq!(kinds(&first).len(), 2);
    // Without `spec.secret`, the secret stops working at once.
    let second = next(Some(&first), vec![member(with(&[&one], None))], 1);
    assert_eq!(kinds(&second), std::slice::from_ref(&one.kind));
    assert_eq!(id_of(&second, &one), id_of(&first, &one));
    let third = next(Some(&second), vec![member(with(&[&two, &one], None))], 2);
    assert_eq!(id_of(&third, &one), id_of(&first, &one));
    assert_ne!(id_of(&third, &one), id_of(&third, &two));
    let fourth = next(Some(&third), vec![member(with(&[&two], None))], 3);
    assert_eq!((kinds(&fourth), fourth.serial()), (vec![two.kind.clone()], third.serial() + 1));
    assert_eq!(id_of(&fourth, &two), id_of(&third, &two));
    assert_eq!(next(Some(&fourth), vec![member(with(&[&two], None))], 9), fourth);
    // A key that was removed and is added again is another credential.
    let fifth = next(Some(&fourth), vec![member(with(&[&one, &two], None))], 10);
    assert!(id_of(&fifth, &one).is_some_and(|id| Some(id) != id_of(&first, &one)));

    let mut workload = wanted("w", None);
    (workload.client.client_type, workload.has_secret) = (ClientType::Workload, false);
    workload.client.credentials = vec![service_account(5, "orders")];
    let registry = next(None, vec![member(workload)], 0);
    assert_eq!(kinds(&registry), [service_account(5, "orders").kind]);
}
