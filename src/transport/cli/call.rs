//! `call`: what is going on now, why, and what an operator can do about it.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Answer, Ask, encoded, shown};
use super::context::Context;
use super::error::CliError;
use super::input::Page;
use super::noun::{Noun, for_each};
use super::table::{Card, Column, Table, Text, Tone};
use super::text::{clock_time, duration, seconds};
use crate::service::admin::spec::{CallActionView, CallLogView, CallView, LegView, PayerView};
use crate::service::instant::parse_instant;

const CALLS: Noun = Noun { one: "call", path: "calls" };

/// The verbs of `call`.
#[derive(Subcommand, Clone, Debug)]
pub enum CallVerb {
    /// List the calls that are up, the oldest first
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
    /// Take calls out of the registry; the gateway is not told and hangs nobody up
    #[command(
        after_help = "For calls of which no end will ever be heard, such as after a gateway lost its power. What was reserved is settled and the places are free. A call that is still up goes on: `call disconnect` ends it.\n\nExamples:\n  ringfence call remove c1024 c1025\n  ringfence call remove c1024 --yes"
    )]
    Remove(Which),
    /// Have the gateway end calls
    #[command(
        after_help = "The request is taken at once; whether the gateway obeyed is in `call show` and `call log`.\n\nExamples:\n  ringfence call disconnect c1024"
    )]
    Disconnect(Which),
}

/// Which calls are listed: those that fit all that is given.
#[derive(Args, Clone, Debug, Default)]
pub struct Filter {
    /// Of this customer
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// Of the customers of this reseller
    #[arg(long, value_name = "ID")]
    reseller: Option<String>,
    /// Of this account
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Through this gateway
    #[arg(long, value_name = "ID")]
    nas: Option<String>,
    /// To this carrier
    #[arg(long, value_name = "ID")]
    carrier: Option<String>,
    /// Through this connection
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    /// In this state
    #[arg(long, value_name = "STATE",
        value_parser = ["trying", "early", "confirmed", "disconnecting", "terminated"])]
    state: Option<String>,
    /// From or to this number, or one that begins so
    #[arg(long, value_name = "DIGITS")]
    number: Option<String>,
    /// With this conference id
    #[arg(long, value_name = "ID")]
    conf_id: Option<String>,
    /// With this Acct-Session-Id
    #[arg(long, value_name = "ID")]
    acct_session_id: Option<String>,
    /// Also those that ended a short time ago
    #[arg(long)]
    ended: bool,
    #[command(flatten)]
    page: Page,
}

/// Some calls.
#[derive(Args, Clone, Debug)]
pub struct Which {
    /// Any of their ids
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Do not ask
    #[arg(long, short = 'y')]
    yes: bool,
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
        CallVerb::Remove(which) => {
            let question = format!(
                "Remove {} from the registry? The gateway is not told: a call that is still up goes on, and is no \
                 longer guarded.",
                which.ids.join(", ")
            );
            act(context, &which, &question, "remove")
        }
        CallVerb::Disconnect(which) => {
            act(context, &which, &format!("Have {} ended by the gateway?", which.ids.join(", ")), "disconnect")
        }
    }
}

fn list(context: &mut Context<'_>, filter: Filter) -> Result<(), CliError> {
    let filters = vec![
        ("customer", filter.customer),
        ("reseller", filter.reseller),
        ("account", filter.account),
        ("nas", filter.nas),
        ("carrier", filter.carrier),
        ("connection", filter.connection),
        ("state", filter.state),
        ("number", filter.number),
        ("conf_id", filter.conf_id),
        ("acct_session_id", filter.acct_session_id),
        ("ended", filter.ended.then(|| "true".to_owned())),
    ];
    CALLS.list(context, filters, &filter.page, table)
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

fn act(context: &mut Context<'_>, which: &Which, question: &str, verb: &str) -> Result<(), CliError> {
    context.confirm(question, which.yes)?;
    let mut answers: Vec<Answer> = Vec::new();
    let outcome = for_each(&which.ids, |id| {
        answers.push(context.client.ask(Ask::post(format!("/calls/{}/{verb}", encoded(id))))?);
        Ok(())
    });
    if context.json {
        let calls = answers.iter().map(Answer::read).collect::<Result<Vec<Value>, CliError>>()?;
        context.print_json(&json!({ "calls": calls }))?;
        return outcome;
    }
    for answer in &answers {
        let CallActionView { id, state, note } = answer.read()?;
        context.line(&shown(&format!("{id}: {state}; {note}")))?;
    }
    outcome
}

fn table(calls: &[CallView]) -> Table {
    let mut table = Table::new([
        Column::new("id"),
        Column::new("state"),
        Column::new("account").rank(9),
        Column::new("customer").rank(6),
        Column::new("reseller").rank(1),
        Column::new("caller").rank(7),
        Column::new("callee"),
        Column::new("nas").rank(5),
        Column::new("connection").rank(2),
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
            Text::toned(call.flags.join(","), Tone::Odd),
        ]);
    }
    table
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
    card.field("disconnecting for", call.disconnecting_for.as_ref());
    card.field("set-up", seconds(call.setup_seconds));
    card.field("talk", seconds(call.seconds));
    card.field("paid for", call.reserved_seconds.map(seconds));
    card.field("told the gateway", call.told_seconds.map(seconds));
    card.field("reserved", with_currency(&call.reserved));
    card.field("cost", with_currency(&call.cost));
    card.field("flags", Text::toned(call.flags.join(", "), Tone::Odd));
    card
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
        Column::new("nas").rank(3),
        Column::new("session").rank(4),
        Column::new("remote").rank(2),
        Column::new("connection").rank(1),
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
