//! Accounts from another system, many at a time.

use std::collections::HashMap;

use serde_json::json;

use super::imported_groups::{ImportedGroups, Memberships, import_memberships};
use super::pool::{Connection, Deadlines};
use super::{Store, StoreError};
use crate::domain::{AuditKind, EmailAddress, GroupName, Locale, PasswordHash, PersonName, Username};

/// An account to be imported.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "they are columns")]
pub struct ImportedUser {
    /// Unique whatever its case.
    pub username: Username,
    /// Whether the username was derived from the address. An existing account with the address is then the same account.
    pub username_derived: bool,
    /// Unique whatever its case.
    pub email: EmailAddress,
    pub name: PersonName,
    /// As it is stored; `None`: no password yet.
    pub password_hash: Option<PasswordHash>,
    /// Whether it may administer accounts.
    pub is_superuser: bool,
    /// Whether it may log in.
    pub is_active: bool,
    /// Whether its address is known to be read by its owner.
    pub email_verified: bool,
    /// The language of its owner.
    pub locale: Option<Locale>,
    /// Each once. Groups that do not exist are created.
    pub groups: Vec<GroupName>,
}

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    Made,
    /// The account exists already: it has this username and address, or only this address if the username was derived.
    Present,
    /// Another account has the username.
    UsernameTaken,
    /// Another account has the address.
    EmailTaken,
}

#[derive(sqlx::FromRow)]
struct NameConflicts {
    present: bool,
    username_taken: bool,
    email_taken: bool,
}

impl NameConflicts {
    fn outcome(&self) -> Option<Imported> {
        if self.present {
            Some(Imported::Present)
        } else if self.username_taken {
            Some(Imported::UsernameTaken)
        } else {
            self.email_taken.then_some(Imported::EmailTaken)
        }
    }
}

/// Finds the existing accounts with these usernames and addresses.
async fn find_conflicts(
    connection: impl sqlx::PgExecutor<'_>,
    users: &[ImportedUser],
) -> Result<Vec<NameConflicts>, sqlx::Error> {
    sqlx::query_as(
        "SELECT EXISTS (
                    SELECT FROM users
                    WHERE lower(users.email COLLATE \"C\") = lower(given.email COLLATE \"C\")
                      AND (given.derived
                           OR lower(users.username COLLATE \"C\") = lower(given.username COLLATE \"C\"))) AS present,
                EXISTS (
                    SELECT FROM users
                    WHERE lower(users.username COLLATE \"C\") = lower(given.username COLLATE \"C\"))
                    AS username_taken,
                EXISTS (
                    SELECT FROM users
                    WHERE lower(users.email COLLATE \"C\") = lower(given.email COLLATE \"C\")) AS email_taken
         FROM unnest($1::text[], $2::text[], $3::boolean[])
             WITH ORDINALITY AS given (username, email, derived, place)
         ORDER BY place",
    )
    .bind(users.iter().map(|user| user.username.as_str()).collect::<Vec<_>>())
    .bind(users.iter().map(|user| user.email.as_str()).collect::<Vec<_>>())
    .bind(users.iter().map(|user| user.username_derived).collect::<Vec<_>>())
    .fetch_all(connection)
    .await
}

impl Store {
    /// Returns the outcome for each user without writing; `None` if the account would be created.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_imported(&self, users: &[ImportedUser]) -> Result<Vec<Option<Imported>>, StoreError> {
        Ok(find_conflicts(&self.pool, users).await?.iter().map(NameConflicts::outcome).collect())
    }

    /// Makes those accounts whose names are free, with their groups, and records each, in one transaction: a batch is
    /// imported whole or not at all. `run` stands in the audit as the request id, by which everything of one import is found.
    /// Says what became of each, in their order, and of the groups.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn import_users(
        &self,
        users: &[ImportedUser],
        run: &str,
    ) -> Result<(Vec<Imported>, ImportedGroups), StoreError> {
        let mut transaction = self.pool.with(Deadlines::BULK).begin().await?;
        // Two imports of the same people would otherwise wait for each other's names.
        sqlx::query("SELECT pg_advisory_xact_lock(hashtext('latchkey.import'))")
            .execute(&mut *transaction)
            .await?;
        let usernames: Vec<_> = users.iter().map(|user| user.username.as_str()).collect();
        let emails: Vec<_> = users.iter().map(|user| user.email.as_str()).collect();
        let rows: Vec<(i64, String, String)> = sqlx::query_as(
            "INSERT INTO users (username, email, name, password_hash, is_superuser, is_active,
                                email_verified_at, locale)
             SELECT username, email, name, password_hash, is_superuser, is_active,
                    CASE WHEN email_verified THEN now() END, locale
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::boolean[],
                         $7::boolean[], $8::text[])
                 WITH ORDINALITY AS given (username, email, name, password_hash, is_superuser, is_active,
                                           email_verified, locale, place)
             ORDER BY place
             ON CONFLICT DO NOTHING
             RETURNING id, username, email",
        )
        .bind(&usernames)
        .bind(&emails)
        .bind(users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>())
        .bind(
            users
                .iter()
                .map(|user| user.password_hash.as_ref().map(PasswordHash::expose))
                .collect::<Vec<_>>(),
        )
        .bind(users.iter().map(|user| user.is_superuser).collect::<Vec<_>>())
        .bind(users.iter().map(|user| user.is_active).collect::<Vec<_>>())
        .bind(users.iter().map(|user| user.email_verified).collect::<Vec<_>>())
        .bind(users.iter().map(|user| user.locale.as_ref().map(Locale::as_str)).collect::<Vec<_>>())
        .fetch_all(&mut *transaction)
        .await?;
        let mut ids: HashMap<(String, String), i64> =
            rows.into_iter().map(|(id, username, email)| ((username, email), id)).collect();
        // Of several equal ones in one batch it is the first that was made.
        let made: Vec<Option<i64>> = users
            .iter()
            .map(|user| ids.remove(&(user.username.to_string(), user.email.to_string())))
            .collect();
        let accounts: Vec<(i64, &ImportedUser)> =
            made.iter().zip(users).filter_map(|(id, user)| Some(((*id)?, user))).collect();
        let groups: Vec<(i64, &[GroupName])> =
            accounts.iter().map(|(id, user)| (*id, user.groups.as_slice())).collect();
        let memberships = import_memberships(&mut transaction, &groups, run).await?;
        record_accounts(&mut transaction, &accounts, &memberships, run).await?;
        let conflicts = if accounts.len() == users.len() {
            Vec::new()
        } else {
            find_conflicts(&mut *transaction, users).await?
        };
        transaction.commit().await?;
        let outcome = |(place, made): (usize, &Option<i64>)| match made {
            Some(_) => Imported::Made,
            // The conflicting account may have been deleted in the meantime.
            None => conflicts.get(place).and_then(NameConflicts::outcome).unwrap_or(Imported::EmailTaken),
        };
        Ok((made.iter().enumerate().map(outcome).collect(), memberships.counts))
    }
}

async fn record_accounts(
    connection: &mut Connection,
    accounts: &[(i64, &ImportedUser)],
    memberships: &Memberships<'_>,
    run: &str,
) -> Result<(), StoreError> {
    let detail = |(id, user): &(i64, &ImportedUser)| {
        let mut detail = json!({ "is_superuser": user.is_superuser });
        if let Some(groups) = memberships.groups.get(id) {
            detail["groups"] = json!(groups);
        }
        detail
    };
    sqlx::query(
        "INSERT INTO audit_events (kind, user_id, request_id, detail)
         SELECT $1, id, $2, detail FROM unnest($3::bigint[], $4::jsonb[]) AS made (id, detail)",
    )
    .bind(AuditKind::UserImported.as_str())
    .bind(run)
    .bind(accounts.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(accounts.iter().map(detail).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
