//! Calls: listed, shown, their logs, removed, disconnected.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::extract::{JsonBody, QueryOf, Unread};
use super::operator::Operator;
use super::problem::ApiError;
use crate::service::admin::spec::{CallActionList, CallActionSpec, CallActionView, CallList, CallLogView, CallView};
use crate::service::admin::{Admin, CallFilter};

pub async fn list(
    State(admin): State<Admin>,
    QueryOf(filter): QueryOf<CallFilter>,
) -> Result<Json<CallList>, ApiError> {
    Ok(Json(admin.calls(filter).await?))
}

pub async fn show(State(admin): State<Admin>, Path(id): Path<String>) -> Result<Json<CallView>, ApiError> {
    Ok(Json(admin.call(&id).await?))
}

pub async fn log(State(admin): State<Admin>, Path(id): Path<String>) -> Result<Json<CallLogView>, ApiError> {
    Ok(Json(admin.call_log(&id).await?))
}

pub async fn remove(
    State(admin): State<Admin>,
    Operator(by): Operator,
    Path(id): Path<String>,
    _: Unread,
) -> Result<Json<CallActionView>, ApiError> {
    Ok(Json(admin.remove_call(&by, &id).await?))
}

pub async fn disconnect(
    State(admin): State<Admin>,
    Operator(by): Operator,
    Path(id): Path<String>,
    _: Unread,
) -> Result<(StatusCode, Json<CallActionView>), ApiError> {
    Ok((StatusCode::ACCEPTED, Json(admin.disconnect_call(&by, &id).await?)))
}

pub async fn act(
    State(admin): State<Admin>,
    Operator(by): Operator,
    JsonBody(spec): JsonBody<CallActionSpec>,
) -> Result<Json<CallActionList>, ApiError> {
    Ok(Json(admin.act_on_calls(&by, spec).await?))
}
