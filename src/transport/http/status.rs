//! The status port: `/healthz` and `/readyz` for machines, `/status` for a person (or as JSON), and
//! `/metrics`. It asks for no password and changes nothing.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::domain::call::CallState;
use crate::service::health::{Health, HealthReport};
use crate::transport::http::metrics::{self, CallsByState, Gauges, MoneyTotals};

/// The pages of the status port.
pub fn router(health: Arc<Health>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .route("/metrics", get(metrics_page))
        .with_state(health)
}

/// Serves the pages until `stop` comes, and then finishes what was begun.
///
/// # Errors
/// The system says no.
pub async fn serve(
    listener: TcpListener,
    health: Arc<Health>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(health)).with_graceful_shutdown(stop).await
}

async fn index() -> &'static str {
    "ringfence\n\n\
     /healthz  200 while the engine runs\n\
     /readyz   200 while requests are answered\n\
     /status   how it is; ?format=json for a program\n\
     /metrics  for Prometheus\n"
}

async fn healthz(State(health): State<Arc<Health>>) -> Response {
    yes_or_no(health.is_alive(), "the engine does not run\n")
}

async fn readyz(State(health): State<Arc<Health>>) -> Response {
    if health.is_ready() {
        return yes_or_no(true, "");
    }
    let problems = health.report().problems.join("\n");
    yes_or_no(false, &format!("{problems}\n"))
}

fn yes_or_no(yes: bool, why_not: &str) -> Response {
    if yes {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, why_not.to_owned()).into_response()
    }
}

#[derive(Deserialize)]
struct StatusQuery {
    format: Option<String>,
}

async fn status(State(health): State<Arc<Health>>, Query(query): Query<StatusQuery>, headers: HeaderMap) -> Response {
    let report = health.report();
    let accepts = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    match query.format.as_deref() {
        Some("json") => axum::Json(report).into_response(),
        Some("text") => text(&report).into_response(),
        None if accepts.is_some_and(|accepted| accepted.contains("application/json")) => {
            axum::Json(report).into_response()
        }
        None => text(&report).into_response(),
        Some(_) => (StatusCode::BAD_REQUEST, "format is text or json\n").into_response(),
    }
}

async fn metrics_page(State(health): State<Arc<Health>>) -> Response {
    let page = metrics::render(health.metrics(), &gauges(&health));
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], page).into_response()
}

fn gauges(health: &Health) -> Gauges {
    let (started_at, uptime_seconds) = health.started();
    let (journal_sequence, projected_sequence, projector_lag_millis) = health.progress();
    let totals = |money: crate::service::health::MoneyOfCurrency| MoneyTotals {
        currency: money.currency,
        reserved: money.reserved,
        exposure: money.exposure,
        available: money.available,
    };
    Gauges {
        version: env!("CARGO_PKG_VERSION"),
        started_at,
        uptime_seconds,
        is_ready: health.is_ready(),
        calls: CallsByState {
            trying: health.calls_in(CallState::Trying),
            early: health.calls_in(CallState::Early),
            confirmed: health.calls_in(CallState::Confirmed),
            disconnecting: health.calls_in(CallState::Disconnecting),
        },
        disconnects_stuck: health.disconnects_stuck(),
        money: health.money().into_iter().map(totals).collect(),
        journal_sequence,
        projected_sequence,
        projector_lag_millis,
    }
}

// -------------------------------------------------------------------------------- for a person

/// The report as a page of plain text.
pub fn text(report: &HealthReport) -> String {
    let mut page = String::with_capacity(4_096);
    // Writing to a string does not fail.
    let _ = write_text(report, &mut page);
    page
}

fn write_text(report: &HealthReport, page: &mut String) -> std::fmt::Result {
    let ready = if report.ready { "ready" } else { "NOT READY" };
    writeln!(page, "ringfence {}: {ready}, up {}", report.version, duration(report.uptime_seconds))?;
    for problem in &report.problems {
        writeln!(page, "  problem: {problem}")?;
    }
    for warning in &report.warnings {
        writeln!(page, "  warning: {warning}")?;
    }

    let listening = &report.listening;
    writeln!(page, "\nlistening")?;
    writeln!(page, "  authorization  {}", joined(&listening.auth))?;
    writeln!(page, "  accounting     {}", joined(&listening.acct))?;
    writeln!(page, "  status         {}", or_none(listening.status))?;
    let admin = listening.admin.map(|address| format!(", {address}")).unwrap_or_default();
    writeln!(page, "  admin          {}{admin}", listening.socket)?;

    let calls = &report.calls;
    writeln!(page, "\ncalls")?;
    writeln!(
        page,
        "  trying {}  early {}  confirmed {}  disconnecting {}  (ended and remembered {})",
        calls.trying, calls.early, calls.confirmed, calls.disconnecting, calls.ended_and_remembered
    )?;
    writeln!(page, "  disconnects stuck {}", calls.disconnects_stuck)?;
    if let Some(oldest) = &calls.oldest {
        writeln!(page, "  oldest {} since {} ({})", oldest.id, oldest.opened_at, duration(oldest.seconds))?;
    }

    writeln!(page, "\nmoney{:>13} {:>18} {:>18}", "reserved", "exposure", "available")?;
    for money in &report.money {
        writeln!(page, "  {} {:>12} {:>18} {:>18}", money.currency, money.reserved, money.exposure, money.available)?;
    }

    writeln!(page, "\npackets{:>13} {:>10} {:>10}  dropped", "requests", "replies", "again")?;
    for port in &report.packets {
        let drops: Vec<_> = port.drops.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
        let drops = if drops.is_empty() { "none".to_owned() } else { drops.join(", ") };
        writeln!(page, "  {} {:>13} {:>10} {:>10}  {drops}", port.port, port.requests, port.replies, port.duplicates)?;
    }

    let (engine, tables) = (&report.engine, &report.tables);
    writeln!(page, "\nstorage")?;
    writeln!(
        page,
        "  journal   record {}, {} commits, half within {}, 99 of 100 within {}, {} wait",
        engine.journal_sequence,
        engine.commits,
        micros(engine.commit_micros_median),
        micros(engine.commit_micros_p99),
        engine.queue_depth
    )?;
    writeln!(page, "  tables    record {}, {} ms behind", tables.sequence, tables.lag_millis)?;
    writeln!(page, "  snapshot  record {}", tables.snapshot_sequence)?;

    writeln!(
        page,
        "\nNAS{:>29} {:>9} {:>7} {:>9} {:>10} {:>8}  last packet",
        "address", "dialect", "guard", "calls", "requests", "dropped"
    )?;
    for nas in &report.nases {
        let calls = match nas.calls_max {
            Some(max) => format!("{}/{max}", nas.calls),
            None => nas.calls.to_string(),
        };
        writeln!(
            page,
            "  {:<12} {:>17} {:>9} {:>7} {calls:>9} {:>10} {:>8}  {}",
            nas.id,
            nas.address,
            nas.dialect,
            nas.guard,
            nas.requests,
            nas.drops,
            nas.last_packet_at.as_deref().unwrap_or("never")
        )?;
    }
    Ok(())
}

fn joined(addresses: &[std::net::SocketAddr]) -> String {
    let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

fn or_none(address: Option<std::net::SocketAddr>) -> String {
    address.map_or_else(|| "none".to_owned(), |address| address.to_string())
}

fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

fn micros(micros: Option<u64>) -> String {
    match micros {
        None => "?".to_owned(),
        Some(micros) if micros < 1_000 => format!("{micros} us"),
        Some(micros) => format!("{} ms", micros / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_told_in_two_units() {
        let told: Vec<_> = [7, 90, 3_700, 90_000].into_iter().map(duration).collect();
        assert_eq!(told, ["7 s", "1 min 30 s", "1 h 1 min", "1 d 1 h"]);
    }
}
