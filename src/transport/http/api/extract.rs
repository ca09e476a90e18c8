//! Bodies and queries, read so that what cannot be read is told as a problem.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::problem::ApiError;
use crate::service::admin::error::AdminError;
use crate::service::admin::read::from_json;

/// A body of JSON.
pub struct JsonBody<T>(pub T);

/// A body of CSV.
pub struct CsvBody(pub Vec<u8>);

/// A body that says nothing, whatever is in it. It is taken all the same: a connection that is closed with
/// part of a request in it is reset, and the answer lost.
pub struct Unread;

/// The part of the address after the question mark.
pub struct QueryOf<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<JsonBody<T>, ApiError> {
        // A page of another site can send a form without asking first, but not JSON.
        expect_type(request.headers(), "application/json")?;
        let bytes = body(request, state).await?;
        let read = serde_json::from_slice(&bytes).or_else(|error| match error.classify() {
            // Once more in another way, which names every member that is wrong.
            serde_json::error::Category::Data => match serde_json::from_slice(&bytes) {
                Ok(value) => from_json(&value),
                Err(_) => Err(AdminError::fault("", error.to_string())),
            },
            _ => Err(AdminError::BadRequest(format!("the body is not JSON: {error}"))),
        })?;
        Ok(JsonBody(read))
    }
}

impl<S: Send + Sync> FromRequest<S> for CsvBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<CsvBody, ApiError> {
        expect_type(request.headers(), "text/csv")?;
        body(request, state).await.map(|bytes| CsvBody(bytes.into()))
    }
}

impl<S: Send + Sync> FromRequest<S> for Unread {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Unread, ApiError> {
        body(request, state).await.map(|_| Unread)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryOf<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<QueryOf<T>, ApiError> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(QueryOf(query)),
            Err(error) => Err(AdminError::BadRequest(error.body_text()).into()),
        }
    }
}

async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::with_status(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is too large: 64 MiB at most for rates and setup files, 1 MiB for all else",
        ),
        _ => AdminError::BadRequest(error.body_text()).into(),
    })
}

fn expect_type(headers: &HeaderMap, expected: &str) -> Result<(), ApiError> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    let detail = format!("the body must come as Content-Type: {expected}");
    Err(ApiError::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}
