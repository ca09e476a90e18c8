//! `status`: how the daemon is, on one screen.

use super::client::Ask;
use super::context::Context;
use super::error::CliError;
use super::table::{Card, Column, Table, Text, Tone};
use crate::service::admin::spec::{CurrencyTotals, StatusView};

/// Shows how the daemon is.
///
/// # Errors
/// It is not there.
pub fn run(context: &mut Context<'_>) -> Result<(), CliError> {
    let answer = context.client.ask(Ask::get("/status"))?;
    if context.printed_as_json(&answer)? {
        return Ok(());
    }
    let status: StatusView = answer.read()?;
    context.card(&card(&status))?;
    if !status.money.is_empty() {
        context.line("")?;
        context.table(&money(&status.money))?;
    }
    Ok(())
}

fn card(status: &StatusView) -> Card {
    let total: u64 = status.calls.iter().map(|count| count.calls).sum();
    let states: Vec<String> = status
        .calls
        .iter()
        .filter(|count| count.calls > 0)
        .map(|count| format!("{} {}", count.calls, count.state))
        .collect();
    let calls = if states.is_empty() { total.to_string() } else { format!("{total} ({})", states.join(", ")) };
    let mut card = Card::new();
    card.field("version", &status.version);
    card.field("now", &status.now);
    card.field("calls", calls);
    for (name, count) in [
        ("resellers", status.resellers),
        ("customers", status.customers),
        ("accounts", status.accounts),
        ("gateways", status.nas),
        ("tariffs", status.tariffs),
        ("carriers", status.carriers),
        ("connections", status.connections),
    ] {
        card.field(name, count);
    }
    for warning in &status.warnings {
        card.field("warning", Text::toned(warning, Tone::Odd));
    }
    card
}

fn money(totals: &[CurrencyTotals]) -> Table {
    let mut table = Table::new([
        Column::new("currency"),
        Column::number("balance"),
        Column::number("reserved"),
        Column::number("available"),
    ]);
    for total in totals {
        table.row([
            Text::from(&total.currency),
            Text::from(&total.balance),
            Text::from(&total.reserved),
            Text::from(&total.available),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::admin::spec::StateCount;
    use crate::transport::cli::table::Screen;

    #[test]
    fn calls_are_told_by_state() {
        let count = |state: &str, calls| StateCount { state: state.into(), calls };
        let status = StatusView {
            calls: vec![count("trying", 1), count("early", 0), count("confirmed", 2)],
            ..StatusView::default()
        };
        let mut out = Vec::new();
        card(&status).write(&mut out, Screen::default()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("3 (1 trying, 2 confirmed)"), "{text}");
    }
}
