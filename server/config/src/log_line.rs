//! A limit for the length of log lines. Log lines contain text from clients and dependencies, such as errors, headers
//! and names. Long lines fill disks, and log collectors drop them or truncate them to invalid JSON.

use std::borrow::Cow;
use std::io::Write;

use serde_json::{Map, Value};

/// The maximum length of a line in bytes, including its line break.
pub const LONGEST_LINE: usize = 8 * 1024;
/// The space for the note about the number of bytes that were cut.
const NOTE_LENGTH: usize = 48;
/// The maximum lengths of strings in a JSON line that is too long. The first one that makes the line fit is used.
const STRING_LIMITS: [usize; 4] = [2048, 512, 128, 32];
/// The members that remain of a JSON line with too many members.
const ESSENTIAL_MEMBERS: [&str; 4] = ["timestamp", "level", "target", "message"];

/// A writer that shortens lines that are too long. Each call of `write` must pass one whole line.
#[derive(Debug)]
pub struct BoundedLines<W>(pub W);

impl<W: Write> Write for BoundedLines<W> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.write_all(&bounded(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Shortens a line that is too long. A JSON line stays valid JSON.
pub fn bounded(line: &[u8]) -> Cow<'_, [u8]> {
    if line.len() <= LONGEST_LINE {
        return Cow::Borrowed(line);
    }
    let cut = match serde_json::from_slice(line) {
        Ok(Value::Object(members)) => shorten_members(&members, line.len()),
        _ => shorten_text(&String::from_utf8_lossy(line), LONGEST_LINE - NOTE_LENGTH),
    };
    Cow::Owned(format!("{}\n", cut.trim_end()).into_bytes())
}

/// Truncates a text to at most `limit` bytes and appends how many were cut.
pub fn shorten_text(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(limit);
    format!("{}… ({} bytes cut)", &text[..end], text.len() - end)
}

fn shorten_members(members: &Map<String, Value>, bytes: usize) -> String {
    let fitting = STRING_LIMITS.into_iter().find_map(|limit| {
        let mut members = members.clone();
        members.values_mut().for_each(|value| shorten_strings(value, limit));
        let line = Value::Object(members).to_string();
        (line.len() < LONGEST_LINE).then_some(line)
    });
    fitting.unwrap_or_else(|| {
        let mut essential: Map<String, Value> = ESSENTIAL_MEMBERS
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), members.get(name)?.as_str()?)))
            .map(|(name, text)| (name, shorten_text(text, 1024).into()))
            .collect();
        essential.insert("bytes_cut".to_owned(), bytes.into());
        Value::Object(essential).to_string()
    })
}

fn shorten_strings(value: &mut Value, limit: usize) {
    match value {
        Value::String(text) if text.len() > limit => *text = shorten_text(text, limit),
        Value::Array(elements) => elements.iter_mut().for_each(|element| shorten_strings(element, limit)),
        Value::Object(members) => members.values_mut().for_each(|member| shorten_strings(member, limit)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn cut(line: &[u8]) -> String {
        String::from_utf8(bounded(line).into_owned()).unwrap()
    }

    #[test]
    fn a_short_line_is_unchanged() {
        assert_eq!(cut(b"{\"message\":\"ready\"}\n"), "{\"message\":\"ready\"}\n");
    }

    #[test]
    fn a_line_with_many_members_keeps_its_message() {
        let many: Map<String, Value> =
            (0..5000).map(|number| (format!("key{number}"), number.into())).collect();
        let mut line = json!(many);
        line["message"] = "what happened".into();
        let line: Value = serde_json::from_str(&cut(line.to_string().as_bytes())).unwrap();
        assert_eq!(line["message"], "what happened");
        assert!(line["bytes_cut"].as_u64().is_some_and(|bytes| bytes > 50_000));
    }

    proptest! {
        #[test]
        fn lines_are_bounded_and_keep_their_format(text in "\\PC{0,50}", times in 1_usize..4000, members in 1_usize..9) {
            let long = text.repeat(times);
            let line: Map<String, Value> = (0..members).map(|n| (format!("m{n}"), json!([long, {"a": long}]))).collect();
            let json = format!("{}\n", json!(line));
            let cut_json = cut(json.as_bytes());
            prop_assert!(cut_json.len() <= LONGEST_LINE && cut_json.ends_with('\n'));
            prop_assert!(serde_json::from_str::<Value>(&cut_json).is_ok_and(|line| line.is_object()));
            let cut_text = cut(format!("{long}\n").as_bytes());
            prop_assert!(cut_text.len() <= LONGEST_LINE && cut_text.ends_with('\n'));
            prop_assert!(long.len() < LONGEST_LINE || cut_text.contains(" bytes cut)"));
        }
    }
}
