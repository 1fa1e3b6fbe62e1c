//! Builds messages and sends them.

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::Arc;

use latchkey_config::{Email, SmtpSecurity};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, Message};

use super::failure::{Failure, FailureClass};
use super::reply::Reply;
use super::smtp_client::{SessionError, SessionErrorKind, SmtpClient};
use super::templates::Content;
use crate::trusted_roots::{TrustedRoots, describe_refusal};

/// Sends messages. Cheap to clone.
#[derive(Clone)]
pub struct MailSender {
    client: SmtpClient,
    from: Mailbox,
}

impl MailSender {
    /// # Errors
    /// A sentence that names the invalid setting.
    pub fn new(
        email: &Email,
        ehlo_name: Option<&str>,
        credentials: Option<(String, String)>,
        roots: &TrustedRoots,
    ) -> Result<Self, String> {
        let address: Address = email.from_address.parse().map_err(|_| {
            format!("EMAILS_FROM_EMAIL is not valid: `{}` is not an e-mail address", email.from_address)
        })?;
        let host = email.smtp.host.as_str();
        let tls = tls(host, email.smtp.security, roots)
            .map_err(|_| "SMTP_HOST is not valid: TLS cannot be set up for it".to_owned())?;
        let client = SmtpClient {
            host: host.to_owned(),
            port: email.smtp.port,
            tls,
            credentials: credentials.map(|(user, password)| Credentials::new(user, password)),
            ehlo_name: client_id(ehlo_name.unwrap_or("localhost")),
            idle: Arc::default(),
        };
        Ok(Self { client, from: Mailbox::new(email.from_name.clone(), address) })
    }

    /// Connects to the SMTP server and logs in.
    ///
    /// # Errors
    /// [`FailureClass::Smtp`] with the reason.
    pub async fn check(&self) -> Result<(), Failure> {
        self.client.check().await.map_err(|error| {
            let reason = format!("the login at the SMTP server failed: {}", describe(&error));
            Failure::new(FailureClass::Smtp, reason)
        })
    }

    pub(super) async fn send(
        &self,
        recipient: &str,
        message_id: String,
        content: Content,
    ) -> Result<(), Failure> {
        let to: Address = recipient
            .parse()
            .map_err(|_| Failure::new(FailureClass::Recipient, "the address is malformed"))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(content.subject)
            .message_id(Some(message_id))
            // RFC 3834 §5: prevents automatic replies.
            .header(AutoSubmitted)
            .multipart(MultiPart::alternative_plain_html(content.text, content.html))
            .map_err(|error| Failure::new(FailureClass::Internal, error.to_string()))?;
        self.client.send(message.envelope(), &message.formatted()).await.map_err(|error| {
            let reason = describe(&error);
            match reply(&error) {
                Some((code, text)) if (Reply { step: error.step, code, text: &text }).blames_recipient() => {
                    Failure::new(FailureClass::Recipient, format!("the address is refused: {reason}"))
                }
                _ => {
                    let reason = format!("the SMTP server did not accept the message: {reason}");
                    Failure::new(FailureClass::Smtp, reason)
                }
            }
        })
    }

    pub(super) fn domain(&self) -> &str {
        self.from.email.domain()
    }
}

/// The client's name in `EHLO`: an IP address is written as an address literal (RFC 5321 §4.1.3).
fn client_id(name: &str) -> ClientId {
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    match bare.parse() {
        Ok(IpAddr::V4(address)) => ClientId::Ipv4(address),
        Ok(IpAddr::V6(address)) => ClientId::Ipv6(address),
        Err(_) => ClientId::Domain(name.to_owned()),
    }
}

/// Trusts `roots` in addition to the system's certificate authorities.
fn tls(
    host: &str,
    security: SmtpSecurity,
    roots: &TrustedRoots,
) -> Result<Tls, lettre::transport::smtp::Error> {
    let parameters = || {
        let mut builder = TlsParameters::builder(host.to_owned());
        if let Some(pem) = roots.pem() {
            builder = builder.add_root_certificate(Certificate::from_pem(pem.as_bytes())?);
        }
        builder.build()
    };
    Ok(match security {
        SmtpSecurity::StartTls => Tls::Required(parameters()?),
        SmtpSecurity::Implicit => Tls::Wrapper(parameters()?),
        SmtpSecurity::None => Tls::None,
    })
}

/// The code and the text of the reply, if the SMTP server sent one.
fn reply(error: &SessionError) -> Option<(u16, String)> {
    let SessionErrorKind::Smtp(error) = &error.kind else { return None };
    let code = error.status()?.to_string().parse().ok()?;
    Some((code, error.source().map(ToString::to_string).unwrap_or_default()))
}

/// The kind of failure, and the codes of the reply. The server's text is left out because it may contain the address.
fn describe(error: &SessionError) -> String {
    if let Some((code, text)) = reply(error) {
        return format!("it responded with {}", Reply { step: error.step, code, text: &text });
    }
    let SessionErrorKind::Smtp(smtp) = &error.kind else { return "it did not respond in time".to_owned() };
    if let Some(reason) = describe_refusal(smtp) {
        reason.to_owned()
    } else if smtp.is_timeout() {
        "it did not respond in time".to_owned()
    } else if smtp.is_tls() {
        "the TLS handshake failed, or its certificate is not trusted".to_owned()
    } else if smtp.is_client() {
        "it does not support a feature that the settings require (STARTTLS or the login method)".to_owned()
    } else if smtp.is_response() {
        "it does not respond as an SMTP server".to_owned()
    } else {
        "it cannot be reached".to_owned()
    }
}

#[derive(Clone)]
struct AutoSubmitted;

impl lettre::message::header::Header for AutoSubmitted {
    fn name() -> lettre::message::header::HeaderName {
        lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> lettre::message::header::HeaderValue {
        lettre::message::header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
