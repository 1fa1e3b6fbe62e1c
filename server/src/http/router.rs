//! The whole route table.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{any, get};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::browser::BrowserPolicy;
use super::content::JSON;
use super::management::{self, ManagementState};
use super::middleware::Observation;
use super::pages::address::AddressPage;
use super::prefix::{VERIFY, path_of, serve_below};
use super::problem::Problem;
use super::state::ApiState;
use super::{arrival, audit, auth, cors, docs, groups, middleware, pages, users, well_known};

/// The documented routes: what is in the OpenAPI document is what is served.
fn documented_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(docs::base_document())
        .routes(routes!(auth::login::login))
        .routes(routes!(auth::token::token))
        .routes(routes!(auth::refresh::refresh))
        .routes(routes!(auth::me::me))
        .routes(routes!(auth::logout::logout))
        .routes(routes!(auth::password_recovery::recover_password))
        .routes(routes!(auth::reset_password::reset_password))
        .routes(routes!(auth::introspect::introspect))
        .routes(routes!(auth::revoke::revoke))
        .routes(routes!(auth::register::register))
        .routes(routes!(auth::verify_email::verify_email))
        .routes(routes!(auth::resend_verification::resend_verification))
        .routes(routes!(auth::change_profile::change_profile))
        .routes(routes!(auth::preferences::preferences))
        .routes(routes!(auth::change_password::change_password))
        .routes(routes!(auth::change_email::change_email))
        .routes(routes!(auth::confirm_email::confirm_email))
        .routes(routes!(auth::delete_account::delete_account))
        .routes(routes!(auth::list_sessions::list_sessions))
        .routes(routes!(auth::end_session::end_session))
        .routes(routes!(auth::logout_all::logout_all))
        .routes(routes!(well_known::authorization_server::authorization_server))
        .routes(routes!(users::list::list_users, users::create::create_user))
        .routes(routes!(users::read::read_user, users::change::change_user, users::delete::delete_user))
        .routes(routes!(users::end_sessions::end_user_sessions))
        .routes(routes!(users::start_reset::start_user_reset))
        .routes(routes!(users::list_groups::list_user_groups))
        .routes(routes!(groups::list::list_groups, groups::create::create_group))
        .routes(routes!(groups::read::read_group, groups::change::change_group, groups::delete::delete_group))
        .routes(routes!(groups::list_members::list_members))
        .routes(routes!(groups::add_member::add_member, groups::remove_member::remove_member))
        .routes(routes!(audit::list::list_audit))
        .routes(routes!(well_known::jwks::jwks))
        .route_layer(from_fn(arrival::await_body))
        // Does not wait for the body: a proxy may send only the head of a request.
        .routes(routes!(auth::verify::verify).layer(from_fn(arrival::answer_in_time)))
        // May wait for a change.
        .routes(routes!(auth::revocations::revocations).layer(from_fn(arrival::answer_after_waiting)))
}

/// The OpenAPI 3.1 document, generated from the handlers.
pub fn openapi_document() -> OpenApi {
    docs::finish(documented_routes().split_for_parts().1)
}

/// The pages of links in e-mails.
fn pages() -> Router<ApiState> {
    Router::new()
        .route("/reset-password", get(pages::reset_password::show).post(pages::reset_password::submit))
        .route("/verify-email", AddressPage::New.route())
        .route("/confirm-email", AddressPage::Changed.route())
        .route_layer(from_fn(arrival::await_body))
}

/// Forward authentication with any method, and with any path behind it.
fn verify_routes() -> Router<ApiState> {
    Router::new()
        .route(VERIFY, any(auth::verify::verify))
        .route("/api/v1/auth/verify/", any(auth::verify::verify))
        .route("/api/v1/auth/verify/{*path}", any(auth::verify::verify))
        .route_layer(from_fn(arrival::answer_in_time))
}

/// Swagger UI below a path. What it loads is relative to its own address.
fn swagger_ui(path: &str) -> Router<ApiState> {
    let redirected = HeaderValue::from_str(&format!("{path}/docs/")).ok();
    let redirect = move |mut response: Response| {
        if let (Some(location), Some(redirected)) = (response.headers_mut().get_mut(LOCATION), &redirected) {
            location.clone_from(redirected);
        }
        std::future::ready(response)
    };
    Router::from(SwaggerUi::new("/docs").config(Config::from("../openapi.json")))
        .layer(map_response(redirect))
}

/// The public API.
///
/// # Errors
/// When the OpenAPI document has no JSON form: a fault of its definitions.
pub fn api_router(state: ApiState, browsers: BrowserPolicy) -> serde_json::Result<Router> {
    let (router, document) = documented_routes().split_for_parts();
    let observation = Arc::new(Observation { state: state.clone(), browsers: browsers.clone() });
    let bases = [state.service.issuer().to_owned(), state.service.public_base().to_owned()];
    // As text: the tree of the document would take more memory for as long as the server runs.
    let document = Bytes::from(docs::at_path(docs::finish(document), path_of(&bases[0])).to_json()?);
    let json = HeaderValue::from_static(JSON);
    let router = router
        .merge(pages())
        // Proxies may send the method of the request that they ask about; Envoy also sends its path, behind this one.
        .merge(verify_routes())
        .route(
            "/.well-known/oauth-authorization-server/{*path}",
            get(well_known::authorization_server::at_issuer_path),
        )
        .route("/openapi.json", get(async move || ([(CONTENT_TYPE, json)], document)))
        // Relative to `/docs/`, wherever that is.
        .merge(swagger_ui(path_of(&bases[0])))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "There is nothing at this path."))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "This path does not know that method.")
        })
        // The outermost layer: gives every request its id and every problem its body.
        .layer(from_fn_with_state(observation, middleware::observe))
        .with_state(state);
    // Without origins there is no CORS at all: the browser then keeps every other origin's page from reading an answer, and
    // from asking for more than a form can.
    let router = if browsers.origins().is_empty() {
        router
    } else {
        router.layer(from_fn_with_state(browsers, cors::allow_origins))
    };
    Ok(serve_below(&bases.each_ref().map(String::as_str), router))
}

/// Health, readiness, metrics and status, on the management port.
pub fn management_router(state: ManagementState) -> Router {
    Router::new()
        .route("/livez", get(management::livez))
        .route("/readyz", get(management::readyz))
        .route("/startup", get(management::startup))
        .route("/metrics", get(management::metrics))
        .route("/status", get(management::status))
        .layer(from_fn(arrival::answer_in_time_without_problem))
        .with_state(state)
}
