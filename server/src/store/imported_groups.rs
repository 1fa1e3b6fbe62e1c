//! The groups of imported accounts.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;

use super::pool::Connection;
use super::{Store, StoreError};
use crate::domain::{AuditKind, GroupName};

/// A group that exists.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ExistingGroup {
    pub id: i64,
    /// Its name as it was given.
    pub name: String,
    /// Whether its members have permissions.
    pub holds_permissions: bool,
}

impl ExistingGroup {
    /// Whether an import may add members to the group that it calls `name`. Not if that gave them permissions of this service,
    /// and not if the name is spelled differently: in the other system these may be two groups.
    pub fn accepts(&self, name: &GroupName) -> bool {
        !self.holds_permissions && self.name == name.as_str()
    }
}

/// What an import did to groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportedGroups {
    /// Groups that were created.
    pub created: u64,
    /// Memberships that were created.
    pub members: u64,
    /// Memberships that were not, because the group does not accept them.
    pub left_out: u64,
}

impl ImportedGroups {
    /// Adds those of another batch.
    pub fn add(&mut self, other: Self) {
        self.created += other.created;
        self.members += other.members;
        self.left_out += other.left_out;
    }
}

/// The memberships of accounts that were created.
pub(super) struct Memberships<'a> {
    pub(super) counts: ImportedGroups,
    /// The names of the groups of each account that has any.
    pub(super) groups: HashMap<i64, Vec<&'a str>>,
}

impl Store {
    /// The groups of these names, which are in lower case.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_existing_groups(&self, folded: &[String]) -> Result<Vec<ExistingGroup>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT id, name, permissions <> '{}' AS holds_permissions
             FROM groups WHERE lower(name COLLATE \"C\") = ANY ($1)",
        )
        .bind(folded)
        .fetch_all(&self.pool)
        .await?)
    }
}

/// Makes accounts, which were created in this transaction, members of their groups, and creates the groups that do not exist.
pub(super) async fn import_memberships<'a>(
    connection: &mut Connection,
    accounts: &[(i64, &'a [GroupName])],
    run: &str,
) -> Result<Memberships<'a>, StoreError> {
    let mut imported = Memberships { counts: ImportedGroups::default(), groups: HashMap::new() };
    let wanted = accounts.iter().flat_map(|(id, groups)| groups.iter().map(move |name| (*id, name)));
    let mut names: BTreeMap<String, &GroupName> = BTreeMap::new();
    for (_, name) in wanted.clone() {
        names.entry(name.folded()).or_insert(name);
    }
    if names.is_empty() {
        return Ok(imported);
    }
    imported.counts.created = create_groups(connection, &names, run).await?;
    let groups = lock_groups(connection, &names.into_keys().collect::<Vec<_>>()).await?;
    let (mut group_ids, mut user_ids) = (Vec::new(), Vec::new());
    for (user_id, name) in wanted {
        match groups.get(&name.folded()).filter(|group| group.accepts(name)) {
            Some(group) => {
                group_ids.push(group.id);
                user_ids.push(user_id);
                imported.groups.entry(user_id).or_default().push(name.as_str());
            }
            None => imported.counts.left_out += 1,
        }
    }
    let added = sqlx::query(
        "INSERT INTO memberships (group_id, user_id) SELECT * FROM unnest($1::bigint[], $2::bigint[])
         ON CONFLICT DO NOTHING",
    )
    .bind(group_ids)
    .bind(user_ids)
    .execute(connection)
    .await?;
    imported.counts.members = added.rows_affected();
    Ok(imported)
}

/// Creates the groups whose names are free, and returns how many.
async fn create_groups(
    connection: &mut Connection,
    names: &BTreeMap<String, &GroupName>,
    run: &str,
) -> Result<u64, StoreError> {
    let created: Vec<(i64, String)> = sqlx::query_as(
        "INSERT INTO groups (name) SELECT name FROM unnest($1::text[]) AS given (name)
         ON CONFLICT DO NOTHING RETURNING id, name",
    )
    .bind(names.values().map(|name| name.as_str()).collect::<Vec<_>>())
    .fetch_all(&mut *connection)
    .await?;
    let details =
        created.iter().map(|(id, name)| json!({ "group": name, "group_id": id, "permissions": [] }));
    sqlx::query("INSERT INTO audit_events (kind, request_id, detail) SELECT $1, $2, unnest($3::jsonb[])")
        .bind(AuditKind::GroupCreated.as_str())
        .bind(run)
        .bind(details.collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(u64::try_from(created.len()).unwrap_or(u64::MAX))
}

/// The groups of these names, by name in lower case. Nobody grants them permissions until the transaction ends.
async fn lock_groups(
    connection: &mut Connection,
    folded: &[String],
) -> Result<HashMap<String, ExistingGroup>, StoreError> {
    let groups: Vec<ExistingGroup> = sqlx::query_as(
        "SELECT id, name, permissions <> '{}' AS holds_permissions
         FROM groups WHERE lower(name COLLATE \"C\") = ANY ($1) ORDER BY id FOR SHARE",
    )
    .bind(folded)
    .fetch_all(connection)
    .await?;
    Ok(groups.into_iter().map(|group| (group.name.to_ascii_lowercase(), group)).collect())
}
