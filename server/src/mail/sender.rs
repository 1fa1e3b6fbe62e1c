//! The SMTP client.

use std::time::Duration;

use latchkey_config::{Email, SmtpSecurity};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use tokio::time::timeout;

use super::failure::{Failure, FailureClass};
use super::templates::Content;
use crate::trusted_roots::{TrustedRoots, describe_refusal};

/// How long connecting to the SMTP server may take. The transport has no deadline for the answers that follow: a check has
/// one for the whole, and so has each attempt to deliver a message.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const CHECK_TIMEOUT: Duration = Duration::from_secs(20);

/// Sends messages. Cheap to clone.
#[derive(Clone)]
pub struct MailSender {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    /// A transport that does not reuse connections, so that each check logs in.
    probe_transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl MailSender {
    /// # Errors
    /// A sentence that names the invalid setting.
    pub fn new(
        email: &Email,
        credentials: Option<(String, String)>,
        roots: &TrustedRoots,
    ) -> Result<Self, String> {
        let address: Address = email.from_address.parse().map_err(|_| {
            format!("EMAILS_FROM_EMAIL is not valid: `{}` is not an e-mail address", email.from_address)
        })?;
        let host = email.smtp.host.as_str();
        let tls = tls(host, email.smtp.security, roots)
            .map_err(|_| "SMTP_HOST is not valid: TLS cannot be set up for it".to_owned())?;
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .tls(tls)
            .port(email.smtp.port)
            .timeout(Some(CONNECT_TIMEOUT));
        if let Some((user, password)) = credentials {
            builder = builder.credentials(Credentials::new(user, password));
        }
        let no_reuse = PoolConfig::new().max_size(1).idle_timeout(Duration::from_millis(100));
        let probe_transport = builder.clone().pool_config(no_reuse).build();
        Ok(Self {
            transport: builder.build(),
            probe_transport,
            from: Mailbox::new(email.from_name.clone(), address),
        })
    }

    /// Connects to the SMTP server and logs in.
    ///
    /// # Errors
    /// [`FailureClass::Smtp`] with the reason.
    pub async fn check(&self) -> Result<(), Failure> {
        let Ok(checked) = timeout(CHECK_TIMEOUT, self.probe_transport.test_connection()).await else {
            return Err(login_failure("it does not answer in time"));
        };
        match checked {
            Ok(true) => Ok(()),
            Ok(false) => Err(login_failure("it does not respond as an SMTP server")),
            Err(error) => Err(login_failure(&describe(&error))),
        }
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
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            // The codes 550 to 553 refuse the mailbox. The sender can correct the causes of other 5xx codes, such as
            // 535 (login) and 554 (policy), so those are retried.
            Err(error) if is_refused_mailbox(&error) => Err(Failure::new(
                FailureClass::Recipient,
                format!("the address is refused: {}", describe(&error)),
            )),
            Err(error) => Err(send_failure(&describe(&error))),
        }
    }

    pub(super) fn domain(&self) -> &str {
        self.from.email.domain()
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

fn login_failure(reason: &str) -> Failure {
    Failure::new(FailureClass::Smtp, format!("the login at the SMTP server failed: {reason}"))
}

fn send_failure(reason: &str) -> Failure {
    Failure::new(FailureClass::Smtp, format!("the SMTP server did not accept the message: {reason}"))
}

fn is_refused_mailbox(error: &lettre::transport::smtp::Error) -> bool {
    error.status().is_some_and(|code| ["550", "551", "552", "553"].contains(&code.to_string().as_str()))
}

/// The kind of failure and the SMTP code. The server's text is left out because it may contain the address.
fn describe(error: &lettre::transport::smtp::Error) -> String {
    if let Some(code) = error.status() {
        format!("it responded with {code}")
    } else if let Some(reason) = describe_refusal(error) {
        reason.to_owned()
    } else if error.is_timeout() {
        "it did not respond in time".to_owned()
    } else if error.is_tls() {
        "the TLS handshake failed, or its certificate is not trusted".to_owned()
    } else if error.is_client() {
        "it does not support a feature that the settings require (STARTTLS or the login method)".to_owned()
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
