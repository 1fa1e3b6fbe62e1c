//! What describes the API.

mod openapi;
mod swagger_ui;
