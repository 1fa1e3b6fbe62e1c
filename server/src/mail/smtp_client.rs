//! SMTP sessions. lettre's transport does not tell which command was refused, which decides whose fault it is
//! (`reply.rs`), so the commands are sent one by one. Connections are reused.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lettre::address::Envelope;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Tls};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};

use super::reply::Step;

/// The timeout of one SMTP command.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long an unused connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// Connects to one SMTP server. Cheap to clone; clones share their idle connections.
#[derive(Clone)]
pub(super) struct SmtpClient {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Tls,
    pub(super) credentials: Option<Credentials>,
    pub(super) ehlo_name: ClientId,
    pub(super) idle: Arc<Mutex<Vec<(AsyncSmtpConnection, Instant)>>>,
}

/// Why a session failed.
pub(super) struct SessionError {
    pub(super) step: Step,
    pub(super) kind: SessionErrorKind,
}

pub(super) enum SessionErrorKind {
    TimedOut,
    Smtp(lettre::transport::smtp::Error),
}

impl SmtpClient {
    /// Connects and logs in on a new connection, within the time of one command.
    pub(super) async fn check(&self) -> Result<(), SessionError> {
        self.drop_expired();
        let connection = tokio::time::timeout(TIMEOUT, self.connect())
            .await
            .unwrap_or(Err(SessionError { step: Step::Login, kind: SessionErrorKind::TimedOut }))?;
        close(connection).await;
        Ok(())
    }

    pub(super) async fn send(&self, envelope: &Envelope, message: &[u8]) -> Result<(), SessionError> {
        let mut connection = match self.take_idle().await {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        match send(&mut connection, envelope, message).await {
            Ok(()) => {
                if let Ok(mut idle) = self.idle.lock() {
                    idle.push((connection, Instant::now()));
                }
                Ok(())
            }
            Err(error) => {
                close(connection).await;
                Err(error)
            }
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SessionError> {
        let implicit = match &self.tls {
            Tls::Wrapper(parameters) => Some(parameters.clone()),
            _ => None,
        };
        let address = (self.host.as_str(), self.port);
        let connecting =
            AsyncSmtpConnection::connect_tokio1(address, Some(TIMEOUT), &self.ehlo_name, implicit, None);
        let mut connection = within_timeout(Step::Login, connecting).await?;
        if let Tls::Required(parameters) = &self.tls {
            within_timeout(Step::Login, connection.starttls(parameters.clone(), &self.ehlo_name)).await?;
        }
        if let Some(credentials) = &self.credentials {
            within_timeout(Step::Login, connection.auth(DEFAULT_MECHANISMS, credentials)).await?;
        }
        Ok(connection)
    }

    /// An idle connection that still answers.
    async fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        self.drop_expired();
        loop {
            let (mut connection, _) = self.idle.lock().ok()?.pop()?;
            if tokio::time::timeout(TIMEOUT, connection.test_connected()).await == Ok(true) {
                return Some(connection);
            }
        }
    }

    fn drop_expired(&self) {
        if let Ok(mut idle) = self.idle.lock() {
            idle.retain(|(_, since)| since.elapsed() < IDLE_TIMEOUT);
        }
    }
}

async fn send(
    connection: &mut AsyncSmtpConnection,
    envelope: &Envelope,
    message: &[u8],
) -> Result<(), SessionError> {
    let mut parameters = Vec::new();
    if !message.is_ascii() && connection.server_info().supports_feature(Extension::EightBitMime) {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    let mail = Mail::new(envelope.from().cloned(), parameters);
    within_timeout(Step::MailFrom, connection.command(mail)).await?;
    for recipient in envelope.to() {
        let rcpt = Rcpt::new(recipient.clone(), Vec::new());
        within_timeout(Step::RcptTo, connection.command(rcpt)).await?;
    }
    within_timeout(Step::Data, connection.command(Data)).await?;
    within_timeout(Step::Data, connection.message(message)).await?;
    Ok(())
}

/// Sends `QUIT`. The outcome does not matter.
async fn close(mut connection: AsyncSmtpConnection) {
    let _ = tokio::time::timeout(GOODBYE_TIMEOUT, connection.abort()).await;
}

async fn within_timeout<T>(
    step: Step,
    command: impl Future<Output = Result<T, lettre::transport::smtp::Error>>,
) -> Result<T, SessionError> {
    // Boxed, because the buffers of TLS make it large.
    match tokio::time::timeout(TIMEOUT, Box::pin(command)).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(SessionError { step, kind: SessionErrorKind::Smtp(error) }),
        Err(_) => Err(SessionError { step, kind: SessionErrorKind::TimedOut }),
    }
}
