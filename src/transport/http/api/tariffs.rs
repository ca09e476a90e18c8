//! The rates of a tariff as CSV, and what a call would cost by them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::extract::{CsvBody, QueryOf};
use super::operator::Operator;
use super::problem::ApiError;
use crate::service::admin::Admin;
use crate::service::admin::spec::{RateImportReport, RateTestView};

/// Which rates are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExportQuery {
    prefix: String,
}

/// How rates are taken.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImportQuery {
    dry_run: bool,
}

/// A call that is asked about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateTestQuery {
    number: String,
    account: String,
    seconds: Option<u64>,
    nas: Option<String>,
}

pub async fn export(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    QueryOf(query): QueryOf<ExportQuery>,
) -> Result<Response, ApiError> {
    let csv = admin.export_rates(&id, &query.prefix).await?;
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], csv).into_response())
}

pub async fn import(
    State(admin): State<Admin>,
    Operator(by): Operator,
    Path(id): Path<String>,
    QueryOf(query): QueryOf<ImportQuery>,
    CsvBody(csv): CsvBody,
) -> Result<Json<RateImportReport>, ApiError> {
    Ok(Json(admin.import_rates(&by, &id, csv, query.dry_run).await?))
}

pub async fn rate_test(
    State(admin): State<Admin>,
    QueryOf(query): QueryOf<RateTestQuery>,
) -> Result<Json<RateTestView>, ApiError> {
    Ok(Json(admin.rate_test(&query.number, &query.account, query.seconds, query.nas.as_deref()).await?))
}
