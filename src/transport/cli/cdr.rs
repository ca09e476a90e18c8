//! `cdr`: what calls were charged.

use clap::{Args, Subcommand};

use super::client::{Ask, query};
use super::context::Context;
use super::error::{CliError, Exit};
use super::input::{self, Page};
use super::noun;
use super::table::{Card, Column, Table, Text, Tone};
use super::text::{clock_time, duration, seconds};
use crate::service::admin::spec::{CdrList, CdrView, ChargeView};

/// The verbs of `cdr`.
#[derive(Subcommand, Clone, Debug)]
pub enum CdrVerb {
    /// List charge records, newest first
    #[command(
        after_help = "Examples:\n  ringfence cdr list --customer acme --from 2026-01-01 --to 2026-02-01 --all\n  ringfence cdr list --result failure\n  ringfence cdr list --callee 4930 --json"
    )]
    List(Box<Filter>),
    /// Show all records of one call
    #[command(after_help = "Examples:\n  ringfence cdr show c1024")]
    Show {
        /// The call, as `cdr list` shows it
        #[arg(value_name = "CALL-ID")]
        call_id: String,
    },
}

/// Which records are listed: those that fit all that is given.
#[derive(Args, Clone, Debug, Default)]
pub struct Filter {
    /// Of calls that ended at this time or later, such as 2026-01-01 or 2026-01-01T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = input::instant)]
    from: Option<String>,
    /// Of calls that ended before this time
    #[arg(long, value_name = "TIME", value_parser = input::instant)]
    to: Option<String>,
    /// Of this customer
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// Of the customers of this reseller
    #[arg(long, value_name = "ID")]
    reseller: Option<String>,
    /// Of this account
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// From this number, as the record has it
    #[arg(long, value_name = "DIGITS")]
    caller: Option<String>,
    /// To this number, or one that begins so
    #[arg(long, value_name = "DIGITS")]
    callee: Option<String>,
    /// Of this call, by any of its ids
    #[arg(long, value_name = "ID")]
    call_id: Option<String>,
    /// With this result
    #[arg(long, value_name = "RESULT", value_parser = ["ok", "failure"])]
    result: Option<String>,
    /// Of this type
    #[arg(long, value_name = "TYPE", value_parser = ["charge", "correction", "refund"])]
    record_type: Option<String>,
    /// Through this gateway
    #[arg(long, value_name = "ID")]
    nas: Option<String>,
    /// To this carrier
    #[arg(long, value_name = "ID")]
    carrier: Option<String>,
    #[command(flatten)]
    page: Page,
}

/// Runs a verb of `cdr`.
///
/// # Errors
/// It was not done; the error says why.
pub fn run(context: &mut Context<'_>, verb: CdrVerb) -> Result<(), CliError> {
    match verb {
        CdrVerb::List(filter) => list(context, *filter),
        CdrVerb::Show { call_id } => show(context, &call_id),
    }
}

fn list(context: &mut Context<'_>, filter: Filter) -> Result<(), CliError> {
    let filters = vec![
        ("from", filter.from),
        ("to", filter.to),
        ("customer", filter.customer),
        ("reseller", filter.reseller),
        ("account", filter.account),
        ("caller", filter.caller),
        ("callee", filter.callee),
        ("call_id", filter.call_id),
        ("result", filter.result),
        ("record_type", filter.record_type),
        ("nas", filter.nas),
        ("carrier", filter.carrier),
    ];
    noun::list(context, "/cdrs", "cdrs", filters, &filter.page, table)
}

fn show(context: &mut Context<'_>, call_id: &str) -> Result<(), CliError> {
    let path = format!("/cdrs{}", query([("call_id", Some(call_id.to_owned()))]));
    let answer = context.client.ask(Ask::get(path))?;
    let list: CdrList = answer.read()?;
    if list.cdrs.is_empty() {
        let line = format!("there is no record of call {call_id}; a call has one once it has ended");
        return Err(CliError::new(Exit::NotFound, vec![line]));
    }
    if context.printed_as_json(&answer)? {
        return Ok(());
    }
    for (index, cdr) in list.cdrs.iter().enumerate() {
        if index > 0 {
            context.line("")?;
        }
        context.card(&card(cdr))?;
        if !cdr.charges.is_empty() {
            context.line("")?;
            context.table(&charges(&cdr.charges))?;
        }
    }
    Ok(())
}

fn table(cdrs: &[CdrView]) -> Table {
    let mut table = Table::new([
        Column::new("ended"),
        Column::number("cdr").rank(2),
        Column::new("call").rank(8),
        Column::new("type").rank(4),
        Column::new("result").rank(9),
        Column::id("account").rank(7),
        Column::id("customer").rank(6),
        Column::id("caller").rank(5),
        Column::id("callee"),
        Column::text("destination").rank(1),
        Column::number("time"),
        Column::number("billed").rank(3),
        Column::number("charge"),
        Column::new("cur").rank(8),
        Column::text("flags").rank(3),
    ]);
    for cdr in cdrs {
        table.row([
            Text::from(clock_time(&cdr.ended_at)),
            Text::from(cdr.id),
            Text::from(&cdr.call_id),
            Text::from(&cdr.record_type),
            result(&cdr.result),
            Text::from(cdr.account.as_ref().unwrap_or(&cdr.user_name)),
            Text::from(cdr.customer.as_ref()),
            Text::from(&cdr.caller),
            Text::from(&cdr.callee),
            Text::from(&cdr.destination),
            Text::from(duration(cdr.seconds)),
            Text::from(duration(cdr.billed_seconds)),
            Text::from(&cdr.charge),
            Text::from(cdr.currency.as_ref()),
            Text::toned(cdr.flags.join(","), Tone::Odd),
        ]);
    }
    table
}

fn card(cdr: &CdrView) -> Card {
    let with_currency = |amount: &str, currency: &Option<String>| match currency {
        Some(currency) => format!("{amount} {currency}"),
        None => amount.to_owned(),
    };
    let mut card = Card::new();
    card.field("cdr", cdr.id);
    card.field("call", &cdr.call_id);
    card.field("type", &cdr.record_type);
    card.field("result", result(&cdr.result));
    card.field("account", cdr.account.as_ref());
    card.field("user name", &cdr.user_name);
    card.field("customer", cdr.customer.as_ref());
    card.field("reseller", cdr.reseller.as_ref());
    card.field("caller", &cdr.caller);
    card.field("callee", &cdr.callee);
    card.field("destination", &cdr.destination);
    card.field("nas", &cdr.nas);
    card.field("carrier", cdr.carrier.as_ref());
    card.field("connection", cdr.connection.as_ref());
    card.field("conf id", cdr.conf_id.as_ref());
    card.field("acct session id", &cdr.acct_session_id);
    card.field("opened", &cdr.opened_at);
    card.field("started", cdr.started_at.as_ref());
    card.field("ended", &cdr.ended_at);
    card.field("ended by", &cdr.ended_by);
    card.field("cause", cdr.cause.map(u32::from));
    card.field("talk", seconds(cdr.seconds));
    card.field("billed", seconds(cdr.billed_seconds));
    card.field("charge", with_currency(&cdr.charge, &cdr.currency));
    card.field("carrier's cost", cdr.cost.as_ref().map(|cost| with_currency(cost, &cdr.cost_currency)));
    if cdr.estimated {
        card.field("estimated", Text::toned("yes: no Stop came", Tone::Odd));
    }
    card.field("flags", Text::toned(cdr.flags.join(", "), Tone::Odd));
    card
}

fn charges(charges: &[ChargeView]) -> Table {
    let mut table = Table::new([
        Column::new("payer"),
        Column::text("destination").rank(1),
        Column::new("prefix").rank(2),
        Column::number("per minute"),
        Column::number("amount"),
        Column::new("cur"),
    ]);
    for charge in charges {
        table.row([
            Text::from(&charge.party),
            Text::from(&charge.destination),
            Text::from(&charge.prefix),
            Text::from(charge.rate.as_ref()),
            Text::from(&charge.amount),
            Text::from(&charge.currency),
        ]);
    }
    table
}

fn result(result: &str) -> Text {
    Text::toned(result, if result == "failure" { Tone::Bad } else { Tone::Plain })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::cli::table::Screen;

    #[test]
    fn records_are_a_table() {
        let cdr = CdrView {
            id: 7,
            call_id: "c1".into(),
            record_type: "charge".into(),
            result: "ok".into(),
            account: Some("alice".into()),
            customer: Some("acme".into()),
            caller: "4940111".into(),
            callee: "4930123".into(),
            destination: "Germany, Berlin".into(),
            ended_at: "2026-01-01T00:01:05.100Z".into(),
            seconds: 65,
            billed_seconds: 120,
            charge: "0.024000".into(),
            currency: Some("EUR".into()),
            flags: vec!["overrun".into()],
            ..CdrView::default()
        };
        let mut out = Vec::new();
        table(&[cdr]).write(&mut out, Screen::default()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
ENDED                 CDR  CALL  TYPE    RESULT  ACCOUNT  CUSTOMER  CALLER   CALLEE   DESTINATION      TIME  BILLED    CHARGE  CUR  FLAGS
2026-01-01T00:01:05Z    7  c1    charge  ok      alice    acme      4940111  4930123  Germany, Berlin  1:05    2:00  0.024000  EUR  overrun
"
        );
    }
}
