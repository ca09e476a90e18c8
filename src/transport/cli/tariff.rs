//! `tariff`: rate plans by name; their rates are under `rate`.

use clap::Subcommand;

use super::context::Context;
use super::error::CliError;
use super::input::{Members, Page};
use super::noun::{Noun, Remove};
use super::table::{Card, Column, Table, Text};
use crate::domain::money::Currency;
use crate::service::admin::spec::TariffView;

const TARIFFS: Noun = Noun { one: "tariff", path: "tariffs" };

/// The verbs of `tariff`.
#[derive(Subcommand, Clone, Debug)]
pub enum TariffVerb {
    /// List tariffs
    #[command(after_help = "Examples:\n  ringfence tariff list")]
    List {
        /// How much of the list.
        #[command(flatten)]
        page: Page,
    },
    /// Show one tariff
    #[command(
        after_help = "Examples:\n  ringfence tariff show retail\n  ringfence rate list --tariff retail --prefix 49"
    )]
    Show {
        /// The tariff
        id: String,
    },
    /// Add a tariff, without rates yet
    #[command(
        after_help = "Examples:\n  ringfence tariff add retail --currency EUR\n  ringfence rate import retail.csv --tariff retail"
    )]
    Add {
        /// Its id: letters, digits, and some signs such as - _ .
        id: String,
        /// The currency of all its prices, three letters
        #[arg(long, value_name = "CODE", value_parser = currency)]
        currency: String,
    },
    /// Change the currency of a tariff that nobody uses
    #[command(after_help = "Examples:\n  ringfence tariff set retail --currency USD")]
    Set {
        /// The tariff
        id: String,
        /// The currency of all its prices, three letters
        #[arg(long, value_name = "CODE", value_parser = currency)]
        currency: Option<String>,
    },
    /// Remove tariffs that nobody uses, with their rates
    #[command(after_help = "Examples:\n  ringfence tariff remove retail --yes")]
    Remove(Remove),
}

/// Runs a verb of `tariff`.
///
/// # Errors
/// It was not done; the error says why.
pub fn run(context: &mut Context<'_>, verb: TariffVerb) -> Result<(), CliError> {
    let noun = TARIFFS;
    let members = |currency: Option<String>| {
        let mut members = Members::new();
        members.set("currency", currency);
        members
    };
    match verb {
        TariffVerb::List { page } => noun.list(context, Vec::new(), &page, table),
        TariffVerb::Show { id } => noun.show(context, &id, card),
        TariffVerb::Add { id, currency } => noun.add(context, &id, members(Some(currency)), card),
        TariffVerb::Set { id, currency } => noun.set(context, &id, members(currency), card),
        TariffVerb::Remove(remove) => noun.remove(context, &remove),
    }
}

fn currency(text: &str) -> Result<String, String> {
    text.parse::<Currency>().map(|currency| currency.to_string()).map_err(|error| error.to_string())
}

fn table(tariffs: &[TariffView]) -> Table {
    let mut table =
        Table::new([Column::id("id"), Column::new("currency"), Column::number("rates"), Column::number("version")]);
    for tariff in tariffs {
        table.row([
            Text::from(&tariff.id),
            Text::from(&tariff.currency),
            Text::from(tariff.rates),
            Text::from(tariff.version),
        ]);
    }
    table
}

fn card(tariff: &TariffView) -> Card {
    let mut card = Card::new();
    card.field("tariff", &tariff.id);
    card.field("currency", &tariff.currency);
    card.field("rates", tariff.rates);
    card.field("version", tariff.version);
    card
}
