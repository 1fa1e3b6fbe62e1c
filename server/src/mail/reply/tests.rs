//! Replies in the form in which the SMTP servers in use send them.

use super::*;

const RECIPIENT: [(Step, u16, &str); 28] = [
    // Postfix
    (
        Step::RcptTo,
        550,
        "5.1.1 <john@example.test>: Recipient address rejected: User unknown in virtual mailbox table",
    ),
    (
        Step::RcptTo,
        556,
        "5.1.10 <john@example.test>: Recipient address rejected: Domain example.test does not accept mail (nullMX)",
    ),
    (Step::RcptTo, 550, "5.1.2 <john@nowhere.test>: Recipient address rejected: Domain not found"),
    (Step::RcptTo, 501, "5.1.3 Bad recipient address syntax"),
    (
        Step::RcptTo,
        551,
        "5.1.6 <john@example.test>: Recipient address rejected: User has moved to jane@example.test",
    ),
    (Step::RcptTo, 552, "5.2.2 <john@example.test>: Recipient address rejected: mailbox is full"),
    (Step::RcptTo, 554, "5.2.1 <john@example.test>: Recipient address rejected: mailbox disabled"),
    // Exim
    (Step::RcptTo, 550, "Unrouteable address"),
    (Step::RcptTo, 550, "Unknown user"),
    (Step::RcptTo, 550, "No such user here"),
    (Step::RcptTo, 550, "no such recipient here"),
    (Step::RcptTo, 552, "mailbox is full"),
    // Sendmail
    (Step::RcptTo, 550, "5.1.1 <john@example.test>... User unknown"),
    (Step::RcptTo, 553, "5.1.3 <john@>... Hostname required"),
    // Exchange Server and Exchange Online
    (Step::RcptTo, 550, "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"),
    (Step::RcptTo, 550, "5.1.1 User unknown"),
    (Step::Data, 554, "5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException"),
    // Gmail
    (
        Step::RcptTo,
        550,
        "5.1.1 The email account that you tried to reach does not exist. Please try double-checking the recipient's email address for typos or unnecessary spaces.",
    ),
    (Step::RcptTo, 550, "5.2.1 The email account that you tried to reach is inactive."),
    (Step::RcptTo, 552, "5.2.2 The email account that you tried to reach is over quota."),
    (
        Step::RcptTo,
        553,
        "5.1.2 We weren't able to find the recipient domain. Please check for any spelling errors.",
    ),
    // Cisco Secure Email
    (Step::RcptTo, 550, "#5.1.0 Address rejected."),
    (Step::RcptTo, 550, "[5.1.1] unknown recipient"),
    // Others
    (Step::RcptTo, 551, "User not local; please try <jane@example.test>"),
    (Step::RcptTo, 550, "5.1.1 <sender.relay@example.test>: user does not exist"),
    (Step::RcptTo, 550, "<sender.relay@example.test>: no mailbox here by that name"),
    (Step::RcptTo, 550, "Invalid recipient: <john@example.test> (Mode: normal)"),
    (Step::RcptTo, 550, "5.0.0 No such recipient"),
];

const NOT_THE_RECIPIENT: [(Step, u16, &str); 44] = [
    // Postfix
    (
        Step::MailFrom,
        553,
        "5.7.1 <no-reply@example.test>: Sender address rejected: not owned by user latchkey",
    ),
    (Step::RcptTo, 553, "5.7.1 sender rejected"),
    (Step::RcptTo, 550, "5.4.5 quota"),
    (Step::RcptTo, 554, "5.7.1 <john@example.test>: Relay access denied"),
    (Step::RcptTo, 550, "5.1.8 <no-reply@nowhere.test>: Sender address rejected: Domain not found"),
    (Step::RcptTo, 550, "5.1.7 <no-reply@example.test>: Sender address rejected: undeliverable address"),
    (
        Step::RcptTo,
        550,
        "5.7.23 <john@example.test>: Recipient address rejected: Message rejected due to: SPF fail",
    ),
    (
        Step::MailFrom,
        550,
        "5.1.0 <no-reply@example.test>: Sender address rejected: User unknown in local recipient table",
    ),
    (Step::RcptTo, 450, "4.1.1 <john@example.test>: Recipient address rejected: unverified address"),
    (Step::RcptTo, 450, "4.2.0 <john@example.test>: Recipient address rejected: Greylisted"),
    (Step::RcptTo, 452, "4.3.1 Insufficient system storage"),
    (Step::RcptTo, 554, "5.5.1 Error: no valid recipients"),
    (Step::MailFrom, 552, "5.3.4 Message size exceeds fixed limit"),
    (Step::Data, 550, "5.7.1 Message content rejected"),
    (Step::Login, 554, "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"),
    // Exim
    (Step::RcptTo, 550, "relay not permitted"),
    (Step::RcptTo, 550, "Sender verify failed"),
    (
        Step::RcptTo,
        550,
        "Verification failed for <no-reply@example.test> No Such User Here Sender verify failed",
    ),
    (Step::RcptTo, 550, "Administrative prohibition"),
    (Step::RcptTo, 550, "authentication required"),
    (Step::Data, 550, "This message scored 12.1 spam points"),
    (Step::Data, 552, "Message size exceeds maximum permitted"),
    // Exchange Server and Exchange Online
    (Step::Data, 550, "5.7.60 SMTP; Client does not have permissions to send as this sender"),
    (Step::MailFrom, 530, "5.7.57 Client not authenticated to send mail."),
    (Step::Login, 535, "5.7.3 Authentication unsuccessful"),
    (Step::Data, 554, "5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied"),
    (Step::RcptTo, 550, "5.7.708 Service unavailable. Access denied, traffic not accepted from this IP"),
    (
        Step::RcptTo,
        550,
        "5.1.90 Your message can't be sent because you've reached your daily limit for message recipients",
    ),
    (Step::Data, 550, "5.3.4 ROUTING.SizeLimit; message size exceeds fixed maximum size for route"),
    // Gmail and Google Workspace
    (Step::RcptTo, 550, "5.4.5 Daily SMTP relay limit exceeded for customer."),
    (Step::Data, 550, "5.7.26 This mail has been blocked because the sender is unauthenticated."),
    (Step::MailFrom, 550, "5.7.0 Mail relay denied [192.0.2.1]. Invalid credentials for relay"),
    (
        Step::Data,
        552,
        "5.7.0 This message was blocked because its content presents a potential security issue.",
    ),
    (Step::RcptTo, 452, "4.2.2 The email account that you tried to reach is over quota."),
    (Step::Login, 421, "4.7.0 Try again later, closing connection."),
    // Amazon SES
    (
        Step::Data,
        554,
        "Message rejected: Email address is not verified. The following identities failed the check in region EU-WEST-1: john@example.test",
    ),
    (Step::Data, 454, "Throttling failure: Daily message quota exceeded."),
    (Step::MailFrom, 530, "Authentication required"),
    // Mailgun, SendGrid, Postmark, Mailjet
    (
        Step::Data,
        550,
        "5.7.1 Domain sandbox123.mailgun.org is not allowed to send: Please activate your Mailgun account",
    ),
    (Step::MailFrom, 550, "The from address does not match a verified Sender Identity."),
    (Step::RcptTo, 451, "You have exceeded your messaging limits"),
    (Step::Data, 550, "5.0.0 Sender signature not found"),
    // Contradictions: the milder code decides.
    (Step::RcptTo, 550, "4.1.1 try again"),
    (Step::MailFrom, 550, "5.1.1 user unknown"),
];

#[test]
fn an_unknown_disabled_or_full_mailbox_is_the_recipients() {
    for (step, code, text) in RECIPIENT {
        let reply = Reply { step, code, text };
        assert!(reply.blames_recipient(), "{code} {text}");
    }
}

#[test]
fn whatever_the_sender_or_the_system_can_correct_is_not_the_recipients() {
    for (step, code, text) in NOT_THE_RECIPIENT {
        assert!(!Reply { step, code, text }.blames_recipient(), "{step}: {code} {text}");
    }
}

#[test]
fn an_enhanced_code_is_found_and_nothing_else_is_taken_for_one() {
    let code =
        |text| Reply { step: Step::RcptTo, code: 550, text }.enhanced_code().map(|code| code.to_string());
    for (text, expected) in [
        ("5.7.1 rejected", Some("5.7.1")),
        ("#5.1.0 rejected", Some("5.1.0")),
        ("[5.7.26] rejected", Some("5.7.26")),
        ("rejected (5.1.10).", Some("5.1.10")),
        ("host 192.0.2.1 said: 550 5.1.1 unknown", Some("5.1.1")),
        ("blocked by 5.4.3.2", None),
        ("version 1.2.3 refuses", None),
        ("5.7 rejected", None),
        ("5.1234.1 rejected", None),
        ("", None),
    ] {
        assert_eq!(code(text).as_deref(), expected, "{text}");
    }
}

#[test]
fn the_description_has_the_codes_and_never_the_text() {
    let text = "5.7.1 <john@example.test> rejected";
    assert_eq!(Reply { step: Step::RcptTo, code: 553, text }.to_string(), "553 5.7.1 to RCPT TO");
}
