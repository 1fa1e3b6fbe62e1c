//! `GET /.well-known/oauth-authorization-server`

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use latchkey_clients::KeyAlgorithm;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::prefix::path_of;
use crate::http::problem::Problem;
use crate::http::state::ApiState;

/// Where the metadata is.
pub const PATH: &str = "/.well-known/oauth-authorization-server";

/// What a program needs to know of this server (RFC 8414 §2). What is not said is not there: there is no
/// authorization endpoint, since nobody is sent here by a browser. The scopes of clients are not public.
#[derive(Serialize, ToSchema)]
pub struct MetadataBody {
    /// `iss` of every token.
    #[schema(example = "https://auth.example.com")]
    issuer: String,
    /// Where tokens are got by password or by refresh token.
    token_endpoint: String,
    /// How a registered client shows who it is, where clients can be registered; `none` is a client without a secret, or one
    /// that is not registered.
    #[schema(example = json!(["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]))]
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    /// The algorithms of assertions (`private_key_jwt`); absent where clients cannot be registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["ES256", "EdDSA", "RS256", "PS256"]))]
    token_endpoint_auth_signing_alg_values_supported: Option<[&'static str; 4]>,
    /// How tokens are got.
    #[schema(example = json!(["password", "refresh_token", "client_credentials"]))]
    grant_types_supported: Vec<&'static str>,
    /// None. RFC 8414 §2 requires the member, and §3.2 has no lists without elements; left out, more programs fail.
    response_types_supported: Vec<&'static str>,
    /// The public keys.
    jwks_uri: String,
    /// What a token is worth.
    introspection_endpoint: String,
    /// How a program shows there who it is; `Bearer` is a superuser's access token.
    #[schema(example = json!(["Bearer", "client_secret_basic", "client_secret_post", "private_key_jwt"]))]
    introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    /// As at the token endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    introspection_endpoint_auth_signing_alg_values_supported: Option<[&'static str; 4]>,
    /// Making a token worth nothing.
    revocation_endpoint: String,
    /// As at the introspection endpoint.
    #[schema(example = json!(["Bearer", "client_secret_basic", "client_secret_post", "private_key_jwt"]))]
    revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    /// As at the token endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_endpoint_auth_signing_alg_values_supported: Option<[&'static str; 4]>,
    /// For people.
    service_documentation: String,
}

/// Get the authorization server metadata
///
/// RFC 8414. If the issuer has a path, the same document is also served at this path followed by the issuer's (§3.1).
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server", tag = "keys", operation_id = "authorization_server",
    responses((status = 200, description = "The metadata", body = MetadataBody)),
)]
pub async fn authorization_server(State(state): State<ApiState>) -> Response {
    let service = &state.service;
    let body =
        build_metadata(service.issuer(), service.accepts_client_secrets(), service.registers_clients());
    ([(CACHE_CONTROL, "public, max-age=300")], Json(body)).into_response()
}

/// The same behind the issuer's path, and nothing behind another one: an answer there would speak of an issuer that
/// was not asked about (RFC 8414 §3.3).
pub async fn at_issuer_path(state: State<ApiState>, uri: Uri) -> Result<Response, Problem> {
    if uri.path().strip_prefix(PATH) == Some(path_of(state.service.issuer())) {
        Ok(authorization_server(state).await)
    } else {
        Err(Problem::new(StatusCode::NOT_FOUND, "There is nothing at this path."))
    }
}

fn build_metadata(issuer: &str, accepts_secrets: bool, registers_clients: bool) -> MetadataBody {
    const KEY_METHOD: &str = "private_key_jwt";
    const SECRET_METHODS: [&str; 2] = ["client_secret_basic", "client_secret_post"];
    let at = |path: &str| format!("{issuer}{path}");
    let mut methods = vec!["Bearer"];
    if accepts_secrets {
        methods.extend(SECRET_METHODS);
    }
    let mut token_methods = vec!["none"];
    let mut grants = vec!["password", "refresh_token"];
    if registers_clients {
        token_methods.extend(SECRET_METHODS);
        token_methods.push(KEY_METHOD);
        methods.push(KEY_METHOD);
        grants.extend(["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"]);
    }
    // RFC 8414 §2: required with `private_key_jwt`.
    let algorithms = registers_clients.then_some(KeyAlgorithm::NAMES);
    MetadataBody {
        issuer: issuer.to_owned(),
        token_endpoint: at("/api/v1/auth/token"),
        token_endpoint_auth_methods_supported: token_methods,
        token_endpoint_auth_signing_alg_values_supported: algorithms,
        grant_types_supported: grants,
        response_types_supported: vec![],
        jwks_uri: at("/.well-known/jwks.json"),
        introspection_endpoint: at("/api/v1/auth/introspect"),
        introspection_endpoint_auth_methods_supported: methods.clone(),
        introspection_endpoint_auth_signing_alg_values_supported: algorithms,
        revocation_endpoint: at("/api/v1/auth/revoke"),
        revocation_endpoint_auth_methods_supported: methods,
        revocation_endpoint_auth_signing_alg_values_supported: algorithms,
        service_documentation: at("/docs/"),
    }
}
