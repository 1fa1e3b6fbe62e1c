//! Every mail is sent at least once, and twice only around a fault.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::{Promise, Violation};
use crate::history::{Account, History, Op, Record, SentMail};
use crate::user::email;

/// How long after the SMTP server accepted a message a fault may keep the server from noting it.
const NOTING: Duration = Duration::from_secs(10);

pub fn check(history: &History, found: &mut Vec<Violation>) {
    let mut first: HashMap<&str, &SentMail> = HashMap::new();
    for mail in &history.finals.mails {
        let Some(before) = first.insert(&mail.message, mail) else { continue };
        let is_excused = history.faults.iter().any(|window| {
            window.fault.excuses_duplicate_mail()
                && window.start <= before.at + NOTING
                && before.at <= window.end + Duration::from_secs(1)
        });
        if !is_excused {
            let what = format!("a mail was sent twice: {before:?}, {mail:?}");
            found.push(Violation::new(Promise::MailOnce, what));
        }
    }
    let mut accounts: HashMap<Account, Vec<&Record>> = HashMap::new();
    for record in &history.records {
        accounts.entry(record.account).or_default().push(record);
    }
    for (account, records) in accounts {
        // A deactivated account receives no links.
        if !records.iter().any(|record| matches!(record.op, Op::SetActive { .. })) {
            check_account(history, account, &records, found);
        }
    }
}

fn check_account(history: &History, account: Account, records: &[&Record], found: &mut Vec<Violation>) {
    for (kinds, causes) in CAUSES {
        let address = email(account);
        let mails = history.finals.mails.iter().chain(&history.finals.waiting);
        let sent: HashSet<_> = mails
            .filter(|mail| mail.recipient == address && kinds.contains(&mail.kind.as_str()))
            .map(|mail| mail.message.as_str())
            .collect();
        let caused = records.iter().filter(|record| causes(record));
        let due = caused.clone().filter(|record| record.is_acknowledged()).count();
        let most = caused.filter(|record| record.may_have_happened()).count();
        if sent.len() < due || sent.len() > most {
            let what =
                format!("{} mails of {kinds:?} to {address}, for {due} to {most} requests", sent.len());
            found.push(Violation::new(Promise::MailOnce, what));
        }
    }
}

type Cause = fn(&Record) -> bool;

/// The kinds of mail, and the requests that cause one of them.
const CAUSES: [(&[&str], Cause); 3] = [
    (&["email_verification", "registration_exists", "username_taken"], |record| {
        // An administrator's new account has a password and needs no mail.
        record.op == Op::Register && record.session.is_none()
    }),
    (&["password_recovery"], |record| record.op == Op::RequestReset),
    (&["password_changed"], |record| matches!(record.op, Op::ChangePassword { .. } | Op::Reset { .. })),
];
