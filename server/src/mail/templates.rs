//! What the messages say, in text and HTML.

use askama::Template;

/// A message ready to be addressed.
pub(super) struct Content {
    pub(super) subject: &'static str,
    pub(super) text: String,
    pub(super) html: String,
}

#[derive(Template)]
#[template(path = "password_recovery.txt")]
struct RecoveryText<'a> {
    link: &'a str,
    minutes: i64,
}

#[derive(Template)]
#[template(path = "password_recovery.html")]
struct RecoveryHtml<'a> {
    link: &'a str,
    minutes: i64,
}

#[derive(Template)]
#[template(path = "password_changed.txt")]
struct ChangedText;

#[derive(Template)]
#[template(path = "password_changed.html")]
struct ChangedHtml;

pub(super) fn password_recovery(link: &str, minutes: i64) -> Result<Content, askama::Error> {
    Ok(Content {
        subject: "Choose a new password",
        text: RecoveryText { link, minutes }.render()?,
        html: RecoveryHtml { link, minutes }.render()?,
    })
}

pub(super) fn password_changed() -> Result<Content, askama::Error> {
    Ok(Content {
        subject: "Your password was changed",
        text: ChangedText.render()?,
        html: ChangedHtml.render()?,
    })
}

/// A message that has no template yet.
pub(super) fn plain(subject: &'static str, text: &str) -> Content {
    Content { subject, text: text.to_owned(), html: String::new() }
}
