//! The names of the variables, and which of them hold secrets.

#![allow(
    missing_docs,
    reason = "the names are their own documentation; docs/operations.md lists their meaning"
)]

pub const DATABASE_URL: &str = "DATABASE_URL";
pub const REDIS_URL: &str = "REDIS_URL";
pub const LISTEN_ADDR: &str = "LISTEN_ADDR";
pub const MANAGEMENT_ADDR: &str = "MANAGEMENT_ADDR";
pub const ISSUER_URL: &str = "ISSUER_URL";
pub const TOKEN_AUDIENCE: &str = "TOKEN_AUDIENCE";
pub const JWT_KEYS_FILE: &str = "JWT_KEYS_FILE";
pub const ACCESS_TOKEN_EXPIRE_MINUTES: &str = "ACCESS_TOKEN_EXPIRE_MINUTES";
pub const REFRESH_TOKEN_EXPIRE_MINUTES: &str = "REFRESH_TOKEN_EXPIRE_MINUTES";
pub const EMAILS_ENABLED: &str = "EMAILS_ENABLED";
pub const SMTP_HOST: &str = "SMTP_HOST";
pub const SMTP_PORT: &str = "SMTP_PORT";
pub const SMTP_USER: &str = "SMTP_USER";
pub const SMTP_PASSWORD: &str = "SMTP_PASSWORD";
pub const SMTP_TLS: &str = "SMTP_TLS";
pub const SMTP_SSL: &str = "SMTP_SSL";
pub const EMAILS_FROM_EMAIL: &str = "EMAILS_FROM_EMAIL";
pub const EMAILS_FROM_NAME: &str = "EMAILS_FROM_NAME";
pub const PUBLIC_URL: &str = "PUBLIC_URL";
pub const FIRST_SUPERUSER: &str = "FIRST_SUPERUSER";
pub const FIRST_SUPERUSER_EMAIL: &str = "FIRST_SUPERUSER_EMAIL";
pub const FIRST_SUPERUSER_PASSWORD: &str = "FIRST_SUPERUSER_PASSWORD";
pub const OTEL_EXPORTER_OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
pub const LOG_LEVEL: &str = "LOG_LEVEL";
pub const LOG_FORMAT: &str = "LOG_FORMAT";

/// Every variable, without the `_FILE` forms.
pub const ALL: [&str; 25] = [
    DATABASE_URL,
    REDIS_URL,
    LISTEN_ADDR,
    MANAGEMENT_ADDR,
    ISSUER_URL,
    TOKEN_AUDIENCE,
    JWT_KEYS_FILE,
    ACCESS_TOKEN_EXPIRE_MINUTES,
    REFRESH_TOKEN_EXPIRE_MINUTES,
    EMAILS_ENABLED,
    SMTP_HOST,
    SMTP_PORT,
    SMTP_USER,
    SMTP_PASSWORD,
    SMTP_TLS,
    SMTP_SSL,
    EMAILS_FROM_EMAIL,
    EMAILS_FROM_NAME,
    PUBLIC_URL,
    FIRST_SUPERUSER,
    FIRST_SUPERUSER_EMAIL,
    FIRST_SUPERUSER_PASSWORD,
    OTEL_EXPORTER_OTLP_ENDPOINT,
    LOG_LEVEL,
    LOG_FORMAT,
];

/// The variables that hold secrets; each may be given as `NAME_FILE` instead, a path.
pub const SECRETS: [&str; 5] = [DATABASE_URL, REDIS_URL, SMTP_USER, SMTP_PASSWORD, FIRST_SUPERUSER_PASSWORD];

/// The `_FILE` form of a secret's name.
pub fn file_variant(name: &str) -> String {
    format!("{name}_FILE")
}
