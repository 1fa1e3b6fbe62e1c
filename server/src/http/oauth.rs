//! Errors of the OAuth endpoints: `/token` (RFC 6749 §5.2), `/introspect` (RFC 7662 §2.3) and `/revoke` (RFC 7009 §2.2.1).

use axum::http::StatusCode;

use super::problem::Problem;
use crate::service::ServiceError;

/// The endpoints whose errors are those of RFC 6749 §5.2, whatever layer they come from.
const OAUTH_ROUTES: [&str; 3] = ["/api/v1/auth/token", "/api/v1/auth/introspect", "/api/v1/auth/revoke"];

/// By the path, not the route: a misspelt address of an OAuth endpoint is answered to an OAuth client too.
pub fn is_oauth_path(path: &str) -> bool {
    let below =
        |route: &str| path.strip_prefix(route).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    OAUTH_ROUTES.into_iter().any(below)
}

/// The problem with the `error` that the RFCs have for it.
pub fn oauth_problem(error: ServiceError) -> Problem {
    let name = error_name(&error);
    Problem::from(error).with_oauth_error(name)
}

/// The same for a grant that was asked for at `/token`: a grant that is not valid, or whose account may not log in, is `400`
/// (RFC 6749 §5.2). `401` is for a client that fails to authenticate.
pub fn grant_problem(error: ServiceError) -> Problem {
    let problem = oauth_problem(error);
    if problem.oauth_error() == Some("invalid_grant") {
        problem.with_status(StatusCode::BAD_REQUEST)
    } else {
        problem
    }
}

/// Without a wildcard, so that a new error is decided here too: clients take `server_error` for a fault of ours, and
/// monitoring counts it as one.
fn error_name(error: &ServiceError) -> &'static str {
    match error {
        ServiceError::InvalidCredentials
        | ServiceError::InvalidRefreshToken
        | ServiceError::Deactivated
        | ServiceError::Unverified
        | ServiceError::NotAllowedClient => "invalid_grant",
        ServiceError::InvalidClient => "invalid_client",
        ServiceError::UnauthorizedClient(_) => "unauthorized_client",
        ServiceError::InvalidScope => "invalid_scope",
        // RFC 8707 §2
        ServiceError::InvalidTarget(_) => "invalid_target",
        ServiceError::InvalidAccessToken => "invalid_token",
        ServiceError::NotSuperuser
        | ServiceError::NotPermitted(_)
        | ServiceError::InsufficientScope(_)
        | ServiceError::HoldsMore => "insufficient_scope",
        ServiceError::Invalid(_)
        // RFC 8693 §2.2.2
        | ServiceError::InvalidSubjectToken
        | ServiceError::InvalidOneTimeToken
        | ServiceError::RegistrationDisabled
        | ServiceError::AccountDeletionDisabled
        | ServiceError::LastSuperuser
        | ServiceError::NotFound
        | ServiceError::Conflict(_)
        | ServiceError::UnknownAccount
        | ServiceError::UnknownGroup
        | ServiceError::AccountInactive => "invalid_request",
        ServiceError::MailDisabled
        | ServiceError::InvitationNeedsMail
        | ServiceError::RateLimited(_)
        | ServiceError::Overloaded(_)
        | ServiceError::Unavailable(_) => "temporarily_unavailable",
        ServiceError::Internal(_) => "server_error",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};

    use super::*;
    use crate::domain::Permission;
    use crate::store::Conflict;

    /// One of each: [`error_name`] does not compile without a decision about a new one.
    fn every_error() -> Vec<ServiceError> {
        let wait = Duration::from_millis(1500);
        vec![
            ServiceError::InvalidCredentials,
            ServiceError::Deactivated,
            ServiceError::Unverified,
            ServiceError::NotAllowedClient,
            ServiceError::InvalidAccessToken,
            ServiceError::InvalidRefreshToken,
            ServiceError::InvalidClient,
            ServiceError::UnauthorizedClient("refused"),
            ServiceError::InvalidScope,
            ServiceError::InvalidTarget("refused"),
            ServiceError::InvalidSubjectToken,
            ServiceError::InvalidOneTimeToken,
            ServiceError::NotSuperuser,
            ServiceError::NotPermitted(Permission::UsersRead),
            ServiceError::HoldsMore,
            ServiceError::RegistrationDisabled,
            ServiceError::AccountDeletionDisabled,
            ServiceError::LastSuperuser,
            ServiceError::NotFound,
            ServiceError::Conflict(Conflict::Email),
            ServiceError::UnknownAccount,
            ServiceError::UnknownGroup,
            ServiceError::AccountInactive,
            ServiceError::InvitationNeedsMail,
            ServiceError::Invalid(Vec::new()),
            ServiceError::MailDisabled,
            ServiceError::RateLimited(wait),
            ServiceError::Overloaded(wait),
            ServiceError::Unavailable("down".to_owned()),
            ServiceError::Internal("broken".to_owned()),
        ]
    }

    #[test]
    fn only_a_fault_of_ours_is_a_server_error_and_only_what_passes_is_temporary() {
        let endpoints: [fn(ServiceError) -> Problem; 2] = [oauth_problem, grant_problem];
        for endpoint in endpoints {
            for error in every_error() {
                let name = error_name(&error);
                let told = format!("{error:?}");
                let internal = matches!(error, ServiceError::Internal(_));
                let problem = endpoint(error);
                let status = problem.status();
                assert_eq!(name == "server_error", internal, "{told}");
                assert_eq!(status == StatusCode::INTERNAL_SERVER_ERROR, internal, "{told}");
                let passes =
                    [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status);
                assert_eq!(name == "temporarily_unavailable", passes, "{told}");
                let answer = problem.render("id");
                assert_eq!(answer.headers().contains_key(RETRY_AFTER), passes, "{told}");
            }
        }
    }

    #[test]
    fn an_invalid_grant_is_a_bad_request_without_a_challenge() {
        for error in every_error() {
            let is_invalid_grant = error_name(&error) == "invalid_grant";
            let told = format!("{error:?}");
            let answer = grant_problem(error).render("id");
            if is_invalid_grant {
                assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{told}");
            }
            let is_unauthorized = answer.status() == StatusCode::UNAUTHORIZED;
            assert_eq!(answer.headers().contains_key(WWW_AUTHENTICATE), is_unauthorized, "{told}");
        }
    }
}
