//! Statements and movements of money, CDRs, rejections, the audit.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use super::extract::{JsonBody, QueryOf};
use super::operator::Operator;
use super::problem::ApiError;
use crate::service::admin::spec::{AuditList, CdrList, EntryList, EntrySpec, RejectionList};
use crate::service::admin::thing::Kind;
use crate::service::admin::{Admin, AuditQuery, CdrQuery, EntryQuery, RejectionQuery};

/// The statement of a party, and what is added to it.
pub fn entries_of(kind: Kind) -> MethodRouter<Admin> {
    get(move |admin: State<Admin>, id: Path<String>, query: QueryOf<EntryQuery>| entries(kind, admin, id, query)).post(
        move |admin: State<Admin>, operator: Operator, id: Path<String>, body: JsonBody<EntrySpec>| {
            post_entry(kind, admin, operator, id, body)
        },
    )
}

async fn entries(
    kind: Kind,
    State(admin): State<Admin>,
    Path(id): Path<String>,
    QueryOf(query): QueryOf<EntryQuery>,
) -> Result<Json<EntryList>, ApiError> {
    Ok(Json(admin.entries(kind, &id, query).await?))
}

async fn post_entry(
    kind: Kind,
    State(admin): State<Admin>,
    Operator(by): Operator,
    Path(id): Path<String>,
    JsonBody(spec): JsonBody<EntrySpec>,
) -> Result<Response, ApiError> {
    let posted = admin.post_entry(&by, kind, &id, spec).await?;
    let status = if posted.known { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(posted)).into_response())
}

pub async fn cdrs(State(admin): State<Admin>, QueryOf(query): QueryOf<CdrQuery>) -> Result<Json<CdrList>, ApiError> {
    Ok(Json(admin.cdrs(query).await?))
}

pub async fn rejections(
    State(admin): State<Admin>,
    QueryOf(query): QueryOf<RejectionQuery>,
) -> Result<Json<RejectionList>, ApiError> {
    Ok(Json(admin.rejections(query).await?))
}

pub async fn audit(
    State(admin): State<Admin>,
    QueryOf(query): QueryOf<AuditQuery>,
) -> Result<Json<AuditList>, ApiError> {
    Ok(Json(admin.audit(query).await?))
}
