//! `reseller` and `customer`: who owes money, what they may spend, what they have paid.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::block::{self, Block, Unblock};
use super::client::Ask;
use super::context::Context;
use super::error::{CliError, Exit};
use super::input::{self, Members, OrNone, Page};
use super::noun::{self, Noun, Remove};
use super::table::{Card, Column, Table, Text, Tone};
use super::text::{clock_time, rules};
use crate::service::admin::spec::{EntryView, PartyView, PostedView};

const RESELLERS: Noun = Noun { one: "reseller", path: "resellers" };
const CUSTOMERS: Noun = Noun { one: "customer", path: "customers" };

/// The verbs of `reseller`.
#[derive(Subcommand, Clone, Debug)]
pub enum ResellerVerb {
    /// List resellers with their balances
    #[command(after_help = "Examples:\n  ringfence reseller list\n  ringfence reseller list --json --all")]
    List {
        /// Only those below this one
        #[arg(long, value_name = "ID")]
        parent: Option<String>,
        /// How much of the list.
        #[command(flatten)]
        page: Page,
    },
    /// Show one reseller
    #[command(after_help = "Examples:\n  ringfence reseller show north")]
    Show {
        /// The reseller
        id: String,
    },
    /// Add a reseller
    #[command(
        after_help = "Examples:\n  ringfence reseller add north --tariff wholesale --opening-balance 500.00 --calls-max 100"
    )]
    Add {
        /// Its id: letters, digits, and some signs such as - _ .
        id: String,
        /// What it pays
        #[arg(long, value_name = "ID")]
        tariff: String,
        /// What it begins with
        #[arg(long, value_name = "AMOUNT", value_parser = input::amount, allow_negative_numbers = true)]
        opening_balance: Option<String>,
        /// What is said of it.
        #[command(flatten)]
        fields: Box<ResellerFields>,
    },
    /// Change a reseller; what is not named stays
    #[command(
        after_help = "Examples:\n  ringfence reseller set north --credit-limit 200\n  ringfence reseller set north --calls-max none --blocked yes"
    )]
    Set {
        /// The reseller
        id: String,
        /// What it pays, for the calls to come
        #[arg(long, value_name = "ID")]
        tariff: Option<String>,
        /// What is said of it.
        #[command(flatten)]
        fields: Box<ResellerFields>,
    },
    /// Block resellers: no new calls; with --disconnect the calls that are up end too
    #[command(
        after_help = "All calls of the customers below a reseller are its calls.\n\nWithout --disconnect a call that is up ends when what is reserved for it does. With it, the calls are shown, somebody is asked, and their gateways are asked to end them as by `call disconnect`; without a terminal nothing is done unless --yes is said.\n\nExamples:\n  ringfence reseller block north\n  ringfence reseller block north --disconnect\n  ringfence reseller block north south --disconnect --yes"
    )]
    Block(Block),
    /// Block resellers no longer
    #[command(after_help = "Examples:\n  ringfence reseller unblock north")]
    Unblock(Unblock),
    /// Remove resellers that nothing belongs to
    #[command(after_help = "Examples:\n  ringfence reseller remove north --yes")]
    Remove(Remove),
    /// Add a payment to the balance
    #[command(
        after_help = "The same key again is the same payment: after an error, repeat the command with the key it printed.\n\nExamples:\n  ringfence reseller topup north 500.00 --note 'invoice 2026-014'"
    )]
    Topup(Post),
    /// Correct the balance, up or down
    #[command(after_help = "Examples:\n  ringfence reseller adjust north -12.50 --note 'credit note 17'")]
    Adjust(Post),
    /// The entries of the balance, newest first
    #[command(after_help = "Examples:\n  ringfence reseller statement north --from 2026-01-01")]
    Statement(Statement),
}

/// The verbs of `customer`.
#[derive(Subcommand, Clone, Debug)]
pub enum CustomerVerb {
    /// List customers with their balances
    #[command(
        after_help = "Examples:\n  ringfence customer list\n  ringfence customer list --reseller north --json --all"
    )]
    List {
        /// Only those of this reseller
        #[arg(long, value_name = "ID")]
        reseller: Option<String>,
        /// How much of the list.
        #[command(flatten)]
        page: Page,
    },
    /// Show one customer
    #[command(after_help = "Examples:\n  ringfence customer show acme")]
    Show {
        /// The customer
        id: String,
    },
    /// Add a customer
    #[command(
        after_help = "Examples:\n  ringfence customer add acme --tariff retail --opening-balance 10.00 --calls-max 2\n  ringfence customer add beta --reseller north --tariff retail --credit-limit 50 --spend-per-day-max 20"
    )]
    Add {
        /// Its id: letters, digits, and some signs such as - _ .
        id: String,
        /// What it pays
        #[arg(long, value_name = "ID")]
        tariff: String,
        /// What it begins with
        #[arg(long, value_name = "AMOUNT", value_parser = input::amount, allow_negative_numbers = true)]
        opening_balance: Option<String>,
        /// What is said of it.
        #[command(flatten)]
        fields: Box<CustomerFields>,
    },
    /// Change a customer; what is not named stays
    #[command(
        after_help = "Examples:\n  ringfence customer set acme --tariff gold\n  ringfence customer set acme --blocked yes\n  ringfence customer set acme --spend-per-day-max none --number-rule '^00=>'"
    )]
    Set {
        /// The customer
        id: String,
        /// What it pays, for the calls to come
        #[arg(long, value_name = "ID")]
        tariff: Option<String>,
        /// What is said of it.
        #[command(flatten)]
        fields: Box<CustomerFields>,
    },
    /// Block customers: no new calls; with --disconnect the calls that are up end too
    #[command(
        after_help = "Without --disconnect a call that is up ends when what is reserved for it does. With it, the calls are shown, somebody is asked, and their gateways are asked to end them as by `call disconnect`; without a terminal nothing is done unless --yes is said.\n\nExamples:\n  ringfence customer block acme\n  ringfence customer block acme --disconnect\n  ringfence customer block acme beta --disconnect --yes"
    )]
    Block(Block),
    /// Block customers no longer
    #[command(after_help = "Examples:\n  ringfence customer unblock acme")]
    Unblock(Unblock),
    /// Remove customers without accounts
    #[command(after_help = "Examples:\n  ringfence customer remove acme --yes")]
    Remove(Remove),
    /// Add a payment to the balance
    #[command(
        after_help = "The same key again is the same payment: after an error, repeat the command with the key it printed.\n\nExamples:\n  ringfence customer topup acme 5.00 --note cash\n  ringfence customer topup acme 5.00 --key payment-4711"
    )]
    Topup(Post),
    /// Correct the balance, up or down
    #[command(after_help = "Examples:\n  ringfence customer adjust acme -1.20 --note 'wrong rate on Monday'")]
    Adjust(Post),
    /// The entries of the balance, newest first
    #[command(
        after_help = "Examples:\n  ringfence customer statement acme\n  ringfence customer statement acme --kind topup --from 2026-01-01 --all"
    )]
    Statement(Statement),
}

/// What resellers and customers have alike.
#[derive(Args, Clone, Debug, Default)]
pub struct PartyFields {
    /// Its name on paper
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// How far below zero the balance may go
    #[arg(long, value_name = "AMOUNT", value_parser = input::amount)]
    credit_limit: Option<String>,
    /// Most calls at once, or none
    #[arg(long, value_name = "N", value_parser = input::number_or_none)]
    calls_max: Option<OrNone<u32>>,
    /// Most attempts in a second, or none
    #[arg(long, value_name = "N", value_parser = input::number_or_none)]
    attempts_per_second_max: Option<OrNone<u32>>,
    /// Most that the calls of one day (UTC) may cost, or none
    #[arg(long, value_name = "AMOUNT", value_parser = input::amount_or_none)]
    spend_per_day_max: Option<OrNone<String>>,
    /// No new calls: yes or no
    #[arg(long, value_name = "YES|NO", value_parser = input::yes_or_no)]
    blocked: Option<bool>,
}

/// What can be said of a reseller.
#[derive(Args, Clone, Debug, Default)]
pub struct ResellerFields {
    #[command(flatten)]
    party: PartyFields,
    /// The reseller above it, or none
    #[arg(long, value_name = "ID", value_parser = input::text_or_none)]
    parent: Option<OrNone<String>>,
}

/// What can be said of a customer.
#[derive(Args, Clone, Debug, Default)]
pub struct CustomerFields {
    #[command(flatten)]
    party: PartyFields,
    /// The reseller that it belongs to, or none
    #[arg(long, value_name = "ID", value_parser = input::text_or_none)]
    reseller: Option<OrNone<String>>,
    /// What a call meets without credit; hotline is only noted in this version, the call is rejected
    #[arg(long, value_name = "WHAT", value_parser = ["reject", "hotline"])]
    no_credit: Option<String>,
    /// Rewrite dialled numbers: a regular expression and what replaces its match; repeat for more,
    /// none for no rules
    #[arg(long = "number-rule", value_name = "MATCH=>REPLACE", value_parser = input::number_rule)]
    number_rules: Vec<OrNone<Value>>,
}

/// A movement of money.
#[derive(Args, Clone, Debug)]
pub struct Post {
    /// Whose balance
    id: String,
    /// How much
    #[arg(value_parser = input::amount, allow_negative_numbers = true)]
    amount: String,
    /// Said about it
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// The same key again is the same entry; made up and printed if absent
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

/// Which entries.
#[derive(Args, Clone, Debug)]
pub struct Statement {
    /// Whose
    id: String,
    /// From this time on, such as 2026-01-01 or 2026-01-01T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = input::instant)]
    from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = input::instant)]
    to: Option<String>,
    /// Only entries of this kind
    #[arg(long, value_name = "KIND",
        value_parser = ["opening", "topup", "adjustment", "charge", "overrun", "correction", "refund"])]
    kind: Option<String>,
    #[command(flatten)]
    page: Page,
}

/// Runs a verb of `reseller`.
///
/// # Errors
/// It was not done; the error says why.
pub fn run_reseller(context: &mut Context<'_>, verb: ResellerVerb) -> Result<(), CliError> {
    let noun = RESELLERS;
    match verb {
        ResellerVerb::List { parent, page } => {
            noun.list(context, vec![("reseller", parent)], &page, |resellers| table(resellers, "parent"))
        }
        ResellerVerb::Show { id } => noun.show(context, &id, card),
        ResellerVerb::Add { id, tariff, opening_balance, fields } => {
            let mut members = fields.members(Some(tariff));
            members.set("opening_balance", opening_balance);
            noun.add(context, &id, members, card)
        }
        ResellerVerb::Set { id, tariff, fields } => noun.set(context, &id, fields.members(tariff), card),
        ResellerVerb::Block(block) => block::block(context, noun, &block),
        ResellerVerb::Unblock(unblock) => block::unblock(context, noun, &unblock),
        ResellerVerb::Remove(remove) => noun.remove(context, &remove),
        ResellerVerb::Topup(post) => self::post(context, noun, "topup", post),
        ResellerVerb::Adjust(post) => self::post(context, noun, "adjustment", post),
        ResellerVerb::Statement(statement) => self::statement(context, noun, statement),
    }
}

/// Runs a verb of `customer`.
///
/// # Errors
/// It was not done; the error says why.
pub fn run_customer(context: &mut Context<'_>, verb: CustomerVerb) -> Result<(), CliError> {
    let noun = CUSTOMERS;
    match verb {
        CustomerVerb::List { reseller, page } => {
            noun.list(context, vec![("reseller", reseller)], &page, |customers| table(customers, "reseller"))
        }
        CustomerVerb::Show { id } => noun.show(context, &id, card),
        CustomerVerb::Add { id, tariff, opening_balance, fields } => {
            let mut members = fields.members(Some(tariff));
            members.set("opening_balance", opening_balance);
            noun.add(context, &id, members, card)
        }
        CustomerVerb::Set { id, tariff, fields } => noun.set(context, &id, fields.members(tariff), card),
        CustomerVerb::Block(block) => block::block(context, noun, &block),
        CustomerVerb::Unblock(unblock) => block::unblock(context, noun, &unblock),
        CustomerVerb::Remove(remove) => noun.remove(context, &remove),
        CustomerVerb::Topup(post) => self::post(context, noun, "topup", post),
        CustomerVerb::Adjust(post) => self::post(context, noun, "adjustment", post),
        CustomerVerb::Statement(statement) => self::statement(context, noun, statement),
    }
}

impl PartyFields {
    fn members(self, tariff: Option<String>) -> Members {
        let mut members = Members::new();
        members.set("tariff", tariff);
        members.set("name", self.name);
        members.set("credit_limit", self.credit_limit);
        members.set("calls_max", self.calls_max);
        members.set("attempts_per_second_max", self.attempts_per_second_max);
        members.set("spend_per_day_max", self.spend_per_day_max);
        members.set("blocked", self.blocked);
        members
    }
}

impl ResellerFields {
    fn members(self, tariff: Option<String>) -> Members {
        let mut members = self.party.members(tariff);
        members.set("parent", self.parent);
        members
    }
}

impl CustomerFields {
    fn members(self, tariff: Option<String>) -> Members {
        let mut members = self.party.members(tariff);
        members.set("reseller", self.reseller);
        members.set("no_credit", self.no_credit);
        members.set_list("number_rules", &self.number_rules);
        members
    }
}

fn post(context: &mut Context<'_>, noun: Noun, kind: &str, post: Post) -> Result<(), CliError> {
    let key = post.key.unwrap_or_else(new_key);
    let body = json!({
        "kind": kind,
        "amount": post.amount,
        "note": post.note.unwrap_or_default(),
        "idempotency_key": key,
    });
    let ask = Ask::post(format!("{}/entries", noun.path_of(&post.id))).json(&body)?;
    let answer = context.client.ask(ask).map_err(|mut error| {
        // Whether it was posted is not known here, and a second key would post it again.
        if matches!(error.exit, Exit::Unreachable | Exit::Failed) && !error.is_of_request() {
            error.lines.push(format!("to try the same again, and not a second time, add: --key {key}"));
        }
        error
    })?;
    if context.printed_as_json(&answer)? {
        return Ok(());
    }
    context.line(&posted_line(&answer.read()?, &key))
}

fn posted_line(posted: &PostedView, key: &str) -> String {
    let PostedView { id, party, kind, amount, balance, currency, known } = posted;
    let was = if *known { "was posted before under this key, nothing was added now" } else { "posted" };
    format!("{party}: {kind} of {amount} {currency} {was}; balance {balance} {currency} (entry {id}, key {key})")
}

/// A key that no other entry has: 128 bits by chance.
fn new_key() -> String {
    let chance = || RandomState::new().build_hasher().finish();
    format!("cli-{:016x}{:016x}", chance(), chance())
}

fn statement(context: &mut Context<'_>, noun: Noun, statement: Statement) -> Result<(), CliError> {
    let path = format!("{}/entries", noun.path_of(&statement.id));
    let filters = vec![("from", statement.from), ("to", statement.to), ("kind", statement.kind)];
    noun::list(context, &path, "entries", filters, &statement.page, entries)
}

fn table(parties: &[PartyView], above: &'static str) -> Table {
    let mut table = Table::new([
        Column::id("id"),
        Column::new(above).rank(4),
        Column::id("tariff").rank(5),
        Column::number("balance"),
        Column::number("reserved").rank(6),
        Column::number("available").rank(7),
        Column::number("limit").rank(2),
        Column::new("cur").rank(8),
        Column::number("calls").rank(3),
        Column::new("blocked").rank(9),
        Column::text("name").rank(1),
    ]);
    for party in parties {
        table.row([
            Text::from(&party.id),
            Text::from(party.reseller.as_ref().or(party.parent.as_ref())),
            Text::from(&party.tariff),
            money(&party.balance),
            Text::from(&party.reserved),
            money(&party.available),
            Text::from(&party.credit_limit),
            Text::from(&party.currency),
            of_max(party.calls, party.calls_max),
            blocked(party.blocked),
            Text::from(&party.name),
        ]);
    }
    table
}

fn card(party: &PartyView) -> Card {
    let with_currency = |amount: &str| format!("{amount} {}", party.currency);
    let mut card = Card::new();
    card.field(&party.kind, &party.id);
    card.field("name", &party.name);
    card.field("reseller", party.reseller.as_ref().or(party.parent.as_ref()));
    card.field("tariff", &party.tariff);
    card.field("balance", with_currency(&party.balance));
    card.field("reserved", with_currency(&party.reserved));
    card.field("available", with_currency(&party.available));
    card.field("credit limit", with_currency(&party.credit_limit));
    card.field("spend per day", party.spend_per_day_max.as_deref().map(with_currency));
    card.field("calls", of_max(party.calls, party.calls_max));
    card.field("attempts per second", party.attempts_per_second_max);
    card.field("blocked", blocked(party.blocked));
    card.field("no credit", &party.no_credit);
    card.field("number rules", rules(&party.number_rules));
    for warning in &party.warnings {
        card.field("warning", Text::toned(warning, Tone::Odd));
    }
    card
}

fn entries(entries: &[EntryView]) -> Table {
    let mut table = Table::new([
        Column::new("at"),
        Column::number("entry").rank(4),
        Column::new("kind"),
        Column::number("amount"),
        Column::number("balance"),
        Column::new("cur").rank(5),
        Column::new("call").rank(6),
        Column::text("note").rank(7),
        Column::id("by").rank(2),
        Column::new("key").rank(1),
    ]);
    for entry in entries {
        table.row([
            clock_time(&entry.at).into(),
            entry.id.into(),
            Text::from(&entry.kind),
            money(&entry.amount),
            Text::from(&entry.balance),
            Text::from(&entry.currency),
            Text::from(entry.call_id.as_ref()),
            Text::from(&entry.note),
            Text::from(&entry.by),
            Text::from(entry.idempotency_key.as_ref()),
        ]);
    }
    table
}

fn money(amount: &str) -> Text {
    Text::toned(amount, if amount.starts_with('-') { Tone::Bad } else { Tone::Plain })
}

fn blocked(blocked: bool) -> Text {
    if blocked { Text::toned("yes", Tone::Bad) } else { Text::from("no") }
}

/// How many of how many.
pub fn of_max(number: u32, max: Option<u32>) -> Text {
    match max {
        Some(max) if number >= max => Text::toned(format!("{number}/{max}"), Tone::Odd),
        Some(max) => Text::from(format!("{number}/{max}")),
        None => Text::from(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::cli::table::Screen;

    fn acme() -> PartyView {
        PartyView {
            id: "acme".into(),
            kind: "customer".into(),
            reseller: Some("north".into()),
            tariff: "retail".into(),
            currency: "EUR".into(),
            balance: "10.000000".into(),
            reserved: "0.600000".into(),
            available: "9.400000".into(),
            credit_limit: "0.000000".into(),
            calls: 1,
            calls_max: Some(2),
            no_credit: "reject".into(),
            ..PartyView::default()
        }
    }

    fn written(write: impl Fn(&mut Vec<u8>) -> std::io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn customers_are_a_table() {
        let debtor = PartyView { id: "debtor".into(), balance: "-3.200000".into(), blocked: true, ..acme() };
        let table = table(&[acme(), debtor], "reseller");
        assert_eq!(
            written(|out| table.write(out, Screen::default())),
            "\
ID      RESELLER  TARIFF    BALANCE  RESERVED  AVAILABLE     LIMIT  CUR  CALLS  BLOCKED  NAME
acme    north     retail  10.000000  0.600000   9.400000  0.000000  EUR    1/2  no
debtor  north     retail  -3.200000  0.600000   9.400000  0.000000  EUR    1/2  yes
"
        );
    }

    #[test]
    fn a_customer_is_a_card() {
        assert_eq!(
            written(|out| card(&acme()).write(out, Screen::default())),
            "\
customer      acme
reseller      north
tariff        retail
balance       10.000000 EUR
reserved      0.600000 EUR
available     9.400000 EUR
credit limit  0.000000 EUR
calls         1/2
blocked       no
no credit     reject
"
        );
    }

    #[test]
    fn what_was_posted_before_is_told() {
        let posted = PostedView {
            id: 7,
            party: "acme".into(),
            kind: "topup".into(),
            amount: "5.000000".into(),
            balance: "15.000000".into(),
            currency: "EUR".into(),
            known: false,
        };
        assert_eq!(
            posted_line(&posted, "k"),
            "acme: topup of 5.000000 EUR posted; balance 15.000000 EUR (entry 7, key k)"
        );
        let known = PostedView { known: true, ..posted };
        assert!(posted_line(&known, "k").contains("nothing was added now"));
    }

    #[test]
    fn no_two_keys_are_alike() {
        assert_ne!(new_key(), new_key());
    }
}
