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
    /// Accounts and tokens.
    pub store: Store,
    /// The SMTP server.
    pub sender: MailSender,
    /// The templates.
    pub templates: Arc<Templates>,
    /// The base URL of links, without a trailing slash.
    pub link_base: String,
    /// The name in `From`, or else the host of the links.
    pub service_name: String,
    /// The default language (BCP 47).
    pub default_locale: String,
}

/// The outcome of an attempt that did not fail.
pub(super) enum Delivered {
    /// The SMTP server accepted the message.
    Sent,
    /// The message has no recipient (any more).
    NobodyThere,
}

/// The recipient and the content of a message.
struct Addressed {
    recipient: String,
    username: Option<String>,
    locale: Option<String>,
    link: Option<Link>,
}

impl Deliverer {
    pub(super) async fn deliver(&self, mail: &DueMail) -> Result<Delivered, Failure> {
        let Some(addressed) = self.address(mail).await? else { return Ok(Delivered::NobodyThere) };
        let text_of = |name: &str| mail.data.get(name).and_then(serde_json::Value::as_str);
        let kind = mail.kind;
        let facts = Facts {
            service: &self.service_name,
            username: addressed.username.as_deref().or(text_of("username")).filter(|_| shows_username(kind)),
            new_email: text_of("new_email").filter(|_| shows_new_email(kind)),
            link: addressed.link,
        };
        let wanted =
            [addressed.locale.as_deref(), mail.locale.as_deref(), Some(self.default_locale.as_str())];
        let locale = self.templates.choose_locale(kind, wanted.into_iter().flatten());
        let content = self
            .templates
            .render(kind, locale, &facts)
            .map_err(|error| Failure::new(FailureClass::Template, error.to_string()))?;
        // The same id at every attempt, so that a receiver can recognise duplicates.
        let message_id = format!("<latchkey-{}-{}@{}>", kind.as_str(), mail.id, self.sender.domain());
        self.sender.send(&addressed.recipient, message_id, content).await?;
        Ok(Delivered::Sent)
    }

    /// Finds the recipient and creates the link.
    async fn address(&self, mail: &DueMail) -> Result<Option<Addressed>, Failure> {
        if let Some(rule) = link_rule(mail.kind) {
            let secret = OneTimeSecret::generate()
                .ok_or_else(|| Failure::new(FailureClass::Internal, "the system gives no randomness"))?;
            let token = NewToken { purpose: rule.purpose, hash: &secret.hash(), lifetime: rule.lifetime };
            let made = self.store.create_mailed_token(mail, &token).await.map_err(unavailable)?;
            return Ok(made.map(|MailedToken { mailed_to, username, locale }| Addressed {
                recipient: mailed_to,
                username: Some(username),
                locale,
                link: Some(rule.build_link(&self.link_base, secret.expose())),
            }));
        }
        let addressee = self.store.find_addressee(mail).await.map_err(unavailable)?;
        Ok(address_notice(mail, addressee))
    }
}

/// The recipient of a message without a link; `None` when there is none any more.
fn address_notice(mail: &DueMail, addressee: Option<Addressee>) -> Option<Addressed> {
    let recipient = mail.recipient.clone();
    match (mail.kind, addressee) {
        // The message is about an account that does not exist, so its row has the content.
        (MailKind::AccountDeleted | MailKind::UsernameTaken, _) => {
            Some(Addressed { recipient, username: None, locale: None, link: None })
        }
        (_, None) => None,
        // The owner of an inactive account cannot use it, and must not learn that it exists.
        (MailKind::RegistrationExists, Some(account))
            if !account.is_active || !account.email.eq_ignore_ascii_case(&recipient) =>
        {
            None
        }
        // The stored address: the requested one may only look like it.
        (MailKind::RegistrationExists, Some(account)) => Some(Addressed {
            recipient: account.email,
            username: Some(account.username),
            locale: account.locale,
            link: None,
        }),
        // A notice goes to the address that the account had when it was changed, whatever its state is now.
        (_, Some(account)) => Some(Addressed {
            recipient,
            username: Some(account.username),
            locale: account.locale,
            link: None,
        }),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err takes")]
fn unavailable(error: StoreError) -> Failure {
    Failure::new(FailureClass::Database, error.to_string())
}
