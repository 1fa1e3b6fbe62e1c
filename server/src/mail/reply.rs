//! What the reply of an SMTP server says about a message: whether the recipient's address is at fault, or the sender,
//! the system or its policy. Only an address that is at fault is given up; everything else is retried and reported.

use std::fmt;

/// The part of a session that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Connecting, TLS and the login.
    Login,
    /// `MAIL FROM`.
    MailFrom,
    /// `RCPT TO`.
    RcptTo,
    /// `DATA` and the content.
    Data,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Login => "the login",
            Self::MailFrom => "MAIL FROM",
            Self::RcptTo => "RCPT TO",
            Self::Data => "DATA",
        })
    }
}

/// A negative reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply<'a> {
    pub(super) step: Step,
    /// The basic code (RFC 5321 §4.2).
    pub(super) code: u16,
    /// The text, with the enhanced status code if the server sends one.
    pub(super) text: &'a str,
}

/// An enhanced status code (RFC 3463): class, subject and detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EnhancedCode(u16, u16, u16);

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Reply<'_> {
    /// The first enhanced status code in the text. Servers prefix it with `#` or put it into brackets, and relays quote
    /// the reply of the next server.
    pub(super) fn enhanced_code(&self) -> Option<EnhancedCode> {
        self.text.split_whitespace().find_map(|word| {
            let mut numbers = word.trim_matches(|c: char| !c.is_ascii_digit()).split('.').map(|number| {
                let short =
                    (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
                short.then(|| number.parse::<u16>().ok()).flatten()
            });
            let code = EnhancedCode(numbers.next()??, numbers.next()??, numbers.next()??);
            (numbers.next().is_none() && matches!(code.0, 4 | 5)).then_some(code)
        })
    }

    /// Whether the recipient's address or mailbox is permanently at fault. Before `RCPT TO` the server does not know it.
    pub(super) fn blames_recipient(&self) -> bool {
        if self.code / 100 != 5 || matches!(self.step, Step::Login | Step::MailFrom) {
            return false;
        }
        match self.enhanced_code() {
            // RFC 3463 §3.2: bad mailbox, system or syntax of the destination, ambiguous, moved; RFC 7505: null MX; RFC
            // 3463 §3.3: the mailbox is disabled or full.
            Some(EnhancedCode(5, 1, 1..=4 | 6 | 10) | EnhancedCode(5, 2, 1 | 2)) => true,
            // They say no more than the basic code.
            Some(EnhancedCode(5, 0..=2, 0)) | None => self.basic_code_blames_recipient(),
            Some(_) => false,
        }
    }

    /// RFC 5321 §4.2.3: 550 to 553 at `RCPT TO` concern the mailbox; RFC 7504: 556 its domain. After `DATA` the server
    /// has accepted the recipient, and refuses the message.
    fn basic_code_blames_recipient(&self) -> bool {
        let concerns_mailbox = matches!(self.code, 550..=553 | 556);
        self.step == Step::RcptTo && concerns_mailbox && !self.names_another_reason()
    }

    /// Servers that send no enhanced codes, such as Exim, refuse a sender or a client at `RCPT TO` with the code of a
    /// missing mailbox, and tell them apart in the text alone. Words with an `@` are addresses, which anyone can choose.
    fn names_another_reason(&self) -> bool {
        const REASONS: [&str; 10] = [
            "relay",
            "sender",
            "authenticat",
            "prohibit",
            "policy",
            "spam",
            "blacklist",
            "blocklist",
            "block list",
            "reputation",
        ];
        let words = self.text.split_whitespace().filter(|word| !word.contains('@'));
        let text = words.collect::<Vec<_>>().join(" ").to_ascii_lowercase();
        REASONS.iter().any(|reason| text.contains(reason))
    }
}

/// The codes and the step. The text is left out because it may contain the address.
impl fmt::Display for Reply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced_code() {
            write!(f, " {enhanced}")?;
        }
        write!(f, " to {}", self.step)
    }
}

#[cfg(test)]
mod tests;
