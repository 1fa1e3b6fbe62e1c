//! Sets of error responses for the OpenAPI document; each endpoint lists the sets that apply to it.

use std::collections::BTreeMap;

use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use super::problem::ProblemBody;

type Responses = BTreeMap<String, RefOr<Response>>;

fn problems(rows: &[(&str, &str)]) -> Responses {
    let schema = Ref::from_schema_name(ProblemBody::name());
    let row = |(status, description): &(&str, &str)| {
        let content = ContentBuilder::new().schema(Some(schema.clone())).build();
        let response = ResponseBuilder::new()
            .description(*description)
            .content("application/problem+json", content)
            .build();
        ((*status).to_owned(), RefOr::T(response))
    };
    rows.iter().map(row).collect()
}

macro_rules! problem_sets {
    ($($(#[$doc:meta])* $name:ident { $($row:expr),+ $(,)? })+) => {$(
        $(#[$doc])*
        pub struct $name;

        impl IntoResponses for $name {
            fn responses() -> Responses {
                problems(&[$($row),+])
            }
        }
    )+};
}

problem_sets! {
    /// Of an endpoint that reads a JSON body.
    JsonProblems {
        ("400", "Malformed request"),
        ("413", "Request body too large"),
        ("415", "Not JSON"),
        ("422", "A field is not valid"),
    }
    /// Of an endpoint that reads a form.
    FormProblems {
        ("400", "Malformed request"),
        ("413", "Request body too large"),
        ("415", "Not a form"),
        ("422", "A field is missing or not valid"),
    }
    /// Of an endpoint that checks a username and a password.
    CredentialsProblem { ("401", "Wrong username or password") }
    /// Of an endpoint that reads parameters of its URL.
    QueryProblems { ("400", "Malformed request"), ("422", "A parameter is not valid") }
    /// Of an endpoint that needs an access token.
    BearerProblems { ("401", "No valid access token") }
    /// Of an endpoint that needs a permission.
    PermissionProblems { ("401", "No valid access token"), ("403", "Not permitted") }
    /// Of an endpoint for programs, which authenticate with a client secret or a superuser's access token.
    ClientProblems { ("401", "No valid client secret or access token"), ("403", "Not a superuser") }
    /// Of an endpoint that addresses one resource by its id.
    NotFoundProblem { ("404", "Not found") }
    /// Of every endpoint that reads a body.
    LateProblem { ("408", "The body did not arrive in time") }
    /// Of a rate-limited endpoint.
    LimitedProblem { ("429", "Too many requests; Retry-After gives the wait") }
    /// Of an endpoint that uses the database or Redis.
    UnavailableProblem { ("503", "Overloaded, or a dependency is down; Retry-After gives the wait") }
}
