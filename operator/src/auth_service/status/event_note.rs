//! The text of an event.

/// The API server limits the length of a note (events.k8s.io/v1) and would refuse the event.
pub(super) fn shortened(mut note: String) -> String {
    const BYTES: usize = 1024;
    const END: &str = "…";
    if note.len() > BYTES {
        note.truncate(note.floor_char_boundary(BYTES - END.len()));
        note.push_str(END);
    }
    note
}
