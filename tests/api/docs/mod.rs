//! The documentation of the API.

mod openapi;
mod swagger_ui;
