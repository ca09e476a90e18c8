//! The operators' API: JSON over HTTP under `/api/v1`, on a Unix socket and, where wanted, on loopback.
//!
//! Handlers only translate: what they do is in [`crate::service::admin`], the names in its `spec`.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware;
use axum::routing::{get, post, put};

use crate::service::admin::Admin;
use crate::service::admin::error::AdminError;

// Who comes in, and how.
pub mod listen;
mod operator;

// How requests are read and errors told.
mod extract;
mod problem;

// What is offered, one noun a file.
mod calls;
mod database;
mod openapi;
mod records;
mod setup;
mod tariffs;
mod things;

use problem::ApiError;

/// Largest body of a request.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Largest body that brings rates along.
const RATES_BYTES_MAX: usize = 64 << 20;

/// All routes.
pub fn router(admin: Admin) -> Router {
    let with_rates = DefaultBodyLimit::max(RATES_BYTES_MAX);
    let api = things::routes()
        .route("/tariffs/{id}/rates", get(tariffs::export).merge(put(tariffs::import).layer(with_rates)))
        .route("/rate-test", get(tariffs::rate_test))
        .route("/apply", post(setup::apply).layer(with_rates))
        .route("/export", get(setup::export))
        .route("/calls", get(calls::list))
        .route("/calls/{id}", get(calls::show))
        .route("/calls/{id}/log", get(calls::log))
        .route("/calls/{id}/remove", post(calls::remove))
        .route("/calls/{id}/disconnect", post(calls::disconnect))
        .route("/call-actions", post(calls::act))
        .route("/cdrs", get(records::cdrs))
        .route("/rejections", get(records::rejections))
        .route("/audit", get(records::audit))
        .route("/db/backup", post(database::backup))
        .route("/db/verify", get(database::verify))
        .route("/status", get(database::status))
        .route("/openapi.json", get(openapi::show));
    Router::new()
        .nest("/api/v1", api)
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(operator::note_changes))
        .layer(middleware::from_fn(operator::refuse_foreign_pages))
        .with_state(admin)
}

async fn no_such_path(uri: Uri) -> ApiError {
    AdminError::NotFound { kind: "path", id: uri.path().to_owned() }.into()
}

async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    ApiError::method_not_allowed(&method, uri.path())
}
