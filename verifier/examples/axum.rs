//! An axum application that verifies access tokens itself and follows the feed of revocations.
//!
//! ```sh
//! ISSUER=https://auth.example.com AUDIENCE=https://orders.example.com \
//!   CLIENT_ID=orders CLIENT_SECRET=… cargo run --example axum
//! ```

use std::env;
use std::time::Duration;

use axum::extract::Extension;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use latchkey_verifier::{FeedClient, Token, Verifier};

/// For everybody with a valid token.
async fn whoami(Extension(token): Extension<Token>) -> String {
    format!("subject {} with the scopes \"{}\"\n", token.sub, token.scope)
}

async fn list_orders() -> Json<Vec<u32>> {
    Json(vec![1, 2, 3])
}

fn router(verifier: &Verifier) -> Router {
    let ready = {
        let verifier = verifier.clone();
        async move || if verifier.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
    };
    Router::new()
        .route("/whoami", get(whoami).layer(verifier.layer()))
        .route("/orders", get(list_orders).layer(verifier.layer().scope("orders:read")))
        .route("/reports", get(list_orders).layer(verifier.layer().people_only().group("accounting")))
        .route("/readyz", get(ready))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut builder = Verifier::builder(&env::var("ISSUER")?, &env::var("AUDIENCE")?)
        .leeway(Duration::from_secs(10))
        .max_staleness(Duration::from_secs(30));
    if let Ok(server) = env::var("SERVER") {
        builder = builder.server(&server);
    }
    if let (Ok(id), Ok(secret)) = (env::var("CLIENT_ID"), env::var("CLIENT_SECRET")) {
        builder = builder.feed(FeedClient::new(id, secret));
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
    axum::serve(listener, router(&builder.start())).await?;
    Ok(())
}
