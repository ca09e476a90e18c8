//! `/openapi.json`: the whole API as OpenAPI 3.1.
//!
//! The schemas are read from the source of the types themselves, docs included, so that they cannot
//! say anything else; the paths are the table below, which a test holds against the router.

use std::sync::OnceLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::things::NOUNS;
use crate::service::admin::thing::Kind;

const SPEC_SOURCE: &str = include_str!("../../../service/admin/spec.rs");

/// One thing that can be asked for.
struct Operation {
    method: &'static str,
    path: String,
    summary: &'static str,
    /// Names of the query's members.
    query: &'static [&'static str],
    /// The schema of the body, or a content type.
    request: Option<&'static str>,
    status: &'static str,
    /// The schema of the answer, a content type, or nothing.
    response: Option<&'static str>,
}

pub async fn show() -> Response {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    let document = DOCUMENT.get_or_init(|| document().to_string());
    ([(header::CONTENT_TYPE, "application/json")], document.as_str()).into_response()
}

fn document() -> Value {
    let mut paths = Map::new();
    for operation in operations() {
        let item = paths.entry(operation.path.clone()).or_insert_with(|| json!({}));
        if let Value::Object(methods) = item {
            methods.insert(operation.method.into(), described(&operation));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "ringfence",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Resellers, customers, accounts, tariffs, gateways and calls of a running ringfence",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/api/v1" }],
        "paths": paths,
        "components": { "schemas": schemas(SPEC_SOURCE) },
    })
}

fn described(operation: &Operation) -> Value {
    let mut parameters = Vec::new();
    if operation.path.contains("{id}") {
        parameters.push(json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}));
    }
    for name in operation.query {
        parameters.push(json!({"name": name, "in": "query", "schema": {"type": query_type(name)}}));
    }
    let problem = json!({"$ref": "#/components/schemas/Problem"});
    let mut described = json!({
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {
            operation.status: answer(operation.response),
            "default": {
                "description": "What went wrong (RFC 9457)",
                "content": {"application/problem+json": {"schema": problem}},
            },
        },
    });
    if let (Some(request), Value::Object(members)) = (operation.request, &mut described) {
        members.insert("requestBody".into(), json!({"required": true, "content": content(request)}));
    }
    described
}

fn answer(response: Option<&str>) -> Value {
    match response {
        Some(response) => json!({"description": "Done", "content": content(response)}),
        None => json!({"description": "Done"}),
    }
}

fn content(schema: &str) -> Value {
    match schema {
        "text/csv" => json!({"text/csv": {"schema": {"type": "string"}}}),
        "merge" => json!({"application/json": {"schema": {"type": "object"}}}),
        _ => json!({"application/json": {"schema": reference(schema)}}),
    }
}

fn query_type(name: &str) -> &'static str {
    match name {
        "limit" | "seconds" => "integer",
        "dry_run" | "secrets" | "rates" | "ended" | "stale" => "boolean",
        _ => "string",
    }
}

fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    for (noun, kind) in NOUNS {
        let (spec, view, list, query) = names_of(kind);
        let operation = |method, path: &str, summary, query, request, status, response| Operation {
            method,
            path: path.replace("NOUN", noun),
            summary,
            query,
            request,
            status,
            response,
        };
        all.push(operation("get", "/NOUN", "List", query, None, "200", Some(list)));
        all.push(operation("post", "/NOUN", "Make a new one", &[], Some(spec), "201", Some(view)));
        all.push(operation("get", "/NOUN/{id}", "Show", &[], None, "200", Some(view)));
        all.push(operation("put", "/NOUN/{id}", "Make or replace", &[], Some(spec), "200", Some(view)));
        all.push(operation("patch", "/NOUN/{id}", "Change in part (RFC 7396)", &[], Some("merge"), "200", Some(view)));
        all.push(operation("delete", "/NOUN/{id}", "Remove", &[], None, "204", None));
        if matches!(kind, Kind::Reseller | Kind::Customer) {
            let path = "/NOUN/{id}/entries";
            let query = &["from", "to", "kind", "limit", "cursor"];
            all.push(operation("get", path, "Statement", query, None, "200", Some("EntryList")));
            all.push(operation("post", path, "Move money", &[], Some("EntrySpec"), "201", Some("PostedView")));
        }
    }
    let operation = |method, path: &str, summary, query, request, status, response| Operation {
        method,
        path: path.to_owned(),
        summary,
        query,
        request,
        status,
        response,
    };
    let calls: &[&str] = &[
        "customer",
        "reseller",
        "account",
        "nas",
        "carrier",
        "connection",
        "state",
        "number",
        "conf_id",
        "acct_session_id",
        "ended",
        "stale",
        "limit",
        "cursor",
    ];
    let cdrs: &[&str] = &[
        "from",
        "to",
        "customer",
        "reseller",
        "account",
        "caller",
        "callee",
        "call_id",
        "result",
        "record_type",
        "nas",
        "carrier",
        "limit",
        "cursor",
    ];
    let rejections: &[&str] = &["from", "to", "reason", "account", "nas", "limit", "cursor"];
    let audit: &[&str] = &["from", "to", "by", "about", "limit", "cursor"];
    let test: &[&str] = &["number", "account", "seconds", "nas"];
    let rates = "/tariffs/{id}/rates";
    let many_calls = Some("CallActionSpec");
    all.extend([
        operation("get", rates, "Rates as CSV", &["prefix"], None, "200", Some("text/csv")),
        operation("put", rates, "Other rates", &["dry_run"], Some("text/csv"), "200", Some("RateImportReport")),
        operation("get", "/rate-test", "What a call would cost", test, None, "200", Some("RateTestView")),
        operation("post", "/apply", "Make a setup file true", &[], Some("ApplyRequest"), "200", Some("ApplyReport")),
        operation("get", "/export", "The present setup", &["secrets", "rates"], None, "200", Some("SetupFile")),
        operation("post", "/nas/{id}/probe", "What can be learnt of it", &[], None, "200", Some("NasProbeView")),
        operation("get", "/calls", "Calls in progress", calls, None, "200", Some("CallList")),
        operation("get", "/calls/{id}", "A call by any of its ids", &[], None, "200", Some("CallView")),
        operation("get", "/calls/{id}/log", "Its log", &[], None, "200", Some("CallLogView")),
        operation("post", "/calls/{id}/remove", "Out of the registry", &[], None, "200", Some("CallActionView")),
        operation("post", "/calls/{id}/disconnect", "End it", &[], None, "202", Some("CallActionView")),
        operation("post", "/call-actions", "The same to many", &[], many_calls, "200", Some("CallActionList")),
        operation("get", "/cdrs", "Call detail records", cdrs, None, "200", Some("CdrList")),
        operation("get", "/rejections", "Rejected requests", rejections, None, "200", Some("RejectionList")),
        operation("get", "/audit", "Changes by operators", audit, None, "200", Some("AuditList")),
        operation("post", "/db/backup", "Copy the databases", &[], Some("BackupRequest"), "200", Some("BackupView")),
        operation("get", "/db/verify", "Check what is stored", &[], None, "200", Some("VerifyView")),
        operation("get", "/status", "How the daemon is", &[], None, "200", Some("StatusView")),
    ]);
    all
}

/// Spec, view and list of a kind, and by what its list is narrowed down.
fn names_of(kind: Kind) -> (&'static str, &'static str, &'static str, &'static [&'static str]) {
    match kind {
        Kind::Reseller => ("ResellerSpec", "PartyView", "ResellerList", &["reseller", "limit", "cursor"]),
        Kind::Customer => ("CustomerSpec", "PartyView", "CustomerList", &["reseller", "limit", "cursor"]),
        Kind::Account => ("AccountSpec", "AccountView", "AccountList", &["customer", "limit", "cursor"]),
        Kind::Tariff => ("TariffSpec", "TariffView", "TariffList", &["limit", "cursor"]),
        Kind::Nas => ("NasSpec", "NasView", "NasList", &["limit", "cursor"]),
        Kind::Carrier => ("CarrierSpec", "CarrierView", "CarrierList", &["limit", "cursor"]),
        Kind::Connection => ("ConnectionSpec", "ConnectionView", "ConnectionList", &["carrier", "limit", "cursor"]),
    }
}

// What follows reads Rust as it is formatted here: one struct member a line, docs and attributes above.

/// The schemas of all structs of a source.
fn schemas(source: &str) -> Map<String, Value> {
    let mut schemas = Map::new();
    let mut notes = Notes::default();
    let mut open: Option<Schema> = None;
    for line in source.lines().map(str::trim).take_while(|line| *line != "#[cfg(test)]") {
        if let Some(text) = line.strip_prefix("///") {
            notes.docs.push(text.trim().to_owned());
        } else if line.starts_with("#[") {
            notes.attributes.push_str(line);
        } else if let Some(name) = struct_name(line) {
            open = Some(Schema::new(name, std::mem::take(&mut notes)));
        } else if line == "}" {
            schemas.extend(open.take().map(Schema::close));
        } else if let (Some(schema), Some((name, kind))) = (&mut open, member(line)) {
            schema.add(name, kind, std::mem::take(&mut notes));
        } else if let Some((list, member, view)) = list_row(line) {
            let description = std::mem::take(&mut notes).description();
            schemas.insert(list.to_owned(), list_schema(member, view, &description));
        } else {
            notes = Notes::default();
        }
    }
    schemas
}

#[derive(Default)]
struct Notes {
    docs: Vec<String>,
    attributes: String,
}

impl Notes {
    fn description(&self) -> String {
        self.docs.join(" ")
    }
}

struct Schema {
    name: String,
    description: String,
    is_closed: bool,
    properties: Map<String, Value>,
    required: Vec<String>,
}

impl Schema {
    fn new(name: &str, notes: Notes) -> Schema {
        Schema {
            name: name.to_owned(),
            description: notes.description(),
            is_closed: notes.attributes.contains("deny_unknown_fields"),
            properties: Map::new(),
            required: Vec::new(),
        }
    }

    fn add(&mut self, name: &str, kind: &str, notes: Notes) {
        let renamed = notes.attributes.split_once("rename = \"").and_then(|(_, rest)| rest.split_once('"'));
        let name = renamed.map_or(name, |(renamed, _)| renamed);
        let mut schema = type_schema(kind);
        if let Value::Object(members) = &mut schema {
            members.insert("description".into(), notes.description().into());
        }
        self.properties.insert(name.to_owned(), schema);
        if !notes.attributes.contains("default") {
            self.required.push(name.to_owned());
        }
    }

    fn close(self) -> (String, Value) {
        let mut schema = json!({
            "type": "object",
            "description": self.description,
            "properties": self.properties,
            "required": self.required,
        });
        if let (true, Value::Object(members)) = (self.is_closed, &mut schema) {
            members.insert("additionalProperties".into(), false.into());
        }
        (self.name, schema)
    }
}

fn struct_name(line: &str) -> Option<&str> {
    line.strip_prefix("pub struct ")?.strip_suffix(" {").filter(|name| !name.starts_with('$'))
}

fn member(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("pub ")?.strip_suffix(',')?.split_once(": ").filter(|(name, _)| !name.starts_with('$'))
}

/// A row of the macro that makes the lists: `CallList { calls: CallView }`.
fn list_row(line: &str) -> Option<(&str, &str, &str)> {
    let (list, rest) = line.strip_suffix(" }")?.split_once(" { ")?;
    let (member, view) = rest.split_once(": ")?;
    list.chars().all(char::is_alphanumeric).then_some((list, member, view))
}

fn list_schema(member: &str, view: &str, description: &str) -> Value {
    json!({
        "type": "object",
        "description": description,
        "properties": {
            member: {"type": "array", "items": reference(view)},
            "next": {"type": "string", "description": "The cursor of the next page; absent on the last one."},
        },
        "required": [member],
    })
}

fn type_schema(kind: &str) -> Value {
    let inner = |prefix: &str| kind.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('>'));
    if let Some(of) = inner("Vec<") {
        return json!({"type": "array", "items": type_schema(of)});
    }
    if let Some(of) = inner("BTreeMap<String, ") {
        return json!({"type": "object", "additionalProperties": type_schema(of)});
    }
    if let Some(of) = inner("Option<") {
        return match type_schema(of) {
            Value::Object(mut members) if members.contains_key("type") => {
                let plain = members.get("type").cloned().unwrap_or_default();
                members.insert("type".into(), json!([plain, "null"]));
                Value::Object(members)
            }
            other => other,
        };
    }
    match kind {
        "String" => json!({"type": "string"}),
        "bool" => json!({"type": "boolean"}),
        "u16" | "u32" | "u64" => json!({"type": "integer", "minimum": 0}),
        other => reference(other),
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::admin::spec::{CallView, CustomerSpec, Problem};

    fn members_of(value: &impl serde::Serialize) -> Vec<String> {
        let Value::Object(members) = serde_json::to_value(value).unwrap() else { panic!() };
        members.keys().cloned().collect()
    }

    #[test]
    fn every_reference_is_a_schema() {
        fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(members) => {
                    found.extend(members.get("$ref").and_then(Value::as_str));
                    members.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document();
        let schemas = schemas(SPEC_SOURCE);
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 100, "{}", found.len());
        for reference in found {
            let name = reference.strip_prefix("#/components/schemas/").unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
    }

    #[test]
    fn members_are_those_that_are_written() {
        let schemas = schemas(SPEC_SOURCE);
        let properties = |name: &str| schemas[name]["properties"].as_object().unwrap().clone();
        for (name, members) in [
            ("CallView", members_of(&CallView::default())),
            ("Problem", members_of(&Problem::default())),
            ("CustomerSpec", members_of(&CustomerSpec::default())),
        ] {
            let properties = properties(name);
            for member in members {
                assert!(properties.contains_key(&member), "{name}.{member}");
            }
        }
        assert!(properties("NumberRuleSpec").contains_key("match"));
        assert_eq!(schemas["CustomerSpec"]["additionalProperties"], json!(false));
        assert_eq!(schemas["CallList"]["required"], json!(["calls"]));
    }
}
