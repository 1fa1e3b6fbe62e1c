//! The longest log line. Part of what is logged comes from others: the text of an error, a header, a name. A line
//! without a limit fills disks, and collectors cut it where it is no JSON any more, or drop it.

use std::borrow::Cow;
use std::io::Write;

use serde_json::{Map, Value};

/// The longest line, in bytes, with its line break.
pub const LONGEST_LINE: usize = 8 * 1024;
/// Room for the remark that says how much was cut.
const REMARK: usize = 48;
/// How long texts may be in a line of JSON that is too long: the first of these that makes it fit.
const LONGEST_TEXTS: [usize; 4] = [2048, 512, 128, 32];
/// The members that are left of a line with too many of them.
const LAST_MEMBERS: [&str; 4] = ["timestamp", "level", "target", "message"];

/// A writer that is given one line by each call, and cuts those that are too long.
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

/// The line, cut if it is too long: a line of JSON stays one.
pub fn bounded(line: &[u8]) -> Cow<'_, [u8]> {
    if line.len() <= LONGEST_LINE {
        return Cow::Borrowed(line);
    }
    let cut = match serde_json::from_slice(line) {
        Ok(Value::Object(members)) => shorten_members(&members, line.len()),
        _ => shorten_text(&String::from_utf8_lossy(line), LONGEST_LINE - REMARK),
    };
    Cow::Owned(format!("{}\n", cut.trim_end()).into_bytes())
}

/// At most `most` bytes of a text, and how many were cut.
pub fn shorten_text(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most);
    format!("{}… ({} bytes cut)", &text[..end], text.len() - end)
}

fn shorten_members(members: &Map<String, Value>, bytes: usize) -> String {
    let fitting = LONGEST_TEXTS.into_iter().find_map(|most| {
        let mut members = members.clone();
        members.values_mut().for_each(|value| shorten_texts(value, most));
        let line = Value::Object(members).to_string();
        (line.len() < LONGEST_LINE).then_some(line)
    });
    fitting.unwrap_or_else(|| {
        let mut last: Map<String, Value> = LAST_MEMBERS
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), members.get(name)?.as_str()?)))
            .map(|(name, text)| (name, shorten_text(text, 1024).into()))
            .collect();
        last.insert("bytes_cut".to_owned(), bytes.into());
        Value::Object(last).to_string()
    })
}

fn shorten_texts(value: &mut Value, most: usize) {
    match value {
        Value::String(text) if text.len() > most => *text = shorten_text(text, most),
        Value::Array(elements) => elements.iter_mut().for_each(|element| shorten_texts(element, most)),
        Value::Object(members) => members.values_mut().for_each(|member| shorten_texts(member, most)),
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
    fn an_ordinary_line_stays() {
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
        fn a_line_has_an_end_and_stays_what_it_is(text in "\\PC{0,50}", times in 1_usize..4000, members in 1_usize..9) {
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
