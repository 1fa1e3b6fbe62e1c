//! The OpenAPI document and Swagger UI.

use std::collections::BTreeSet;

use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{AdditionalProperties, Schema, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Flow, HttpAuthScheme, HttpBuilder, OAuth2, Password, Scopes, SecurityScheme,
};
use utoipa::openapi::{Content, Object, ObjectBuilder, OpenApi, OpenApiVersion, PathItem, RefOr, Server};
use utoipa::{IntoResponses as _, Modify, OpenApi as _};

use super::content::{JSON, MULTIPART, URLENCODED};
use super::form::MAX_FIELDS;
use super::oauth::is_oauth_path;
use super::problem_docs::LateProblem;

/// No control characters, quotes or backslashes.
const QUOTABLE: &str = r#"^[^\x00-\x1f\x7f"\\]*$"#;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Latchkey",
        description = "Authentication for the applications of a Kubernetes cluster.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    modifiers(&SecuritySchemes),
    tags(
        (name = "auth", description = "Login, logout, tokens and the current user's account"),
        (name = "users", description = "Account administration"),
        (name = "groups", description = "Groups, their members and their permissions"),
        (name = "programs", description = "Token checks by reverse proxies and resource servers"),
        (name = "audit", description = "Audit events"),
        (name = "keys", description = "Keys and metadata for token verifiers"),
    )
)]
struct Document;

struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, openapi: &mut OpenApi) {
        openapi.openapi = OpenApiVersion::Version31;
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme(
            "bearer",
            SecurityScheme::Http(
                HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build(),
            ),
        );
        components.add_security_scheme(
            "client",
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Basic).build()),
        );
        components.add_security_scheme(
            "cookie",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("access_token"))),
        );
        components.add_security_scheme("password", password_scheme(""));
    }
}

/// Adds what applies to every endpoint.
pub(super) fn finish(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        for operation in operations_mut(item) {
            if operation.request_body.is_some() {
                operation.responses.responses.extend(LateProblem::responses());
            }
            if is_oauth_path(path) {
                describe_oauth_errors(operation);
            }
        }
    }
    let names_of = |kind: &str| -> BTreeSet<String> {
        let operations = document.paths.paths.values().flat_map(operations);
        operations.filter_map(|operation| schema_of_body(operation, kind)).collect()
    };
    let (urlencoded, multipart) = (names_of(URLENCODED), names_of(MULTIPART));
    let Some(components) = &mut document.components else { return document };
    for (name, schema) in &mut components.schemas {
        let RefOr::T(Schema::Object(form)) = schema else { continue };
        if urlencoded.contains(name) || multipart.contains(name) {
            describe_form(form);
        }
        if multipart.contains(name) {
            // A field name is a quoted string in a header (RFC 7578 §4.2).
            let plain = ObjectBuilder::new().schema_type(Type::String).pattern(Some(QUOTABLE));
            form.property_names = Some(Box::new(plain.into()));
        }
    }
    document
}

fn operations(item: &PathItem) -> impl Iterator<Item = &Operation> {
    [&item.get, &item.put, &item.post, &item.delete, &item.patch].into_iter().flatten()
}

fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}

/// The media type of RFC 6749 §5.2 instead of that of RFC 9457.
fn describe_oauth_errors(operation: &mut Operation) {
    for response in operation.responses.responses.values_mut() {
        let RefOr::T(response) = response else { continue };
        if let Some(content) = response.content.shift_remove("application/problem+json") {
            response.content.insert(JSON.to_owned(), content);
        }
    }
}

/// The name of the schema of an operation's request body in this media type.
fn schema_of_body(operation: &Operation, kind: &str) -> Option<String> {
    let Some(RefOr::T(body)) = &operation.request_body else { return None };
    match body.content.get(kind) {
        Some(RefOr::T(Content { schema: Some(RefOr::Ref(reference)), .. })) => {
            reference.ref_location.rsplit('/').next().map(str::to_owned)
        }
        _ => None,
    }
}

/// A form has a bounded number of fields; each occurs once and is a string. Unknown fields are ignored (RFC 6749 §3.2).
fn describe_form(form: &mut Object) {
    form.max_properties = Some(MAX_FIELDS);
    let text = ObjectBuilder::new().schema_type(Type::String).build();
    form.additional_properties = Some(Box::new(AdditionalProperties::RefOr(text.into())));
}

/// The document as served below a path: its own paths and the address of the token endpoint are relative to it.
pub(super) fn at_path(mut document: OpenApi, path: &str) -> OpenApi {
    if path.is_empty() {
        return document;
    }
    document.servers = Some(vec![Server::new(path)]);
    if let Some(components) = &mut document.components {
        components.add_security_scheme("password", password_scheme(path));
    }
    document
}

/// The token endpoint below a path.
fn password_scheme(path: &str) -> SecurityScheme {
    let token_url = format!("{path}/api/v1/auth/token");
    SecurityScheme::OAuth2(OAuth2::new([Flow::Password(Password::new(token_url, Scopes::new()))]))
}

pub(super) fn base_document() -> OpenApi {
    Document::openapi()
}
