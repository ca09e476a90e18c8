//! `decode`: captured packets made readable, without a daemon.

use std::path::Path;

use clap::Args;

use super::capture::{self, Captured, Found};
use super::client::shown;
use super::context::Context;
use super::error::CliError;
use super::nas::{DIALECTS, SharedSecret};
use super::table::{Card, Text, Tone};
use super::text::counted;
use crate::domain::nas::DialectName;
use crate::service::decode::{Datagram, DecodedPacket, Decoder, Holds};
use crate::wire::authenticator::Secret;

/// Where RADIUS is spoken: authorization, accounting, disconnect, under their present and earlier numbers.
const PORTS: [u16; 6] = [1812, 1813, 3799, 1645, 1646, 1700];

/// What is to be made readable, and how.
#[derive(Args, Clone, Debug)]
pub struct Decode {
    /// Captures: pcap, pcapng or .jsonl files, files of hexadecimal lines, directories of these, - for
    /// standard input, or the digits of a packet themselves
    #[arg(value_name = "CAPTURE", required = true)]
    captures: Vec<String>,
    /// The make of gateway that sent the packets: its names of attributes, its meaning
    #[arg(long, value_name = "DIALECT", default_value = "rfc", value_parser = DIALECTS)]
    dialect: String,
    #[command(flatten)]
    secret: SharedSecret,
    /// A UDP port where RADIUS is spoken, instead of 1812, 1813, 3799, 1645, 1646 and 1700; repeat for more
    #[arg(long = "port", value_name = "PORT")]
    ports: Vec<u16>,
    /// One line a packet: its number, what it is, and what it becomes
    #[arg(long)]
    brief: bool,
}

/// Prints what is in captures.
///
/// # Errors
/// A capture cannot be read, or there was something in it that is malformed or not made with the secret.
pub fn run(context: &mut Context<'_>, decode: Decode) -> Result<(), CliError> {
    let Decode { captures, dialect, secret, ports, brief } = decode;
    let dialect = dialect_named(&dialect)?;
    let secret = match secret.source() {
        Some(from) => Some(
            from.read(context.environment, Path::new(""))
                .map_err(|error| CliError::usage(format!("the secret: {error}")))?,
        ),
        None => None,
    };
    let mut decoder = Decoder::new(dialect, secret.map(Secret::from));
    let is_wanted = |port| if ports.is_empty() { PORTS.contains(&port) } else { ports.contains(&port) };
    let mut seen = Seen::default();
    for source in &captures {
        capture::read(source, &is_wanted, &mut |found| match found {
            Found::Packet(captured) => {
                let decoded = decoder.decode(&datagram(&captured));
                seen.count(&decoded);
                print(context, &decoded, brief)
            }
            Found::Fault(fault) => {
                seen.faults += 1;
                context.note(&shown(&fault));
                Ok(())
            }
            Found::Note(note) => {
                context.note(&shown(&note));
                Ok(())
            }
        })?;
    }
    context.out.flush()?;
    seen.end(context)
}

/// The dialect of this name; clap lets no other through.
pub(super) fn dialect_named(name: &str) -> Result<DialectName, CliError> {
    name.parse().map_err(|error| CliError::usage(format!("--dialect: {error}")))
}

fn datagram(captured: &Captured) -> Datagram<'_> {
    Datagram {
        place: captured.place.clone(),
        at: captured.at,
        from: captured.from,
        to: captured.to,
        told: captured.told.clone(),
        secret: captured.secret.as_deref().map(Secret::from),
        bytes: &captured.bytes,
    }
}

/// What there was.
#[derive(Default)]
struct Seen {
    packets: usize,
    malformed: usize,
    unproven: usize,
    faults: usize,
}

impl Seen {
    fn count(&mut self, decoded: &DecodedPacket) {
        self.packets += 1;
        self.malformed += usize::from(decoded.malformed.is_some());
        let digests = [decoded.authenticator, decoded.message_authenticator];
        self.unproven += usize::from(digests.into_iter().flatten().any(Holds::is_bad));
    }

    fn end(self, context: &mut Context<'_>) -> Result<(), CliError> {
        let Seen { packets, malformed, unproven, faults } = self;
        if packets == 0 && faults == 0 {
            return Err(CliError::failed(
                "no RADIUS in it: nothing on the ports that are looked at; --port names others",
            ));
        }
        let wrong = [(malformed, "malformed"), (unproven, "not made with the secret"), (faults, "not to be read")];
        let wrong: Vec<String> =
            wrong.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        context.note(&format!("{}: {}", counted(packets, "packet"), wrong.join(", ")));
        // All has been said.
        Err(CliError::new(super::error::Exit::Failed, Vec::new()))
    }
}

/// Prints a packet: as a line of JSON, a line, or a card.
pub(super) fn print(context: &mut Context<'_>, decoded: &DecodedPacket, brief: bool) -> Result<(), CliError> {
    if context.json {
        return context.print_json(decoded);
    }
    if brief {
        return context.line(&shown(&line(decoded)));
    }
    context.card(&card(decoded))?;
    context.line("")
}

/// What it is: `1 Access-Request id 46`.
fn title(decoded: &DecodedPacket) -> String {
    match (decoded.identifier, decoded.length) {
        (Some(identifier), Some(length)) => format!("{}, id {identifier}, {length} bytes", decoded.code_name),
        _ => "no RADIUS packet".to_owned(),
    }
}

fn line(decoded: &DecodedPacket) -> String {
    let what = match &decoded.malformed {
        Some(malformed) => format!("malformed at byte {}: {}", malformed.offset, malformed.why),
        None => format!("{} id {}", decoded.code_name, decoded.identifier.unwrap_or_default()),
    };
    format!("{}  {}  {what}  {}", decoded.number, decoded.place, decoded.becomes)
}

fn card(decoded: &DecodedPacket) -> Card {
    let mut card = Card::new();
    card.field(&format!("packet {}", decoded.number), title(decoded));
    card.field("  from", &decoded.place);
    card.field("  at", decoded.at.as_ref());
    let way = match (&decoded.from, &decoded.to) {
        (Some(from), Some(to)) => format!("{from} to {to}"),
        (Some(from), None) => format!("sent by {from}"),
        (None, Some(to)) => format!("sent to {to}"),
        (None, None) => String::new(),
    };
    card.field("  way", way);
    card.field("  recorded as", decoded.told.as_ref());
    if let Some(malformed) = &decoded.malformed {
        let why = format!("byte {}: {}", malformed.offset, malformed.why);
        card.field("  malformed", Text::toned(why, Tone::Bad));
    }
    for (name, holds) in
        [("  authenticator", decoded.authenticator), ("  message authenticator", decoded.message_authenticator)]
    {
        if let Some(holds) = holds {
            let tone = match holds {
                Holds::Right => Tone::Good,
                Holds::Wrong | Holds::Zeroes => Tone::Bad,
                _ => Tone::Plain,
            };
            card.field(name, Text::toned(holds.in_words(), tone));
        }
    }
    if let Some(number) = decoded.repeats {
        card.field("  sent again", format!("the same bytes as packet {number}"));
    }
    for attribute in &decoded.attributes {
        card.field(&format!("    {}", attribute.name), &attribute.value);
    }
    for meaning in &decoded.meaning {
        card.field(&format!("  means {}", meaning.name), &meaning.value);
    }
    card.field("  becomes", &decoded.becomes);
    for note in &decoded.notes {
        card.field("  note", Text::toned(note, Tone::Odd));
    }
    card
}
