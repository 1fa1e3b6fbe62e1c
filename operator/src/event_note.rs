//! The text of an event.

/// The API server limits the length of a note (events.k8s.io/v1) and would refuse the event.
pub(crate) fn shortened(mut note: String) -> String {
    const BYTES: usize = 1024;
    const END: &str = "…";
    if note.len() > BYTES {
        note.truncate(note.floor_char_boundary(BYTES - END.len()));
        note.push_str(END);
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_note_of_more_than_1024_bytes_is_shortened() {
        for fits in ["", "a note", &"x".repeat(1024), &"ä".repeat(512)] {
            assert_eq!(shortened(fits.to_owned()), fits);
        }
        assert_eq!(shortened("x".repeat(1025)), format!("{}…", "x".repeat(1021)));
        // Characters are not divided.
        assert_eq!(shortened("ä".repeat(513)), format!("{}…", "ä".repeat(510)));
    }
}
