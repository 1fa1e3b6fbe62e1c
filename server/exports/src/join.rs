//! Joins Auth0's export of users and its export of password hashes.

use std::io::{self, BufRead, BufWriter, Write};

use serde_json::{Map, Value};

use crate::auth0::{HASH, normalize, normalize_name, own_hash, password_hash};
use crate::{Columns, Fields, JsonObjects, PasswordFile, csv_rows, looks_like_json};

/// The member, and the column, that the export of users gets.
const ADDED: &str = "passwordHash";

/// Writes the export of users with the hash of each account that has none of its own. Records, or the lines of a CSV file,
/// have the same numbers as before. Records that cannot be read remain such.
///
/// # Errors
/// A file cannot be read or written, or `users` is neither JSON nor CSV.
pub fn join_auth0(
    mut users: impl BufRead,
    passwords: &mut PasswordFile,
    output: impl Write,
) -> io::Result<()> {
    let mut output = BufWriter::new(output);
    if looks_like_json(&mut users)? {
        join_json(users, passwords, &mut output)?;
    } else {
        join_csv(users, passwords, &mut output)?;
    }
    output.flush()
}

fn join_json(users: impl BufRead, passwords: &mut PasswordFile, output: &mut impl Write) -> io::Result<()> {
    // In the member `users`, so that an account that has such a member is an account too.
    output.write_all(b"{\"users\":[")?;
    for (index, object) in JsonObjects::new(users).enumerate() {
        output.write_all(if index == 0 { b"\n" } else { b",\n" })?;
        match object? {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(user) => serde_json::to_writer(&mut *output, &with_hash(user, passwords)?)?,
                Err(_) => output.write_all(&bytes)?,
            },
            // No object either.
            Err(reason) => serde_json::to_writer(&mut *output, &reason)?,
        }
    }
    output.write_all(b"\n]}\n")
}

fn with_hash(mut user: Map<String, Value>, passwords: &mut PasswordFile) -> io::Result<Map<String, Value>> {
    if let Some(hash) = missing_hash(&user, passwords)? {
        user.retain(|name, _| normalize_name(name) != HASH);
        user.insert(ADDED.to_owned(), Value::from(hash));
    }
    Ok(user)
}

fn join_csv(users: impl BufRead, passwords: &mut PasswordFile, output: &mut impl Write) -> io::Result<()> {
    let mut columns = None;
    let mut next_line = 1;
    for row in csv_rows(users) {
        let row = row?;
        // The first column, because a row may have fewer values than columns.
        let added = match &columns {
            None => {
                columns = Some(Columns::of(&row.values));
                ADDED.to_owned()
            }
            Some(columns) => {
                let user = columns.object(&row.values);
                user.map(|user| missing_hash(&user, passwords)).transpose()?.flatten().unwrap_or_default()
            }
        };
        for _ in next_line..row.line {
            output.write_all(b"\n")?;
        }
        next_line = next_line.max(row.line) + 1 + row.line_ends();
        let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(&mut *output);
        writer.write_record(std::iter::once(added.as_bytes()).chain(&row.values))?;
        writer.flush()?;
    }
    Ok(())
}

/// The hash of an account that has none of its own.
fn missing_hash(user: &Map<String, Value>, passwords: &mut PasswordFile) -> io::Result<Option<String>> {
    let members = normalize(user);
    let user = Fields(&members);
    if own_hash(user).is_some() { Ok(None) } else { password_hash(user, Some(passwords)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Row;

    const HASHES: &str = "{\"_id\":{\"$oid\":\"1\"},\"passwordHash\":\"one\"}\n\n\
        {\"_id\":{\"$oid\":\"2\"},\"email\":\"Two@example.test\",\"passwordHash\":\"\",\
        \"custom_password_hash\":{\"algorithm\":\"md5\"}}\n";

    fn join(users: &str) -> io::Result<String> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(HASHES.as_bytes())?;
        let mut output = Vec::new();
        join_auth0(users.as_bytes(), &mut PasswordFile::open(file.path())?, &mut output)?;
        Ok(String::from_utf8(output).expect("UTF-8"))
    }

    /// The records, with the JSON of each hash.
    fn json(users: &str) -> Vec<Result<Value, String>> {
        let joined = join(users).expect("joined");
        let objects = JsonObjects::new(joined.as_bytes()).map(|object| object.expect("JSON"));
        let parse = |bytes: Vec<u8>| serde_json::from_slice(&bytes).map_err(|error| error.to_string());
        objects.map(|object| object.and_then(parse)).collect()
    }

    #[test]
    fn accounts_get_the_hashes_of_the_same_id_or_address() {
        let users = json(
            r#"{"users":[{"user_id":"auth0|1","Password Hash":"","PasswordHash":null},
               {"Id":"auth0|3","email":"two@example.test"}, {"email":"two@example.test"},
               {"user_id":"auth0|1","password_hash":"own"}, {"user_id":"google|9","users":[1]}]}"#,
        );
        let users: Vec<Value> = users.into_iter().map(|user| user.expect("an object")).collect();
        let hash = |index: usize| users[index]["passwordHash"].as_str();
        assert_eq!(hash(0), Some("one"));
        assert_eq!(users[0].get("PasswordHash"), None, "both would be read");
        assert_eq!(hash(1), None, "the address of another account");
        assert_eq!(hash(2), Some(r#"{"algorithm":"md5"}"#));
        assert_eq!((hash(3), users[3]["password_hash"].as_str()), (None, Some("own")));
        assert_eq!((hash(4), &users[4]["users"][0]), (None, &Value::from(1)));
    }

    #[test]
    fn records_that_cannot_be_read_keep_their_numbers() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(crate::MAX_OBJECT));
        let users = json(&format!("[{{\"a\":}}, 7, {long}, {{\"id\":\"1\"}}]"));
        assert_eq!(users.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, false, false, true]);
        assert_eq!(users[3].as_ref().map(|user| user["passwordHash"].clone()), Ok(Value::from("one")));
        assert!(json("").is_empty());
        for broken in ["[{}", "{\"a\":", "[1,2"] {
            assert!(join(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn lines_of_a_csv_file_keep_their_numbers() {
        let text = "\u{feff}Id,Email,Name\r\n\r\nauth0|1,a@x,\"A\r\n\"\"a\"\"\"\r\n\r\nauth0|9\r\n,two@example.test,B\r\n";
        let joined = join(text).expect("joined");
        let read =
            |text: &str| -> Vec<Row> { csv_rows(text.as_bytes()).map(|row| row.expect("a row")).collect() };
        let lines = |rows: &[Row]| rows.iter().map(|row| row.line).collect::<Vec<_>>();
        let (before, after) = (read(text), read(&joined));
        assert_eq!(lines(&before), [1, 3, 6, 7]);
        assert_eq!(lines(&after), lines(&before));
        for (before, after) in before.iter().zip(&after) {
            assert!(after.values.iter().skip(1).eq(&before.values), "{joined}");
        }
        let columns = Columns::of(&after[0].values);
        let users: Vec<_> = after[1..].iter().filter_map(|row| columns.object(&row.values)).collect();
        assert_eq!((&users[0]["passwordHash"], &users[0]["Id"]), (&"one".into(), &"auth0|1".into()));
        assert_eq!(users[0]["Name"], "A\n\"a\"");
        assert_eq!(users[1].get("passwordHash"), None);
        assert_eq!(users[2]["passwordHash"], r#"{"algorithm":"md5"}"#);
    }
}
