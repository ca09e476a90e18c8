//! The whole setup: made true, and written out.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::extract::{JsonBody, QueryOf};
use super::operator::Operator;
use super::problem::ApiError;
use crate::service::admin::Admin;
use crate::service::admin::spec::{ApplyReport, ApplyRequest, SetupFile};
use crate::service::admin::write::Secrets;

/// What an export is to have in it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportQuery {
    #[serde(default)]
    secrets: bool,
    #[serde(default = "yes")]
    rates: bool,
}

fn yes() -> bool {
    true
}

pub async fn apply(
    State(admin): State<Admin>,
    Operator(by): Operator,
    JsonBody(request): JsonBody<ApplyRequest>,
) -> Result<Json<ApplyReport>, ApiError> {
    Ok(Json(admin.apply(&by, request).await?))
}

pub async fn export(
    State(admin): State<Admin>,
    Operator(by): Operator,
    QueryOf(query): QueryOf<ExportQuery>,
) -> Result<Json<SetupFile>, ApiError> {
    let secrets = if query.secrets { Secrets::Shown } else { Secrets::Referred };
    if query.secrets {
        tracing::warn!(by, "the setup was exported with its secrets");
    }
    Ok(Json(admin.export(secrets, query.rates).await?))
}
