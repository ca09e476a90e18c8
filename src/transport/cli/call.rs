//! `call`: what is going on now, why, and what an operator can do about it.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::call_action::{self, Action, CALLS, Selection, Which};
use super::client::{Ask, shown};
use super::context::Context;
use super::error::CliError;
use super::input::Page;
use super::table::{Card, Column, Table, Text, Tone};
use super::text::{clock_time, duration, seconds};
use crate::service::admin::spec::{CallLogView, CallView, LegView, PayerView};
use crate::service::instant::parse_instant;

/// The verbs of `call`.
#[derive(Subcommand, Clone, Debug)]
pub enum CallVerb {
    /// List the calls that are up, the newest first
    #[command(
        after_help = "Examples:\n  ringfence call list\n  ringfence call list --customer acme --state confirmed\n  ringfence call list --number 4930 --ended\n  ringfence call list --all --json"
    )]
    List(Box<Filter>),
    /// Show one call, with all that pay for it and its legs
    #[command(
        after_help = "Examples:\n  ringfence call show c1024\n  ringfence call show '02102944 600a1899 3fd61009 0e2f3cc5'\n  ringfence call show c1024 --field conf_id"
    )]
    Show {
        /// Any of its ids: c1024, its conference id, its Acct-Session-Id
        id: String,
        /// Print one member of its JSON alone, such as conf_id
        #[arg(long, value_name = "NAME", conflicts_with = "json")]
        field: Option<String>,
    },
    /// What was decided about a call and why, the oldest first
    #[command(after_help = "Examples:\n  ringfence call log c1024")]
    Log {
        /// Any of its ids: c1024, its conference id, its Acct-Session-Id
        id: String,
    },
    /// List calls that may be over without anybody having told of it, and why
    #[command(
        after_help = "A call is listed where it is to be ended and no Stop has come, where its grant is over and no Stop came, where more than one of its periodic interims stayed away, or where nobody answered and nothing more was heard. Each is closed by itself in time; whoever knows better removes it before.\n\nExamples:\n  ringfence call stale\n  ringfence call stale --nas gw1\n  ringfence call remove --stale --nas gw1 --dry-run"
    )]
    Stale(Box<Suspects>),
    /// Have gateways end calls: who is talking is hung up
    #[command(
        after_help = "The gateway of each call is asked to end it (Disconnect-Request, RFC 5176). The call stays in the registry, guarded and charged, until its Stop comes; whether the gateway obeyed is in `call show` and `call log`. A gateway without a disconnect address cannot be asked: its call ends with its grant at the latest. To forget calls of which no end will ever be heard, see `call remove`.\n\nThe calls are shown first, and somebody is asked; without a terminal nothing is done unless --yes is said.\n\nExit codes: 1 it failed for some, or the answer was no; 2 bad usage, or nobody to ask; 4 no call fits.\n\nExamples:\n  ringfence call disconnect c1024\n  ringfence call disconnect --customer acme --dry-run\n  ringfence call disconnect --number 4930 --state confirmed --yes\n  ringfence call disconnect --all"
    )]
    Disconnect(Box<Which>),
    /// Take calls out of the registry: no gateway is told, nobody is hung up
    #[command(
        after_help = "For calls of which no end will ever be heard, such as after a gateway lost its power; `call stale` finds them. Each is charged up to the last proof that it was up, marked as estimated; what was reserved beyond is released and its places are free. A Stop that still comes corrects the charge, once. A call that is still up goes on, and nothing guards it until its gateway tells of it again: to end one, see `call disconnect`.\n\nThe calls are shown first, and somebody is asked; without a terminal nothing is done unless --yes is said.\n\nExit codes: 1 it failed for some, or the answer was no; 2 bad usage, or nobody to ask; 4 no call fits.\n\nExamples:\n  ringfence call remove c1024 c1025\n  ringfence call remove --stale --nas gw1 --dry-run\n  ringfence call remove --nas gw1 --yes"
    )]
    Remove(Box<Which>),
}

/// Which calls are listed: those that fit all that is given.
#[derive(Args, Clone, Debug, Default)]
pub struct Filter {
    #[command(flatten)]
    only: Selection,
    /// Also those that ended a short time ago
    #[arg(long)]
    ended: bool,
    #[command(flatten)]
    page: Page,
}

/// Which suspects are listed: those that fit all that is given.
#[derive(Args, Clone, Debug, Default)]
pub struct Suspects {
    #[command(flatten)]
    only: Selection,
    #[command(flatten)]
    page: Page,
}

/// Runs a verb of `call`.
///
/// # Errors
/// It was not done; the error says why.
pub fn run(context: &mut Context<'_>, verb: CallVerb) -> Result<(), CliError> {
    match verb {
        CallVerb::List(filter) => list(context, *filter),
        CallVerb::Show { id, field: Some(field) } => show_field(context, &id, &field),
        CallVerb::Show { id, field: None } => show(context, &id),
        CallVerb::Log { id } => log(context, &id),
        CallVerb::Stale(suspects) => stale(context, *suspects),
        CallVerb::Disconnect(which) => call_action::run(context, Action::Disconnect, *which),
        CallVerb::Remove(which) => call_action::run(context, Action::Remove, *which),
    }
}

fn list(context: &mut Context<'_>, filter: Filter) -> Result<(), CliError> {
    let mut filters = filter.only.filters();
    filters.push(("ended", filter.ended.then(|| "true".to_owned())));
    CALLS.list(context, filters, &filter.page, table)
}

fn stale(context: &mut Context<'_>, suspects: Suspects) -> Result<(), CliError> {
    let mut filters = suspects.only.filters();
    filters.retain(|(name, _)| *name != "stale");
    filters.push(("stale", Some("true".to_owned())));
    CALLS.list(context, filters, &suspects.page, stale_table)
}

fn show(context: &mut Context<'_>, id: &str) -> Result<(), CliError> {
    let answer = context.client.ask(Ask::get(CALLS.path_of(id)))?;
    if context.printed_as_json(&answer)? {
        return Ok(());
    }
    let call: CallView = answer.read()?;
    context.card(&card(&call))?;
    if !call.payers.is_empty() {
        context.line("")?;
        context.table(&payers(&call.payers))?;
    }
    if !call.legs.is_empty() {
        context.line("")?;
        context.table(&legs(&call.legs))?;
    }
    Ok(())
}

fn show_field(context: &mut Context<'_>, id: &str, field: &str) -> Result<(), CliError> {
    let answer = context.client.ask(Ask::get(CALLS.path_of(id)))?;
    let call: Value = answer.read()?;
    match call.get(field) {
        Some(Value::String(text)) => context.line(&shown(text)),
        Some(value) => context.line(&value.to_string()),
        None => Err(CliError::failed(format!("call {id} has no {field}"))),
    }
}

fn log(context: &mut Context<'_>, id: &str) -> Result<(), CliError> {
    let answer = context.client.ask(Ask::get(format!("{}/log", CALLS.path_of(id))))?;
    if context.printed_as_json(&answer)? {
        return Ok(());
    }
    let log: CallLogView = answer.read()?;
    context.table(&log_table(&log))
}

fn table(calls: &[CallView]) -> Table {
    let mut table = Table::new([
        Column::id("id"),
        Column::new("state"),
        Column::id("account").rank(9),
        Column::id("customer").rank(6),
        Column::id("reseller").rank(1),
        Column::id("caller").rank(7),
        Column::id("callee"),
        Column::id("nas").rank(5),
        Column::id("connection").rank(2),
        Column::new("started").rank(3),
        Column::number("time").rank(10),
        Column::number("reserved").rank(4),
        Column::number("cost").rank(8),
        Column::new("cur").rank(8),
        Column::text("flags").rank(3),
    ]);
    for call in calls {
        table.row([
            Text::from(&call.id),
            state(&call.state),
            Text::from(call.account.as_ref().unwrap_or(&call.user_name)),
            Text::from(call.customer.as_ref()),
            Text::from(call.reseller.as_ref()),
            Text::from(&call.caller),
            Text::from(&call.callee),
            Text::from(&call.nas),
            Text::from(call.connection.as_ref().or(call.carrier.as_ref())),
            Text::from(clock_time(call.started_at.as_ref().unwrap_or(&call.opened_at))),
            time(call),
            Text::from(&call.reserved),
            Text::from(&call.cost),
            Text::from(call.currency.as_ref()),
            Text::toned(oddities(call).join(","), Tone::Odd),
        ]);
    }
    table
}

/// What is odd about a call, and for what its gateway is asked to end it.
fn oddities(call: &CallView) -> Vec<String> {
    let asked = call.disconnecting_for.iter().map(|why| format!("disconnect:{why}"));
    asked.chain(call.flags.iter().cloned()).collect()
}

fn stale_table(calls: &[CallView]) -> Table {
    let mut table = Table::new([
        Column::id("id"),
        Column::id("account").rank(3),
        Column::id("customer").rank(2),
        Column::id("nas").rank(4),
        Column::new("state").rank(1),
        Column::number("heard"),
        Column::number("up for").rank(5),
        Column::text("why"),
    ]);
    for call in calls {
        table.row([
            Text::from(&call.id),
            Text::from(call.account.as_ref().unwrap_or(&call.user_name)),
            Text::from(call.customer.as_ref()),
            Text::from(&call.nas),
            state(&call.state),
            Text::from(call.silent_seconds.map(ago)),
            time(call),
            Text::toned(call.stale.join("; "), Tone::Odd),
        ]);
    }
    table
}

fn ago(seconds: u64) -> String {
    format!("{} ago", duration(seconds))
}

fn card(call: &CallView) -> Card {
    let with_currency = |amount: &str| match &call.currency {
        Some(currency) => format!("{amount} {currency}"),
        None => amount.to_owned(),
    };
    let mut card = Card::new();
    card.field("call", &call.id);
    card.field("state", state(&call.state));
    card.field("account", call.account.as_ref());
    card.field("user name", &call.user_name);
    card.field("customer", call.customer.as_ref());
    card.field("reseller", call.reseller.as_ref());
    card.field("caller", &call.caller);
    card.field("callee", &call.callee);
    card.field("nas", &call.nas);
    card.field("carrier", call.carrier.as_ref());
    card.field("connection", call.connection.as_ref());
    card.field("conf id", call.conf_id.as_ref());
    card.field("acct session id", &call.acct_session_id);
    card.field("opened", &call.opened_at);
    card.field("started", call.started_at.as_ref());
    card.field("ended", call.ended_at.as_ref());
    card.field("ended by", call.ended_by.as_ref());
    card.field(
        "disconnecting",
        call.disconnecting_for.as_ref().map(|why| match &call.disconnecting_since {
            Some(since) => format!("since {since}: {why}"),
            None => why.clone(),
        }),
    );
    card.field("gateway asked", call.disconnect_attempts.map(|attempts| asked(attempts, call)));
    card.field("last heard of", heard(call));
    card.field("may be over", Text::toned(call.stale.join("; "), Tone::Odd));
    card.field("set-up", seconds(call.setup_seconds));
    card.field("talk", seconds(call.seconds));
    card.field("paid for", call.reserved_seconds.map(seconds));
    card.field("told the gateway", call.told_seconds.map(seconds));
    card.field("reserved", with_currency(&call.reserved));
    card.field("cost", with_currency(&call.cost));
    card.field("flags", Text::toned(call.flags.join(", "), Tone::Odd));
    card
}

/// How often the gateway was to end a call, and what came of it.
fn asked(attempts: u32, call: &CallView) -> String {
    let times = if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") };
    match call.disconnect_answer.as_deref() {
        // Nothing went out that it could have heard.
        Some("not_sent") => format!("tried {times}; the latest time it could not be asked"),
        Some(answer) => {
            let name = call.disconnect_error.as_ref().map_or_else(String::new, |name| format!(" {name}"));
            let cause = call.disconnect_error_cause.map_or_else(String::new, |cause| format!(" ({cause}{name})"));
            format!("{times}, latest: {answer}{cause}")
        }
        None => format!("{times}, no answer yet"),
    }
}

fn heard(call: &CallView) -> String {
    match call.silent_seconds {
        Some(seconds) => format!("{} ({})", call.heard_at, ago(seconds)),
        None => call.heard_at.clone(),
    }
}

fn payers(payers: &[PayerView]) -> Table {
    let mut table = Table::new([
        Column::new("payer"),
        Column::new("destination").rank(1),
        Column::new("prefix").rank(2),
        Column::number("per minute").rank(3),
        Column::number("reserved"),
        Column::number("charged"),
        Column::number("cost"),
        Column::new("cur"),
    ]);
    for payer in payers {
        table.row([
            Text::from(&payer.party),
            Text::from(&payer.destination),
            Text::from(&payer.prefix),
            Text::from(payer.rate.as_ref()),
            Text::from(&payer.reserved),
            Text::from(&payer.charged),
            Text::from(&payer.cost),
            Text::from(&payer.currency),
        ]);
    }
    table
}

fn legs(legs: &[LegView]) -> Table {
    let mut table = Table::new([
        Column::new("leg"),
        Column::id("nas").rank(3),
        Column::id("session").rank(4),
        Column::new("remote").rank(2),
        Column::id("connection").rank(1),
        Column::new("started").rank(5),
        Column::new("ended").rank(6),
        Column::number("time"),
        Column::number("cause").rank(7),
    ]);
    for leg in legs {
        table.row([
            Text::from(&leg.origin),
            Text::from(&leg.nas),
            Text::from(&leg.acct_session_id),
            Text::from(leg.remote_address.as_ref()),
            Text::from(leg.connection.as_ref()),
            Text::from(leg.started_at.as_deref().map(clock_time)),
            Text::from(leg.ended_at.as_deref().map(clock_time)),
            Text::from(leg.seconds.map(duration)),
            Text::from(leg.cause.map(u32::from)),
        ]);
    }
    table
}

fn log_table(log: &CallLogView) -> Table {
    let mut table =
        Table::new([Column::new("at"), Column::number("after").rank(1), Column::new("event"), Column::text("what")]);
    let begin = log.lines.first().and_then(|line| parse_instant(&line.at).ok());
    for line in &log.lines {
        let after = begin.zip(parse_instant(&line.at).ok()).map(|(begin, at)| {
            let millis = at.millis_since(begin);
            format!("+{}.{:03}", millis / 1000, millis % 1000)
        });
        table.row([Text::from(clock_time(&line.at)), after.into(), Text::from(&line.event), Text::from(&line.text)]);
    }
    table
}

fn state(state: &str) -> Text {
    let tone = match state {
        "confirmed" => Tone::Good,
        "disconnecting" => Tone::Odd,
        "terminated" => Tone::Faint,
        _ => Tone::Plain,
    };
    Text::toned(state, tone)
}

/// How long people have talked; before, how long the set-up takes.
fn time(call: &CallView) -> Text {
    match call.started_at {
        Some(_) => Text::from(duration(call.seconds)),
        None => Text::toned(format!("({})", duration(call.setup_seconds)), Tone::Faint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::admin::spec::LogLineView;
    use crate::transport::cli::table::Screen;

    fn written(table: &Table, width: Option<u16>) -> String {
        let mut out = Vec::new();
        table.write(&mut out, Screen { width, colours: false }).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn call() -> CallView {
        CallView {
            id: "c1".into(),
            state: "confirmed".into(),
            account: Some("alice".into()),
            customer: Some("acme".into()),
            nas: "gw1".into(),
            caller: "4940111".into(),
            callee: "4930123".into(),
            opened_at: "2026-01-01T00:00:00.250Z".into(),
            started_at: Some("2026-01-01T00:00:05Z".into()),
            seconds: 65,
            reserved: "0.024000".into(),
            cost: "0.013000".into(),
            currency: Some("EUR".into()),
            ..CallView::default()
        }
    }

    #[test]
    fn calls_are_a_table() {
        let ringing =
            CallView { id: "c20".into(), state: "early".into(), started_at: None, setup_seconds: 9, ..call() };
        assert_eq!(
            written(&table(&[call(), ringing]), None),
            "\
ID   STATE      ACCOUNT  CUSTOMER  RESELLER  CALLER   CALLEE   NAS  CONNECTION  STARTED                 TIME  RESERVED      COST  CUR  FLAGS
c1   confirmed  alice    acme                4940111  4930123  gw1              2026-01-01T00:00:05Z    1:05  0.024000  0.013000  EUR
c20  early      alice    acme                4940111  4930123  gw1              2026-01-01T00:00:00Z  (0:09)  0.024000  0.013000  EUR
"
        );
    }

    #[test]
    fn on_80_columns_who_calls_whom_and_what_it_costs_stays() {
        let text = written(&table(&[call()]), Some(80));
        let header = text.lines().next().unwrap();
        for name in ["ID", "STATE", "ACCOUNT", "CALLEE", "TIME", "COST"] {
            assert!(header.contains(name), "{text}");
        }
        assert!(text.lines().take(2).all(|line| line.len() <= 80), "{text}");
    }

    #[test]
    fn on_80_columns_one_long_account_takes_nothing_from_the_other_calls() {
        let long = CallView { id: "c2".into(), account: Some("a".repeat(60)), ..call() };
        let text = written(&table(&[call(), long]), Some(80));
        let header = text.lines().next().unwrap();
        for name in ["ID", "STATE", "ACCOUNT", "CALLEE", "TIME", "COST"] {
            assert!(header.contains(name), "{text}");
        }
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }

    #[test]
    fn what_came_of_asking_the_gateway_is_told_as_it_was() {
        let told = |answer: Option<&str>| CallView { disconnect_answer: answer.map(str::to_owned), ..call() };
        assert_eq!(asked(1, &told(None)), "once, no answer yet");
        assert_eq!(asked(3, &told(Some("refused"))), "3 times, latest: refused");
        assert_eq!(asked(1, &told(Some("not_sent"))), "tried once; the latest time it could not be asked");
    }

    #[test]
    fn a_log_tells_when_after_the_begin() {
        let line =
            |at: &str, event: &str, text: &str| LogLineView { at: at.into(), event: event.into(), text: text.into() };
        let log = CallLogView {
            call: "c1".into(),
            lines: vec![
                line("2026-01-01T00:00:00.250Z", "authorized", "available 3.20, first chunk 0.60"),
                line("2026-01-01T00:01:00Z", "started", "connected"),
            ],
        };
        assert_eq!(
            written(&log_table(&log), None),
            "\
AT                      AFTER  EVENT       WHAT
2026-01-01T00:00:00Z   +0.000  authorized  available 3.20, first chunk 0.60
2026-01-01T00:01:00Z  +59.750  started     connected
"
        );
    }
}
