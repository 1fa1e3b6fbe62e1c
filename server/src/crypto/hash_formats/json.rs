//! Password hashes in JSON: Keycloak's credentials and Auth0's `custom_password_hash`. They are converted to other formats.

use serde_json::{Map, Value};

use crate::crypto::hash_functions::text::{base64, hex, to_base64, to_hex, to_padded_base64};
use crate::crypto::hash_refusal::HashRefusal;

/// `None` if the text is not a JSON object.
pub(in crate::crypto) fn rewrite(text: &str) -> Option<Result<String, HashRefusal>> {
    let within = text.trim_start().strip_prefix('{')?.trim_start();
    if !within.starts_with('"') {
        return None;
    }
    let Ok(Value::Object(object)) = serde_json::from_str(text) else {
        return Some(Err(HashRefusal::Malformed("JSON")));
    };
    Some(if object.contains_key("secretData") || object.contains_key("hashedSaltedValue") {
        keycloak(&object).ok_or(HashRefusal::Malformed("Keycloak")).flatten()
    } else if object.contains_key("algorithm") {
        auth0(&object).ok_or(HashRefusal::Malformed("Auth0")).flatten()
    } else {
        Err(HashRefusal::UnknownFormat)
    })
}

/// `secretData` and `credentialData` are strings that contain JSON objects. Before Keycloak 8 the credential itself had
/// their members.
fn keycloak(credential: &Map<String, Value>) -> Option<Result<String, HashRefusal>> {
    let (secret, data) = match (credential.get("secretData"), credential.get("credentialData")) {
        (Some(secret), Some(data)) => (object_in_text(secret)?, object_in_text(data)?),
        _ => (credential.clone(), credential.clone()),
    };
    let value = secret.get("value").or(secret.get("hashedSaltedValue"))?.as_str()?;
    let algorithm = data.get("algorithm")?.as_str()?;
    if algorithm.starts_with("bcrypt") {
        return Some(Ok(value.to_owned()));
    }
    let salt = to_base64(&base64(secret.get("salt")?.as_str()?)?);
    let hash = base64(value)?;
    let iterations = data.get("hashIterations")?.as_u64()?;
    let written = match algorithm {
        "pbkdf2" => format!("$pbkdf2-sha1$i={iterations}${salt}${}", to_base64(&hash)),
        "pbkdf2-sha256" | "pbkdf2-sha512" => {
            format!("${algorithm}$i={iterations}${salt}${}", to_base64(&hash))
        }
        "argon2" => {
            let params = data.get("additionalParameters")?.as_object()?;
            let param = |name: &str| params.get(name)?.get(0)?.as_str();
            let version = if param("version")? == "1.0" { 0x10 } else { 0x13 };
            let (kind, memory, lanes) = (param("type")?, param("memory")?, param("parallelism")?);
            let hash = to_base64(&hash);
            format!("$argon2{kind}$v={version}$m={memory},t={iterations},p={lanes}${salt}${hash}")
        }
        _ => return Some(Err(HashRefusal::UnknownFormat)),
    };
    Some(Ok(written))
}

fn object_in_text(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object.clone()),
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}

/// Converts the object of Auth0's bulk import schema.
fn auth0(custom: &Map<String, Value>) -> Option<Result<String, HashRefusal>> {
    let algorithm = custom.get("algorithm")?.as_str()?;
    let hash = custom.get("hash")?.as_object()?;
    let value = hash.get("value")?.as_str()?;
    if let Some(encoding) = custom.get("password").and_then(|password| password.get("encoding"))
        && !matches!(encoding.as_str(), Some("utf8" | "ascii"))
    {
        return Some(Err(HashRefusal::UnknownFormat));
    }
    let salt = custom.get("salt").or_else(|| hash.get("salt"));
    let salt_bytes = || salt.map_or(Some(Vec::new()), |salt| encoded(salt, "utf8"));
    let number = |name: &str, default: u64| {
        custom.get(name).or_else(|| hash.get(name)).map_or(Some(default), Value::as_u64)
    };
    Some(Ok(match algorithm {
        "argon2" | "bcrypt" | "ldap" | "pbkdf2" => value.to_owned(),
        "md5" | "sha1" | "sha256" | "sha512" => {
            let after = salt.and_then(|salt| salt.get("position")).and_then(Value::as_str) == Some("suffix");
            let order = if after { "{PASSWORD}{SALT}" } else { "{SALT}{PASSWORD}" };
            let (salt, hash) = (to_padded_base64(&salt_bytes()?), encoded(custom.get("hash")?, "hex")?);
            format!(
                "${algorithm}$pf={}${salt}${}",
                to_padded_base64(order.as_bytes()),
                to_padded_base64(&hash)
            )
        }
        "hmac" => {
            let (digest, key) = (hash.get("digest")?.as_str()?, encoded(hash.get("key")?, "utf8")?);
            let hash = to_hex(&encoded(custom.get("hash")?, "hex")?);
            format!("$hmac-{digest}${}${}", to_padded_base64(hash.as_bytes()), to_padded_base64(&key))
        }
        "scrypt" => {
            let n = number("cost", 16_384)?;
            let (r, p) = (number("blockSize", 8)?, number("parallelization", 1)?);
            let hash = encoded(custom.get("hash")?, "hex")?;
            format!("$scrypt${}${}${}", scrypt_params(n, r, p)?, to_base64(&salt_bytes()?), to_base64(&hash))
        }
        _ => return Some(Err(HashRefusal::UnknownFormat)),
    }))
}

fn scrypt_params(n: u64, r: u64, p: u64) -> Option<String> {
    n.is_power_of_two().then(|| format!("ln={},r={r},p={p}", n.ilog2()))
}

/// `{"value": …, "encoding": …}`
fn encoded(object: &Value, default: &str) -> Option<Vec<u8>> {
    let value = object.get("value")?.as_str()?;
    match object.get("encoding").and_then(Value::as_str).unwrap_or(default) {
        "utf8" | "ascii" => Some(value.as_bytes().to_vec()),
        "hex" => hex(value),
        "base64" => base64(value),
        _ => None,
    }
}
