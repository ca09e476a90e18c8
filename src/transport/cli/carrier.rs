//! `carrier` and `connection`: who terminates calls, and the trunks that lead there.

use clap::Subcommand;

use super::context::Context;
use super::error::CliError;
use super::input::{self, Members, OrNone, Page};
use super::noun::{Noun, Remove};
use super::party::of_max;
use super::table::{Card, Column, Table, Text};
use crate::service::admin::spec::{CarrierView, ConnectionView};

const CARRIERS: Noun = Noun { one: "carrier", path: "carriers" };
const CONNECTIONS: Noun = Noun { one: "connection", path: "connections" };

/// The verbs of `carrier`.
#[derive(Subcommand, Clone, Debug)]
pub enum CarrierVerb {
    /// List carriers
    #[command(after_help = "Examples:\n  ringfence carrier list")]
    List {
        /// How much of the list.
        #[command(flatten)]
        page: Page,
    },
    /// Show one carrier
    #[command(after_help = "Examples:\n  ringfence carrier show carrier-1")]
    Show {
        /// The carrier
        id: String,
    },
    /// Add a carrier
    #[command(after_help = "Examples:\n  ringfence carrier add carrier-1 --tariff cost-1 --calls-max 500")]
    Add {
        /// Its id: letters, digits, and some signs such as - _ .
        id: String,
        /// What it takes for a call
        #[arg(long, value_name = "ID")]
        tariff: String,
        /// Most calls at once, or none
        #[arg(long, value_name = "N", value_parser = input::number_or_none)]
        calls_max: Option<OrNone<u32>>,
    },
    /// Change a carrier; what is not named stays
    #[command(after_help = "Examples:\n  ringfence carrier set carrier-1 --calls-max none")]
    Set {
        /// The carrier
        id: String,
        /// What it takes for the calls to come
        #[arg(long, value_name = "ID")]
        tariff: Option<String>,
        /// Most calls at once, or none
        #[arg(long, value_name = "N", value_parser = input::number_or_none)]
        calls_max: Option<OrNone<u32>>,
    },
    /// Remove carriers without connections
    #[command(after_help = "Examples:\n  ringfence carrier remove carrier-1 --yes")]
    Remove(Remove),
}

/// The verbs of `connection`.
#[derive(Subcommand, Clone, Debug)]
pub enum ConnectionVerb {
    /// List connections
    #[command(after_help = "Examples:\n  ringfence connection list --carrier carrier-1")]
    List {
        /// Only those to this carrier
        #[arg(long, value_name = "ID")]
        carrier: Option<String>,
        /// How much of the list.
        #[command(flatten)]
        page: Page,
    },
    /// Show one connection
    #[command(after_help = "Examples:\n  ringfence connection show c1-london")]
    Show {
        /// The connection
        id: String,
    },
    /// Add a connection
    #[command(
        after_help = "Examples:\n  ringfence connection add c1-london --carrier carrier-1 --address 198.51.100.7"
    )]
    Add {
        /// Its id: letters, digits, and some signs such as - _ .
        id: String,
        /// The carrier at its other end
        #[arg(long, value_name = "ID")]
        carrier: String,
        /// A far address by which a call is known to go through it; repeat for more
        #[arg(long = "address", value_name = "ADDRESS", value_parser = input::text_or_none)]
        addresses: Vec<OrNone<String>>,
    },
    /// Change a connection; what is not named stays
    #[command(
        after_help = "Examples:\n  ringfence connection set c1-london --address 198.51.100.7 --address 198.51.100.8"
    )]
    Set {
        /// The connection
        id: String,
        /// The carrier at its other end
        #[arg(long, value_name = "ID")]
        carrier: Option<String>,
        /// All its far addresses; repeat for more, none for none at all
        #[arg(long = "address", value_name = "ADDRESS", value_parser = input::text_or_none)]
        addresses: Vec<OrNone<String>>,
    },
    /// Remove connections
    #[command(after_help = "Examples:\n  ringfence connection remove c1-london --yes")]
    Remove(Remove),
}

/// Runs a verb of `carrier`.
///
/// # Errors
/// It was not done; the error says why.
pub fn run_carrier(context: &mut Context<'_>, verb: CarrierVerb) -> Result<(), CliError> {
    let noun = CARRIERS;
    let members = |tariff: Option<String>, calls_max: Option<OrNone<u32>>| {
        let mut members = Members::new();
        members.set("tariff", tariff);
        members.set("calls_max", calls_max);
        members
    };
    match verb {
        CarrierVerb::List { page } => noun.list(context, Vec::new(), &page, carriers),
        CarrierVerb::Show { id } => noun.show(context, &id, carrier),
        CarrierVerb::Add { id, tariff, calls_max } => noun.add(context, &id, members(Some(tariff), calls_max), carrier),
        CarrierVerb::Set { id, tariff, calls_max } => noun.set(context, &id, members(tariff, calls_max), carrier),
        CarrierVerb::Remove(remove) => noun.remove(context, &remove),
    }
}

/// Runs a verb of `connection`.
///
/// # Errors
/// It was not done; the error says why.
pub fn run_connection(context: &mut Context<'_>, verb: ConnectionVerb) -> Result<(), CliError> {
    let noun = CONNECTIONS;
    let members = |carrier: Option<String>, addresses: &[OrNone<String>]| {
        let mut members = Members::new();
        members.set("carrier", carrier);
        members.set_list("addresses", addresses);
        members
    };
    match verb {
        ConnectionVerb::List { carrier, page } => noun.list(context, vec![("carrier", carrier)], &page, connections),
        ConnectionVerb::Show { id } => noun.show(context, &id, connection),
        ConnectionVerb::Add { id, carrier, addresses } => {
            noun.add(context, &id, members(Some(carrier), &addresses), connection)
        }
        ConnectionVerb::Set { id, carrier, addresses } => {
            noun.set(context, &id, members(carrier, &addresses), connection)
        }
        ConnectionVerb::Remove(remove) => noun.remove(context, &remove),
    }
}

fn carriers(carriers: &[CarrierView]) -> Table {
    let mut table = Table::new([Column::id("id"), Column::id("tariff"), Column::number("calls")]);
    for carrier in carriers {
        let calls = of_max(carrier.calls, carrier.calls_max);
        table.row([Text::from(&carrier.id), Text::from(&carrier.tariff), calls]);
    }
    table
}

fn carrier(carrier: &CarrierView) -> Card {
    let mut card = Card::new();
    card.field("carrier", &carrier.id);
    card.field("tariff", &carrier.tariff);
    card.field("calls", of_max(carrier.calls, carrier.calls_max));
    card
}

fn connections(connections: &[ConnectionView]) -> Table {
    let mut table = Table::new([Column::id("id"), Column::id("carrier"), Column::text("addresses")]);
    for connection in connections {
        let addresses = connection.addresses.join(", ");
        table.row([Text::from(&connection.id), Text::from(&connection.carrier), Text::from(addresses)]);
    }
    table
}

fn connection(connection: &ConnectionView) -> Card {
    let mut card = Card::new();
    card.field("connection", &connection.id);
    card.field("carrier", &connection.carrier);
    card.field("addresses", connection.addresses.join(", "));
    card
}
