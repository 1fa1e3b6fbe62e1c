//! Reads the objects of a JSON file one by one, in bounded memory. The objects are the elements of an array, the elements
//! of the array in an object's member `users`, or consecutive values (JSON lines).

use std::io::{self, BufRead};

/// The longest object, in bytes.
pub const MAX_OBJECT: usize = 1024 * 1024;
/// The member with the accounts, in the exports of Keycloak and Firebase.
const USERS: &[u8] = b"users";
/// The maximum nesting of an object; the exports have less.
const MAX_DEPTH: usize = 128;

/// The bytes of an object, or why it is refused.
pub type ReadObject = Result<Vec<u8>, String>;

/// A structure around the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// An array of accounts.
    Array,
    /// An object whose array of accounts was read.
    Container,
}

/// The objects of a file. After an error of reading there is none.
pub struct JsonObjects<R> {
    input: R,
    within: Vec<Within>,
    started: bool,
    failed: bool,
}

impl<R: BufRead> JsonObjects<R> {
    /// Reads the objects of `input`.
    pub fn new(input: R) -> Self {
        Self { input, within: Vec::new(), started: false, failed: false }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.input.fill_buf()?.first().copied())
    }

    fn byte(&mut self) -> io::Result<u8> {
        let byte = self.peek()?.ok_or_else(|| invalid("the file ends within a JSON value"))?;
        self.input.consume(1);
        Ok(byte)
    }

    fn skip_space(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.peek()? {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.input.consume(1),
                Some(0xef) if !self.started => {
                    // The byte order mark.
                    for expected in *b"\xef\xbb\xbf" {
                        if self.byte()? != expected {
                            return Err(invalid("the file is not JSON"));
                        }
                    }
                }
                other => {
                    self.started = true;
                    return Ok(other);
                }
            }
        }
    }

    fn read_next(&mut self) -> io::Result<Option<ReadObject>> {
        loop {
            let Some(next) = self.skip_space()? else {
                return if self.within.is_empty() {
                    Ok(None)
                } else {
                    Err(invalid("the file ends within a JSON value"))
                };
            };
            match (self.within.last(), next) {
                (Some(Within::Container), _) => {
                    self.skip_rest_of_object()?;
                    self.within.pop();
                }
                (Some(Within::Array), b']') => {
                    self.input.consume(1);
                    self.within.pop();
                }
                (Some(Within::Array), b',') => self.input.consume(1),
                (None, b'[') => {
                    self.input.consume(1);
                    self.within.push(Within::Array);
                }
                (_, b'{') => {
                    if let Some(object) = self.read_object()? {
                        return Ok(Some(object));
                    }
                }
                (Some(Within::Array), _) => {
                    self.skip_value()?;
                    return Ok(Some(Err("is not a JSON object".to_owned())));
                }
                (None, _) => return Err(invalid("the file is not JSON, or is no export of accounts")),
            }
        }
    }

    /// Reads an object; `None` if it contains the array of accounts, which is read next.
    fn read_object(&mut self) -> io::Result<Option<ReadObject>> {
        let may_hold_users = !self.within.contains(&Within::Container);
        let mut object = Capture::default();
        let mut depth = 0_usize;
        // The last string at depth 1, which is the name of a member if a colon follows.
        let mut last = Vec::new();
        let mut after_colon = false;
        loop {
            let byte = self.byte()?;
            object.push(byte);
            match byte {
                b'"' => {
                    let mut ignored = Vec::new();
                    self.read_string(&mut object, if depth == 1 { &mut last } else { &mut ignored })?;
                }
                b'[' if may_hold_users && depth == 1 && after_colon && last == USERS => {
                    self.within.extend([Within::Container, Within::Array]);
                    return Ok(None);
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > MAX_DEPTH {
                return Err(invalid("the file is not JSON, or is no export of accounts"));
            }
            if !byte.is_ascii_whitespace() {
                after_colon = byte == b':';
            }
            if depth == 0 {
                return Ok(Some(object.finish()));
            }
        }
    }

    /// Reads the rest of a string. `name` receives its first bytes, which are enough to recognise [`USERS`].
    fn read_string(&mut self, object: &mut Capture, name: &mut Vec<u8>) -> io::Result<()> {
        name.clear();
        let mut escaped = false;
        loop {
            let byte = self.byte()?;
            object.push(byte);
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => return Ok(()),
                _ => {}
            }
            if name.len() <= USERS.len() {
                name.push(byte);
            }
        }
    }

    /// Skips the rest of an object after its array of accounts.
    fn skip_rest_of_object(&mut self) -> io::Result<()> {
        let mut depth = 1_usize;
        while depth > 0 {
            self.skip_token(&mut depth)?;
        }
        Ok(())
    }

    /// Skips an element that is not an object.
    fn skip_value(&mut self) -> io::Result<()> {
        let mut depth = 0;
        loop {
            self.skip_token(&mut depth)?;
            if depth == 0 && matches!(self.skip_space()?, Some(b',' | b']') | None) {
                return Ok(());
            }
        }
    }

    fn skip_token(&mut self, depth: &mut usize) -> io::Result<()> {
        match self.byte()? {
            b'"' => self.skip_string()?,
            b'{' | b'[' => *depth += 1,
            b'}' | b']' => *depth = depth.saturating_sub(1),
            _ => {}
        }
        Ok(())
    }

    fn skip_string(&mut self) -> io::Result<()> {
        loop {
            match self.byte()? {
                b'\\' => {
                    self.byte()?;
                }
                b'"' => return Ok(()),
                _ => {}
            }
        }
    }
}

/// The bytes of an object, up to the maximum.
#[derive(Default)]
struct Capture {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Capture {
    fn push(&mut self, byte: u8) {
        if self.bytes.len() == MAX_OBJECT {
            self.too_long = true;
        } else {
            self.bytes.push(byte);
        }
    }

    fn finish(self) -> ReadObject {
        if self.too_long { Err(format!("is longer than {MAX_OBJECT} bytes")) } else { Ok(self.bytes) }
    }
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

impl<R: BufRead> Iterator for JsonObjects<R> {
    type Item = io::Result<ReadObject>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.read_next().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<Result<String, String>> {
        let objects: io::Result<Vec<_>> = JsonObjects::new(text.as_bytes()).collect();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        objects.unwrap().into_iter().map(|object| object.map(text)).collect()
    }

    fn objects(text: &str) -> Vec<String> {
        read(text).into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn the_objects_of_each_kind_of_export_are_read() {
        let (a, b) = (r#"{"a":"]}\"{","x":[{}]}"#, r#"{"b":{"users":[1]}}"#);
        for text in [
            format!("[{a},\n {b}]"),
            format!("\u{feff} {a}\n\n{b}\n"),
            format!("{a}{b}"),
            format!(
                r#"{{"realm":"x","roles":{{"users":[{{}}]}},"users":[{a}, {b}],"more":[{{"users":[]}}]}}"#
            ),
            format!(r#"{{"users" : [{a},{b}]}}"#),
            format!(r#"[{{"realm":"x","users":[{a}]}},{{"realm":"users","users":[{b}],"z":"]"}}]"#),
        ] {
            assert_eq!(objects(&text), [a, b], "{text}");
        }
        for empty in ["", "[]", " \n", r#"{"users":[]}"#, r#"[{"users":[]},{"users":[]}]"#] {
            assert_eq!(read(empty), [], "{empty}");
        }
        // Without an array of accounts the object itself is an account.
        assert_eq!(objects(r#"{"users":"none"}"#), [r#"{"users":"none"}"#]);
        assert_eq!(objects(r#"{"x":"users","y":[1]}"#).len(), 1);
    }

    #[test]
    fn invalid_and_oversized_elements_do_not_hide_the_next() {
        let long = format!(r#"{{"x":"{}"}}"#, "y".repeat(2 * MAX_OBJECT));
        let found = read(&format!("[1, \"a]\", [{{}}], null, {long}, {{}}]"));
        assert_eq!(found.iter().filter(|object| object.is_err()).count(), 5);
        assert_eq!(found.last(), Some(&Ok("{}".to_owned())));
        let head = format!(r#"{{"clients":["{}"],"users":[{{}}]}}"#, "y".repeat(2 * MAX_OBJECT));
        assert_eq!(read(&head), [Ok("{}".to_owned())]);
    }

    #[test]
    fn invalid_and_truncated_json_is_an_error() {
        for text in ["username,email", "[{}", "{\"a\":", "{\"users\":[{}]", "[\"a", "\u{fffd}", "12"] {
            let objects: io::Result<Vec<_>> = JsonObjects::new(text.as_bytes()).collect();
            assert!(objects.is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_neither_panics_nor_loops(
            text in "(\\{|\\}|\\[|\\]|\"|,|:|\\\\| |\"users\":|\"users\":\\[|a|1|\\PC){0,60}",
        ) {
            let read = JsonObjects::new(text.as_bytes()).take(100).count();
            prop_assert!(read < 100);
        }
    }
}
