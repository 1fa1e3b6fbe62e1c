//! `mail preview`, and invalid custom templates.

use std::fs;
use std::path::Path;

use latchkey_tests::process::temporary_folder;
use latchkey_tests::server::{Variables, run_command};

use crate::parts::{assert_refused, unreachable};

fn preview(arguments: &[&str], templates: Option<&Path>) -> String {
    let mut variables = Variables::new();
    if let Some(folder) = templates {
        variables.insert("MAIL_TEMPLATES_DIR".to_owned(), folder.display().to_string());
    }
    let output = run_command(&[&["mail", "preview"], arguments].concat(), &variables);
    let output_text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{output_text}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_preview_shows_a_message_with_sample_values() {
    let text = preview(&[], None);
    assert!(text.starts_with("Subject: Choose a new password\n\nHello,\n"), "{text}");
    assert!(text.contains("https://auth.example.com/reset-password?token="), "{text}");
    let html = preview(&["--kind", "invitation", "--locale", "de-AT", "--format", "html"], None);
    assert!(html.starts_with("<!doctype html>") && html.contains("Passwort wählen"), "{html}");
    let french = preview(&["--kind", "account_deleted", "--locale", "fr"], None);
    assert!(french.contains("supprimé"), "{french}");
}

#[test]
fn a_preview_writes_every_message_into_a_folder() {
    let folder = temporary_folder("preview-");
    let out = folder.path().join("all");
    preview(&["--out", out.to_str().unwrap()], None);
    let files: Vec<_> = fs::read_dir(&out).unwrap().map(|file| file.unwrap().path()).collect();
    // Ten kinds in three languages and two parts.
    assert_eq!(files.len(), 60);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("{{") && !text.contains("{%"), "{}: {text}", file.display());
        // No part of a message fetches anything, nor needs more than one exchange with the SMTP server.
        assert!(!text.contains("src=") && !text.contains("<script"), "{}", file.display());
        assert!(text.len() < 20_000, "{} has {} bytes", file.display(), text.len());
    }
}

#[test]
fn a_preview_shows_custom_templates_and_languages() {
    let folder = temporary_folder("preview-");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("layout.html", "<html lang=\"{{ locale }}\">OUR LAYOUT {% block before %}{% endblock %}</html>");
    write("account_deleted.pt-BR.txt", "Subject: Conta apagada\n\nOlá\n");
    write("account_deleted.pt-BR.html", "<p>Olá</p>");
    // Other files in the folder, by Kubernetes and by users.
    fs::create_dir(folder.path().join("..data")).unwrap();
    write("README.md", "ours");

    assert!(preview(&["--format", "html"], Some(folder.path())).contains("OUR LAYOUT"));
    let text = preview(&["--kind", "account_deleted", "--locale", "pt-BR"], Some(folder.path()));
    assert_eq!(text, "Subject: Conta apagada\n\nOlá\n");
    let english = preview(&["--kind", "password_changed", "--locale", "pt-BR"], Some(folder.path()));
    assert!(english.contains("Hello"), "{english}");
}

#[test]
fn an_invalid_template_stops_the_start_and_the_preview_and_is_named() {
    let good = "Subject: S\n\nText\n";
    for (name, text, named) in [
        ("password_recovery.de.html", "{{ nothing_of_the_kind }}", "password_recovery.de.html"),
        ("password_recovery.de.html", "{% if %}", "password_recovery.de.html"),
        ("password_changed.en.txt", "No subject\n", "password_changed.en.txt"),
        ("password_changed.en.txt", "Subject: S\nno empty line\n", "password_changed.en.txt"),
        ("password_changed.en.txt", "Subject: S\n\n{{ link }}\n", "password_changed.en.txt"),
        ("layout.html", "{% block before %}", "layout.html"),
        ("layout.html", "{{ minutes }}", "layout.html"),
        ("pasword_recovery.de.html", "typo", "pasword_recovery.de.html"),
        ("password_recovery.html", "no language", "password_recovery.html"),
        ("password_recovery.it.txt", good, "password_recovery.it.html"),
        (
            "invitation.en.txt",
            "Subject: S\n\n{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
            "invitation.en.txt",
        ),
        ("invitation.en.html", "{% include 'nowhere.html' %}", "invitation.en.html"),
    ] {
        let folder = temporary_folder("broken-");
        fs::write(folder.path().join(name), text).unwrap();
        let mut variables = unreachable();
        for (name, value) in [
            ("EMAILS_ENABLED", "true"),
            ("SMTP_HOST", "127.0.0.1"),
            ("EMAILS_FROM_EMAIL", "no-reply@example.test"),
            ("MAIL_TEMPLATES_DIR", folder.path().to_str().unwrap()),
        ] {
            variables.insert(name.to_owned(), value.to_owned());
        }
        assert_refused(&run_command(&["serve"], &variables), named);
        assert_refused(&run_command(&["mail", "preview"], &variables), named);
    }
    let mut variables = unreachable();
    variables.insert("MAIL_TEMPLATES_DIR".to_owned(), "/nowhere/at/all".to_owned());
    assert_refused(&run_command(&["mail", "preview"], &variables), "MAIL_TEMPLATES_DIR");
}
