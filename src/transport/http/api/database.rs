//! Copies and checks of what is stored, and how the daemon is.

use axum::Json;
use axum::extract::State;

use super::extract::JsonBody;
use super::problem::ApiError;
use crate::service::admin::Admin;
use crate::service::admin::spec::{BackupRequest, BackupView, StatusView, VerifyView};

pub async fn backup(
    State(admin): State<Admin>,
    JsonBody(request): JsonBody<BackupRequest>,
) -> Result<Json<BackupView>, ApiError> {
    Ok(Json(admin.backup(request).await?))
}

pub async fn verify(State(admin): State<Admin>) -> Result<Json<VerifyView>, ApiError> {
    Ok(Json(admin.verify().await?))
}

pub async fn status(State(admin): State<Admin>) -> Json<StatusView> {
    Json(admin.status())
}
