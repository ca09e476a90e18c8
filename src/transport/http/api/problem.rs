//! Errors as `application/problem+json` (RFC 9457).

use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::service::admin::error::AdminError;
use crate::service::admin::spec::Problem;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An error as it is answered.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    error: AdminError,
}

impl ApiError {
    /// An error that only HTTP knows.
    pub fn with_status(status: StatusCode, detail: impl Into<String>) -> ApiError {
        ApiError { status, error: AdminError::BadRequest(detail.into()) }
    }

    /// The path is there, but not for this.
    pub fn method_not_allowed(method: &Method, path: &str) -> ApiError {
        ApiError::with_status(StatusCode::METHOD_NOT_ALLOWED, format!("{path} does not take {method}"))
    }
}

impl From<AdminError> for ApiError {
    fn from(error: AdminError) -> ApiError {
        let status = match &error {
            AdminError::NotFound { .. } => StatusCode::NOT_FOUND,
            AdminError::Refused(_) => StatusCode::CONFLICT,
            AdminError::BadRequest(_) => StatusCode::BAD_REQUEST,
            AdminError::Faults(_) => StatusCode::UNPROCESSABLE_ENTITY,
            AdminError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            AdminError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        ApiError { status, error }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let detail = self.error.to_string();
        let problem = Problem {
            kind: "about:blank".into(),
            title: self.status.canonical_reason().unwrap_or("Error").into(),
            status: self.status.as_u16(),
            detail,
            errors: match self.error {
                AdminError::Faults(faults) => faults,
                _ => Vec::new(),
            },
        };
        // Strings and numbers always make JSON.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        (self.status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response()
    }
}
