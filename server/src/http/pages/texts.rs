//! What the pages say. Another language is another [`PageTexts`] in [`ALL`].

use latchkey_config::{Accounts, PasswordPolicy};

use crate::domain::{Locale, PasswordRefusal};

/// The texts of one language.
pub(super) struct PageTexts {
    /// Its tag (BCP 47), also for the pages' `lang`.
    pub(super) lang: &'static str,
    pub(super) account: &'static str,
    pub(super) address: &'static str,
    pub(super) not_you: &'static str,
    pub(super) dead_link_title: &'static str,
    pub(super) dead_link: &'static str,
    pub(super) try_again_title: &'static str,
    pub(super) try_again: &'static str,
    pub(super) too_often: &'static str,
    pub(super) reset_title: &'static str,
    pub(super) invitation_title: &'static str,
    pub(super) new_password: &'static str,
    password_hint: &'static str,
    pub(super) set_password: &'static str,
    pub(super) reset_done_title: &'static str,
    pub(super) reset_done: &'static str,
    pub(super) welcome_title: &'static str,
    pub(super) welcome: &'static str,
    pub(super) verify_title: &'static str,
    pub(super) verify: &'static str,
    pub(super) verify_button: &'static str,
    pub(super) verified_title: &'static str,
    pub(super) verified: &'static str,
    pub(super) confirm_title: &'static str,
    pub(super) confirm: &'static str,
    pub(super) confirm_button: &'static str,
    pub(super) confirmed_title: &'static str,
    pub(super) confirmed: &'static str,
    too_short: &'static str,
    too_long: &'static str,
    common: &'static str,
    own_name: &'static str,
    forbidden_word: &'static str,
}

impl PageTexts {
    /// Why a password was refused; `fault` is the refusal's own sentence, which stays where no text is known.
    pub(super) fn refusal(&self, fault: &str, policy: &PasswordPolicy) -> String {
        let min_length = policy.min_length.get();
        let known = [
            (PasswordRefusal::TooShort(min_length), self.too_short),
            (PasswordRefusal::TooLong, self.too_long),
            (PasswordRefusal::Common, self.common),
            (PasswordRefusal::OwnName, self.own_name),
            (PasswordRefusal::ForbiddenWord, self.forbidden_word),
        ];
        let found = known.iter().find(|(refusal, _)| refusal.to_string() == fault);
        found.map_or_else(|| format!("The password {fault}."), |(_, text)| with_length(text, min_length))
    }

    /// What a password should be like.
    pub(super) fn hint(&self, policy: &PasswordPolicy) -> String {
        with_length(self.password_hint, policy.min_length.get())
    }
}

/// Where a text names the least length, it says `{min}`.
fn with_length(text: &str, min_length: u32) -> String {
    text.replace("{min}", &min_length.to_string())
}

/// The first of these that has texts: the account's language, the languages that the browser asks for, the default
/// of the service, English.
pub(super) fn texts_for(
    account: Option<&str>,
    accepted: &[Locale],
    accounts: &Accounts,
) -> &'static PageTexts {
    let account = account.and_then(Locale::parse);
    let default = Locale::parse(&accounts.default_locale);
    let mut wanted = account.iter().chain(accepted).chain(&default);
    wanted
        .find_map(|locale| ALL.iter().copied().find(|texts| texts.lang == locale.language()))
        .unwrap_or(&ENGLISH)
}

static ALL: [&PageTexts; 3] = [&ENGLISH, &GERMAN, &FRENCH];

static ENGLISH: PageTexts = PageTexts {
    lang: "en",
    account: "Account",
    address: "E-mail address",
    not_you: "If you did not request this, close the page: nothing changes.",
    dead_link_title: "This link is no longer valid",
    dead_link: "It has already been used or has expired. Request a new one.",
    try_again_title: "Something went wrong",
    try_again: "Something went wrong. Try again in a moment.",
    too_often: "Too many attempts. Try again later.",
    reset_title: "Choose a new password",
    invitation_title: "Choose your password",
    new_password: "New password",
    password_hint: "At least {min} characters. A few words that only you would combine make a good password.",
    set_password: "Set password",
    reset_done_title: "Your password was changed",
    reset_done: "Every device was logged out. Log in with your new password.",
    welcome_title: "Your account is ready",
    welcome: "Log in with the password that you have chosen.",
    verify_title: "Confirm your e-mail address",
    verify: "If you created this account, confirm that the address is yours.",
    verify_button: "Confirm address",
    verified_title: "Your e-mail address is confirmed",
    verified: "You can log in now.",
    confirm_title: "Confirm your new e-mail address",
    confirm: "Do you want to use this address for your account?",
    confirm_button: "Use this address",
    confirmed_title: "Your e-mail address was changed",
    confirmed: "Your account now has the new address.",
    too_short: "The password must have at least {min} characters.",
    too_long: "The password must have at most 256 characters.",
    common: "The password is too common. Choose another.",
    own_name: "The password must not be your own name or address.",
    forbidden_word: "The password is too easy to guess here. Choose another.",
};

static GERMAN: PageTexts = PageTexts {
    lang: "de",
    account: "Konto",
    address: "E-Mail-Adresse",
    not_you: "Wenn das nicht von Ihnen kommt, schließen Sie die Seite: Es ändert sich nichts.",
    dead_link_title: "Dieser Link gilt nicht mehr",
    dead_link: "Er wurde schon benutzt oder ist abgelaufen. Fordern Sie einen neuen an.",
    try_again_title: "Das hat gerade nicht geklappt",
    try_again: "Das hat gerade nicht geklappt. Versuchen Sie es gleich noch einmal.",
    too_often: "Das wurde zu oft versucht. Öffnen Sie den Link später noch einmal.",
    reset_title: "Neues Passwort wählen",
    invitation_title: "Passwort wählen",
    new_password: "Neues Passwort",
    password_hint: "Mindestens {min} Zeichen. Gut sind ein paar Wörter, die nur Sie so zusammenstellen würden.",
    set_password: "Passwort setzen",
    reset_done_title: "Ihr Passwort wurde geändert",
    reset_done: "Alle Geräte wurden abgemeldet. Melden Sie sich mit dem neuen Passwort an.",
    welcome_title: "Ihr Konto ist bereit",
    welcome: "Melden Sie sich mit dem Passwort an, das Sie gerade gewählt haben.",
    verify_title: "E-Mail-Adresse bestätigen",
    verify: "Haben Sie dieses Konto angelegt? Dann bestätigen Sie, dass die Adresse Ihre ist.",
    verify_button: "Adresse bestätigen",
    verified_title: "Ihre E-Mail-Adresse ist bestätigt",
    verified: "Sie können sich jetzt anmelden.",
    confirm_title: "Neue E-Mail-Adresse bestätigen",
    confirm: "Soll dieses Konto von jetzt an diese Adresse haben?",
    confirm_button: "Diese Adresse verwenden",
    confirmed_title: "Ihre E-Mail-Adresse wurde geändert",
    confirmed: "Ihr Konto hat von jetzt an die neue Adresse.",
    too_short: "Das Passwort muss mindestens {min} Zeichen haben.",
    too_long: "Das Passwort darf höchstens 256 Zeichen haben.",
    common: "Das Passwort gehört zu den häufigsten. Wählen Sie ein anderes.",
    own_name: "Das Passwort darf nicht Ihr eigener Name oder Ihre Adresse sein.",
    forbidden_word: "Das Passwort ist kaum mehr als ein Wort, das hier leicht zu erraten ist. Wählen Sie ein anderes.",
};

static FRENCH: PageTexts = PageTexts {
    lang: "fr",
    account: "Compte",
    address: "Adresse e-mail",
    not_you: "Si vous n’avez rien demandé, fermez cette page : rien ne change.",
    dead_link_title: "Ce lien n’est plus valable",
    dead_link: "Il a déjà été utilisé ou il a expiré. Demandez-en un nouveau.",
    try_again_title: "Cela n’a pas fonctionné",
    try_again: "Cela n’a pas fonctionné. Réessayez dans un instant.",
    too_often: "Il y a eu trop de tentatives. Rouvrez le lien plus tard.",
    reset_title: "Choisir un nouveau mot de passe",
    invitation_title: "Choisir un mot de passe",
    new_password: "Nouveau mot de passe",
    password_hint: "Au moins {min} caractères. Quelques mots que vous seul assembleriez conviennent bien.",
    set_password: "Enregistrer le mot de passe",
    reset_done_title: "Votre mot de passe a été changé",
    reset_done: "Tous les appareils ont été déconnectés. Connectez-vous avec le nouveau mot de passe.",
    welcome_title: "Votre compte est prêt",
    welcome: "Connectez-vous avec le mot de passe que vous venez de choisir.",
    verify_title: "Confirmer votre adresse e-mail",
    verify: "Avez-vous créé ce compte ? Alors confirmez que cette adresse est la vôtre.",
    verify_button: "Confirmer l’adresse",
    verified_title: "Votre adresse e-mail est confirmée",
    verified: "Vous pouvez maintenant vous connecter.",
    confirm_title: "Confirmer votre nouvelle adresse e-mail",
    confirm: "Ce compte doit-il avoir désormais cette adresse ?",
    confirm_button: "Utiliser cette adresse",
    confirmed_title: "Votre adresse e-mail a été changée",
    confirmed: "Votre compte a désormais la nouvelle adresse.",
    too_short: "Le mot de passe doit avoir au moins {min} caractères.",
    too_long: "Le mot de passe doit avoir au plus 256 caractères.",
    common: "Ce mot de passe est l’un des plus courants. Choisissez-en un autre.",
    own_name: "Le mot de passe ne doit pas être votre nom ou votre adresse.",
    forbidden_word: "Ce mot de passe n’est guère plus qu’un mot facile à deviner ici. Choisissez-en un autre.",
};

#[cfg(test)]
mod tests {
    use latchkey_config::PasswordLength;

    use super::*;

    fn chosen(account: Option<&str>, accepted: &str, default: &str) -> &'static str {
        let accounts = Accounts { default_locale: default.to_owned(), ..Accounts::default() };
        texts_for(account, &Locale::accepted(accepted), &accounts).lang
    }

    #[test]
    fn the_account_decides_then_the_browser_then_the_service() {
        assert_eq!(chosen(Some("de-AT"), "fr", "en"), "de");
        assert_eq!(chosen(Some("ja"), "it, fr-CA;q=0.5", "de"), "fr");
        assert_eq!(chosen(None, "ja", "de-CH"), "de");
        assert_eq!(chosen(None, "", "ja"), "en");
    }

    #[test]
    fn every_refusal_of_a_password_has_a_text() {
        for texts in ALL {
            for refusal in [
                PasswordRefusal::TooShort(15),
                PasswordRefusal::TooLong,
                PasswordRefusal::Common,
                PasswordRefusal::OwnName,
                PasswordRefusal::ForbiddenWord,
            ] {
                let policy = PasswordPolicy {
                    min_length: PasswordLength::new(15).unwrap(),
                    ..PasswordPolicy::default()
                };
                let text = texts.refusal(&refusal.to_string(), &policy);
                assert!(texts.hint(&policy).contains("15") && !text.contains("{min}"));
                assert!(text.ends_with('.') && (texts.lang == "en" || !text.starts_with("The")), "{text}");
            }
        }
    }
}
