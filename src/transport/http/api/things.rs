//! Resellers, customers, accounts, tariffs, NASes, carriers, connections: one set of routes for all.

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::Value;

use super::extract::{JsonBody, QueryOf, Unread};
use super::operator::Operator;
use super::problem::ApiError;
use super::records;
use crate::service::admin::Admin;
use crate::service::admin::change::Change;
use crate::service::admin::error::AdminError;
use crate::service::admin::setup::{ThingList, ThingView, Window};
use crate::service::admin::spec::NasProbeView;
use crate::service::admin::thing::Kind;

/// The nouns of the paths.
pub const NOUNS: [(&str, Kind); 7] = [
    ("resellers", Kind::Reseller),
    ("customers", Kind::Customer),
    ("accounts", Kind::Account),
    ("tariffs", Kind::Tariff),
    ("nas", Kind::Nas),
    ("carriers", Kind::Carrier),
    ("connections", Kind::Connection),
];

/// The routes of all nouns.
pub fn routes() -> Router<Admin> {
    let mut router = Router::new();
    for (noun, kind) in NOUNS {
        let all = get(move |admin: State<Admin>, query: QueryOf<ListQuery>| list(kind, admin, query)).post(
            move |admin: State<Admin>, operator: Operator, uri: Uri, body: JsonBody<Value>| {
                create(kind, admin, operator, uri, body)
            },
        );
        let one = get(move |admin: State<Admin>, id: Path<String>| show(kind, admin, id))
            .put(move |admin: State<Admin>, operator: Operator, id: Path<String>, body: JsonBody<Value>| {
                replace(kind, admin, operator, id, body)
            })
            .patch(move |admin: State<Admin>, operator: Operator, id: Path<String>, body: JsonBody<Value>| {
                merge(kind, admin, operator, id, body)
            })
            .delete(move |admin: State<Admin>, operator: Operator, id: Path<String>| remove(kind, admin, operator, id));
        router = router.route(&format!("/{noun}"), all).route(&format!("/{noun}/{{id}}"), one);
        if matches!(kind, Kind::Reseller | Kind::Customer) {
            router = router.route(&format!("/{noun}/{{id}}/entries"), records::entries_of(kind));
        }
    }
    router.route("/nas/{id}/probe", post(probe))
}

async fn probe(
    State(admin): State<Admin>,
    Operator(by): Operator,
    Path(id): Path<String>,
    _: Unread,
) -> Result<Json<NasProbeView>, ApiError> {
    Ok(Json(admin.probe_nas(&by, &id).await?))
}

/// Which part of a list is wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListQuery {
    reseller: Option<String>,
    customer: Option<String>,
    carrier: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

async fn list(
    kind: Kind,
    State(admin): State<Admin>,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<ThingList>, ApiError> {
    let given = [(Kind::Reseller, &query.reseller), (Kind::Customer, &query.customer), (Kind::Carrier, &query.carrier)];
    let narrowed_by = Admin::belongs_to(kind);
    let mut of = None;
    for (by, id) in given.into_iter().filter(|(_, id)| id.is_some()) {
        if narrowed_by != Some(by) {
            return Err(AdminError::BadRequest(format!("a {kind} does not belong to a {by}")).into());
        }
        of = id.as_deref();
    }
    let window = Window { of, cursor: query.cursor.as_deref(), limit: query.limit };
    Ok(Json(admin.list(kind, &window)?))
}

async fn show(kind: Kind, State(admin): State<Admin>, Path(id): Path<String>) -> Result<Json<ThingView>, ApiError> {
    Ok(Json(admin.show(kind, &id)?))
}

async fn create(
    kind: Kind,
    State(admin): State<Admin>,
    Operator(by): Operator,
    uri: Uri,
    JsonBody(spec): JsonBody<Value>,
) -> Result<Response, ApiError> {
    let made = admin.change(&by, kind, Change::Create(spec)).await?;
    let location = format!("/api/v1{}/{}", uri.path(), percent_encoded(&made.id));
    let view = Json(admin.show(kind, &made.id)?);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], view).into_response())
}

async fn replace(
    kind: Kind,
    State(admin): State<Admin>,
    Operator(by): Operator,
    Path(id): Path<String>,
    JsonBody(spec): JsonBody<Value>,
) -> Result<Response, ApiError> {
    let made = admin.change(&by, kind, Change::Replace { id, spec }).await?;
    let status = if made.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(admin.show(kind, &made.id)?)).into_response())
}

async fn merge(
    kind: Kind,
    State(admin): State<Admin>,
    Operator(by): Operator,
    Path(id): Path<String>,
    JsonBody(patch): JsonBody<Value>,
) -> Result<Json<ThingView>, ApiError> {
    let made = admin.change(&by, kind, Change::Merge { id, patch }).await?;
    Ok(Json(admin.show(kind, &made.id)?))
}

async fn remove(
    kind: Kind,
    State(admin): State<Admin>,
    Operator(by): Operator,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    admin.change(&by, kind, Change::Remove { id }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An id as a segment of a path (RFC 3986 2.3: what is not unreserved is encoded).
fn percent_encoded(id: &str) -> String {
    let mut encoded = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_id_is_a_segment_of_a_path() {
        assert_eq!(percent_encoded("a/b c@d"), "a%2Fb%20c%40d");
        assert_eq!(percent_encoded("127.0.0.1"), "127.0.0.1");
        assert_eq!(percent_encoded("ü"), "%C3%BC");
    }
}
