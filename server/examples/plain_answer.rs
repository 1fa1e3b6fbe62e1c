//! A baseline of `make bench`: a plain axum handler that returns a profile as JSON, measured with the same load.

use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let profile = || async {
        Json(json!({
            "id": 1, "username": "john", "email": "john@example.com", "name": "John Doe",
            "is_superuser": false, "is_active": true
        }))
    };
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8081".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, Router::new().route("/", get(profile))).await?;
    Ok(())
}
