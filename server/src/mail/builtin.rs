//! The built-in templates (`server/templates/mail/`).

/// The languages of every built-in message.
pub(super) const LOCALES: [&str; 3] = ["en", "de", "fr"];

macro_rules! messages {
    ($($kind:literal)*) => {
        messages!(@locales $($kind "en")* $($kind "de")* $($kind "fr")*)
    };
    (@locales $($kind:literal $locale:literal)*) => {
        &[
            ("layout.html", include_str!("../../templates/mail/layout.html")),
            $(
                (
                    concat!($kind, ".", $locale, ".html"),
                    include_str!(concat!("../../templates/mail/", $kind, ".", $locale, ".html")),
                ),
                (
                    concat!($kind, ".", $locale, ".txt"),
                    include_str!(concat!("../../templates/mail/", $kind, ".", $locale, ".txt")),
                ),
            )*
        ]
    };
}

/// The names and contents of the files.
pub(super) const FILES: &[(&str, &str)] = messages!(
    "password_recovery" "password_changed" "email_verification" "registration_exists" "username_taken"
    "email_change" "email_change_notice" "email_changed" "invitation" "account_deleted"
);
