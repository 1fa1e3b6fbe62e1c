//! Delivering one message, from its outbox row to the SMTP server.

use std::sync::Arc;

use super::failure::{Failure, FailureClass};
use super::message::{Facts, Link, link_rule, shows_new_email, shows_username};
use super::sender::MailSender;
use super::templates::Templates;
use crate::crypto::OneTimeSecret;
use crate::store::{Addressee, DueMail, MailKind, MailedToken, NewToken, Store, StoreError};

/// The dependencies of a delivery.
#[derive(Clone)]
pub struct Deliverer {
    pub store: Store,
    pub sender: MailSender,
    pub templates: Arc<Templates>,
    /// The base URL of links, without a trailing slash.
    pub link_base: String,
    /// The name in `From`, or the host of the links if it has none.
    pub service_name: String,
    /// The default language (BCP 47).
    pub default_locale: String,
}

/// The outcome of an attempt that did not fail.
pub(super) enum Delivered {
    /// The SMTP server accepted the message.
    Sent,
    /// The message has no recipient, or its recipient no longer exists.
    NoRecipient,
}

/// The recipient of a message and the variables that depend on the account.
struct Envelope {
    recipient: String,
    username: Option<String>,
    locale: Option<String>,
    link: Option<Link>,
}

impl Deliverer {
    pub(super) async fn deliver(&self, mail: &DueMail) -> Result<Delivered, Failure> {
        let Some(envelope) = self.create_envelope(mail).await? else { return Ok(Delivered::NoRecipient) };
        let text_of = |name: &str| mail.data.get(name).and_then(serde_json::Value::as_str);
        let kind = mail.kind;
        let facts = Facts {
            service: &self.service_name,
            username: envelope.username.as_deref().or(text_of("username")).filter(|_| shows_username(kind)),
            new_email: text_of("new_email").filter(|_| shows_new_email(kind)),
            link: envelope.link,
        };
        let wanted = [envelope.locale.as_deref(), mail.locale.as_deref(), Some(self.default_locale.as_str())];
        let locale = self.templates.choose_locale(kind, wanted.into_iter().flatten());
        let content = self
            .templates
            .render(kind, locale, &facts)
            .map_err(|error| Failure::new(FailureClass::Template, error.to_string()))?;
        // Every attempt has the same id, so that mail servers can detect duplicates.
        let message_id = format!("<latchkey-{}-{}@{}>", kind.as_str(), mail.id, self.sender.domain());
        self.sender.send(&envelope.recipient, message_id, content).await?;
        Ok(Delivered::Sent)
    }

    /// Finds the recipient and creates the link.
    async fn create_envelope(&self, mail: &DueMail) -> Result<Option<Envelope>, Failure> {
        if let Some(rule) = link_rule(mail.kind) {
            let secret = OneTimeSecret::generate()
                .ok_or_else(|| Failure::new(FailureClass::Internal, "the system returned no random bytes"))?;
            let token = NewToken { purpose: rule.purpose, hash: &secret.hash(), lifetime: rule.lifetime };
            let created = self.store.create_mailed_token(mail, &token).await.map_err(unavailable)?;
            return Ok(created.map(|MailedToken { mailed_to, username, locale }| Envelope {
                recipient: mailed_to,
                username: Some(username),
                locale,
                link: Some(rule.build_link(&self.link_base, secret.expose())),
            }));
        }
        let addressee = self.store.find_addressee(mail).await.map_err(unavailable)?;
        Ok(create_notice_envelope(mail, addressee))
    }
}

/// The envelope of a message without a link; `None` if the recipient no longer exists.
fn create_notice_envelope(mail: &DueMail, addressee: Option<Addressee>) -> Option<Envelope> {
    let recipient = mail.recipient.clone();
    match (mail.kind, addressee) {
        // The message is about an account that does not exist, so its row has the content.
        (MailKind::AccountDeleted | MailKind::UsernameTaken, _) => {
            Some(Envelope { recipient, username: None, locale: None, link: None })
        }
        (_, None) => None,
        // The owner of an inactive account cannot use it, and must not learn that it exists.
        (MailKind::RegistrationExists, Some(account))
            if !account.is_active || !account.email.eq_ignore_ascii_case(&recipient) =>
        {
            None
        }
        // Sent to the stored address, because the requested one may have a different spelling.
        (MailKind::RegistrationExists, Some(account)) => Some(Envelope {
            recipient: account.email,
            username: Some(account.username),
            locale: account.locale,
            link: None,
        }),
        // A notice is sent to the address that the account had at the time of the change.
        (_, Some(account)) => {
            Some(Envelope { recipient, username: Some(account.username), locale: account.locale, link: None })
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err takes")]
fn unavailable(error: StoreError) -> Failure {
    Failure::new(FailureClass::Database, error.to_string())
}
