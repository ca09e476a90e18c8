//! What happened to a call, in words: one line an event, with the numbers that decided it.

use std::fmt::Write as _;

use super::escape::escape;
use super::instant::format_instant;
use super::names::Names;
use crate::domain::call::{Call, DisconnectAnswer, Leg};
use crate::domain::decision::{Because, Corrected, Event, Identified, Means, Rejected, ReservedMoney, Settled};
use crate::domain::error_cause;
use crate::domain::id::PartyKey;
use crate::domain::money::Money;
use crate::domain::rating::PriceRule;
use crate::wire::dictionary::Dictionary;
use crate::wire::packet::Packet;

/// The word for what kind of event it is.
pub fn word(event: &Event) -> &'static str {
    match event {
        Event::CallOpened(_) => "opened",
        Event::Reserved(_) => "reserved",
        Event::Extended(_) => "extended",
        Event::Told { .. } => "told",
        Event::StateChanged { .. } => "state",
        Event::Connected { .. } => "answered",
        Event::LegSeen { .. } => "leg",
        Event::SeenUp { .. } => "seen_up",
        Event::Identified(_) => "identified",
        Event::Repriced { .. } => "repriced",
        Event::Flagged { .. } => "flagged",
        Event::ExtensionRefused(_) => "extension_refused",
        Event::DisconnectAsked { .. } => "disconnect",
        Event::DisconnectRepeated { .. } => "disconnect_again",
        Event::DisconnectAnswered { .. } => "disconnect_answer",
        Event::ProlongAnswered { .. } => "prolong_answer",
        Event::ExtensionAwaited { .. } => "extension_awaited",
        Event::Reconsidered { .. } => "reconsidered",
        Event::RemovalAsked { .. } => "removal",
        Event::Settled(_) => "ended",
        Event::Corrected(_) => "corrected",
        Event::Revived { .. } => "revived",
        Event::Recalled(_) => "recalled",
        Event::Forgotten { .. } => "forgotten",
        Event::Booted { .. } => "nas_restarted",
        Event::BookChanged { .. } => "changed",
        Event::EntryPosted(_) => "posted",
        Event::PacketSeen { .. } => "packet",
        Event::Attempted { .. } => "attempted",
        Event::Rejected(_) => "rejected",
    }
}

/// The event in words. `call` is the call as it is known now, by which payers are named in the order
/// in which the event has their amounts; without it they are numbered.
pub fn explain(names: &Names<'_>, call: Option<&Call>, event: &Event) -> String {
    match event {
        Event::CallOpened(call) => opened(names, call),
        Event::Reserved(money) => reserved(names, call, "reserved", money),
        Event::Extended(money) => reserved(names, call, "reserved in addition", money),
        Event::ExtensionRefused(money) => {
            let have = each_payer(names, call, money.means.iter().map(means));
            format!("no more can be reserved: what is held lasts {} s; {have}", money.seconds)
        }
        Event::Told { seconds, .. } => format!("the gateway is told: at most {seconds} s from the start"),
        Event::StateChanged { state, .. } => format!("now {state}"),
        Event::Connected { at, .. } => format!("answered at {}", format_instant(*at)),
        Event::LegSeen { leg: seen, .. } => leg(names, seen),
        Event::SeenUp { at, interim, .. } => {
            let by = if *interim { ", by an interim" } else { "" };
            format!("known to be up at {}{by}", format_instant(*at))
        }
        Event::Identified(known) => identified(names, known),
        Event::Repriced { told, .. } => {
            let rules = told.iter().map(|rule| match rule {
                Some(rule) => format!("also priced at {}", price(rule)),
                None => "as authorized".into(),
            });
            let each = each_payer(names, call, rules);
            format!("accounting tells of another account or number than was authorized: the dearer is charged; {each}")
        }
        Event::Flagged { flags, .. } => format!("noticed: {}", flags.names().collect::<Vec<_>>().join(", ")),
        Event::DisconnectAsked { why, by, .. } => {
            let by = by.as_ref().map(|by| format!(", asked by {}", escape(by.as_bytes()))).unwrap_or_default();
            format!("the gateway is to end it: {}{by}", why.as_str())
        }
        Event::DisconnectRepeated { .. } => "the gateway is asked again to end it".into(),
        Event::DisconnectAnswered { answer, .. } => format!("asked to end it, the gateway {}", answered(*answer)),
        Event::ProlongAnswered { seconds, answer, .. } => {
            format!("asked to let it last {seconds} s from its answer, the gateway {}", answered(*answer))
        }
        Event::ExtensionAwaited { .. } => "money has come: the next part will be reserved".into(),
        Event::Reconsidered { .. } => "looked for money that has come: there is none".into(),
        Event::RemovalAsked { by, .. } => {
            format!("taken out of the registry by {}; the gateway is not told", escape(by.as_bytes()))
        }
        Event::Settled(settled) => ended(names, settled),
        Event::Corrected(corrected) => correction(names, corrected),
        Event::Revived { .. } => "up although it was closed: it takes its slots again".into(),
        Event::Recalled(call) => format!("brought back from the tables: {}", call.state),
        Event::Forgotten { calls } => format!("left memory, with {} calls", calls.len()),
        Event::Booted { nas, at, .. } => {
            format!("nas {} started anew at {}", names.nas(*nas), format_instant(*at))
        }
        Event::BookChanged { changes, by } => format!("{} changes by {}", changes.len(), escape(by.as_bytes())),
        Event::EntryPosted(entry) => {
            let (party, kind) = (names.party(entry.party), entry.kind.as_str());
            format!("{kind} of {} for {party}: balance {}", money(names, entry.party, entry.amount), entry.balance)
        }
        Event::PacketSeen { packet, .. } => packet_in_words(packet),
        Event::Attempted { entities } => {
            let each: Vec<_> =
                entities.iter().map(|(entity, max)| format!("{} of {max} a second", names.entity(*entity))).collect();
            format!("attempt counted: {}", each.join(", "))
        }
        Event::Rejected(rejected) => rejection(names, rejected),
    }
}

/// What a gateway answered, in words.
pub fn answered(answer: DisconnectAnswer) -> String {
    match answer {
        DisconnectAnswer::Acknowledged => "obeys".into(),
        DisconnectAnswer::Removed => "says that it had no such call any more (Error-Cause 201)".into(),
        DisconnectAnswer::Refused(_) if answer.is_gone() => "says that it has no such call (Error-Cause 503)".into(),
        DisconnectAnswer::Refused(Some(cause)) => {
            format!("refuses, with Error-Cause {}", error_cause::in_words(cause))
        }
        DisconnectAnswer::Refused(None) => "refuses, without saying why".into(),
        DisconnectAnswer::Unanswered => "says nothing, though it was asked again and again".into(),
        DisconnectAnswer::NotSent => "could not be asked".into(),
    }
}

/// Why a request was rejected, with the numbers.
pub fn rejection(names: &Names<'_>, rejected: &Rejected) -> String {
    let reason = rejected.reason;
    let mut text = match &rejected.because {
        Because::Plain => reason.message().to_owned(),
        Because::Limit { entity, taken, max } => {
            let per_second = if reason.as_str() == "attempts_limit" { " a second" } else { "" };
            format!("{}: {} has {taken} of {max}{per_second}", reason.message(), names.entity(*entity))
        }
        Because::Party(party) => format!("{}: {}", reason.message(), names.party(*party)),
        Because::Money { party, available, needed } => {
            let what = if reason.as_str() == "spend_limit" { "left of the day's limit" } else { "available" };
            let available = money(names, *party, *available);
            format!("{}: {} has {available} {what}, needs {needed}", reason.message(), names.party(*party))
        }
    };
    if rejected.hotline {
        text.push_str("; the proxy may send it to an announcement");
    }
    text
}

/// A price in words: `0.012000 a minute, 60/60 s`.
pub fn price(rule: &PriceRule) -> String {
    let mut text = format!("{} a minute, {}/{} s", rule.rate(), rule.first(), rule.next());
    if rule.connect_fee() != Money::ZERO {
        let _ = write!(text, ", fee {}", rule.connect_fee());
    }
    if rule.grace() > 0 {
        let _ = write!(text, ", {} s grace", rule.grace());
    }
    text
}

fn opened(names: &Names<'_>, call: &Call) -> String {
    let mut text = String::from(if call.authorized { "authorized" } else { "told of without authorization" });
    let _ = match call.account {
        Some(account) => write!(text, ": account {}", escape(names.account(account).as_bytes())),
        None => write!(text, ": nobody's, User-Name {}", escape(&call.user_name)),
    };
    let number = |number: &str| if number.is_empty() { "a number unknown".into() } else { escape(number.as_bytes()) };
    let (caller, called) = (number(&call.caller), number(&call.called));
    let _ = write!(text, " through {}, from {caller} to {called}, guard {}", names.nas(call.nas), call.abilities.guard);
    for payer in &call.payers {
        let _ = match payer.pricing {
            Some(pricing) => write!(
                text,
                "; {} pays {} (prefix {}, {})",
                names.party(payer.party),
                price(&pricing.rule),
                quoted_prefix(&payer.prefix),
                escape(payer.destination.as_bytes())
            ),
            None => write!(text, "; {} has no rate", names.party(payer.party)),
        };
    }
    text
}

fn reserved(names: &Names<'_>, call: Option<&Call>, verb: &str, money: &ReservedMoney) -> String {
    let parts = money.amounts.iter().enumerate().map(|(index, amount)| {
        let had = money.means.get(index).map(means).unwrap_or_default();
        format!("{amount} of {had}")
    });
    let each = each_payer(names, call, parts);
    format!("{verb}: lasts {} s, at most {} s can be paid; {each}", money.seconds, money.affordable)
}

fn means(means: &Means) -> String {
    match means.left_today {
        Some(left) => format!("available {}, left today {left}", means.available),
        None => format!("available {}", means.available),
    }
}

fn each_payer(names: &Names<'_>, call: Option<&Call>, parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts
        .enumerate()
        .map(|(index, part)| {
            let payer = call.and_then(|call| call.payers.get(index));
            let name =
                payer.map_or_else(|| format!("payer {}", index.saturating_add(1)), |payer| names.party(payer.party));
            format!("{name}: {part}")
        })
        .collect();
    if parts.is_empty() { "nobody pays".into() } else { parts.join("; ") }
}

fn leg(names: &Names<'_>, leg: &Leg) -> String {
    let mut text = format!("{} leg of {}", leg.key.origin.as_str(), names.nas(leg.key.nas));
    if !leg.key.session_id.is_empty() {
        let _ = write!(text, ", session {}", escape(&leg.key.session_id));
    }
    if let Some(address) = leg.key.remote_address {
        let _ = write!(text, ", remote {address}");
    }
    if let Some(connection) = leg.connection {
        let _ = write!(text, ", connection {}", names.connection(connection));
    }
    if let Some(connected) = leg.connected_at {
        let _ = write!(text, ", answered at {}", format_instant(connected));
    }
    if let Some(end) = leg.ended {
        let _ = write!(text, ", ended at {} after {} s", format_instant(end.at), end.seconds);
        if let Some(cause) = end.cause {
            let _ = write!(text, ", cause {cause}");
        }
    }
    text
}

fn identified(names: &Names<'_>, known: &Identified) -> String {
    let conf_id = known.conf_id.map(|conf_id| format!("conference {conf_id}"));
    let session = (!known.session_id.is_empty()).then(|| format!("session {}", escape(&known.session_id)));
    let carrier = known.carrier.map(|carrier| format!("carrier {}", names.carrier(carrier)));
    let connection = known.connection.map(|connection| format!("connection {}", names.connection(connection)));
    let parts: Vec<_> = [conf_id, session, carrier, connection].into_iter().flatten().collect();
    match parts.is_empty() {
        // Only for our own packets to the gateway.
        true => "the gateway has told by which attributes it knows the call".into(),
        false => format!("more is known of it: {}", parts.join(", ")),
    }
}

fn ended(names: &Names<'_>, settled: &Settled) -> String {
    let ending = &settled.ending;
    let estimated = if ending.estimated { " (estimated)" } else { "" };
    let mut text = format!("{} after {} s{estimated}", ending.reason.as_str(), ending.seconds);
    if let Some(cause) = settled.cdr.cause {
        let _ = write!(text, ", cause {cause}");
    }
    for (charge, settlement) in settled.cdr.charges.iter().zip(&settled.settlements) {
        let held = settlement.settled.plus(settlement.released);
        let _ = write!(
            text,
            "; {}: charged {}, held {held}, let go {}",
            names.party(charge.party),
            money(names, charge.party, charge.amount),
            settlement.released
        );
        if settlement.overrun > Money::ZERO {
            let _ = write!(text, ", overrun {}", settlement.overrun);
        }
    }
    if settled.cdr.charges.is_empty() && ending.seconds > 0 {
        text.push_str("; nobody can be charged");
    }
    let flags: Vec<_> = settled.cdr.flags.names().collect();
    if !flags.is_empty() {
        let _ = write!(text, "; noticed: {}", flags.join(", "));
    }
    let _ = write!(text, "; CDR {}", settled.cdr.id);
    text
}

fn correction(names: &Names<'_>, corrected: &Corrected) -> String {
    let mut text = format!("a late Stop tells {} s", corrected.seconds);
    for charge in &corrected.cdr.charges {
        let _ = write!(text, "; {}: {} more", names.party(charge.party), money(names, charge.party, charge.amount));
    }
    let _ = write!(text, "; CDR {}", corrected.cdr.id);
    text
}

fn packet_in_words(bytes: &[u8]) -> String {
    let Ok(packet) = Packet::decode(bytes) else { return format!("{} bytes that cannot be read", bytes.len()) };
    let dictionary = Dictionary::builtin();
    let attributes: Vec<_> = packet.attributes().map(|attribute| dictionary.describe(&attribute)).collect();
    let name = packet.code().name().map_or_else(|| format!("code {}", packet.code().0), str::to_owned);
    format!("{name} {}: {}", packet.identifier(), attributes.join(", "))
}

fn money(names: &Names<'_>, party: PartyKey, amount: Money) -> String {
    match names.currency(party) {
        Some(currency) => format!("{amount} {currency}"),
        None => amount.to_string(),
    }
}

fn quoted_prefix(prefix: &str) -> &str {
    if prefix.is_empty() { "of the rest of the world" } else { prefix }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::book::{Book, BookChange};
    use crate::domain::call::DisconnectReason;
    use crate::domain::decision::RejectReason;
    use crate::domain::id::{CallId, NasKey, TariffKey};
    use crate::domain::limit::Entity;
    use crate::domain::party::{NoCredit, Party, PartyKind};
    use crate::domain::tariff::Tariff;

    fn book() -> Book {
        let currency = "EUR".parse().unwrap();
        let mut book = Book::default();
        let tariff = Tariff { key: TariffKey(1), id: "retail".into(), currency, version: 0 };
        let party = Party {
            key: PartyKey(2),
            id: "acme".into(),
            kind: PartyKind::Customer,
            name: "".into(),
            parent: None,
            tariff: TariffKey(1),
            currency,
            credit_limit: Money::ZERO,
            calls_max: None,
            attempts_per_second_max: None,
            spend_per_day_max: None,
            blocked: false,
            no_credit: NoCredit::Reject,
            number_rules: Vec::new(),
        };
        book.apply(&BookChange::PutTariff(tariff)).unwrap();
        book.apply(&BookChange::PutParty(party)).unwrap();
        book
    }

    fn in_words(event: &Event) -> String {
        explain(&Names::of(&book()), None, event)
    }

    fn rejected(reason: RejectReason, because: Because) -> Event {
        Event::Rejected(Box::new(Rejected {
            reason,
            nas: NasKey(9),
            user_name: (*b"alice").into(),
            account: None,
            caller: "".into(),
            called: "".into(),
            session_id: Box::default(),
            conf_id: None,
            because,
            hotline: false,
        }))
    }

    #[test]
    fn the_numbers_that_decided_are_told() {
        let micros = Money::from_micros;
        let because = Because::Money { party: PartyKey(2), available: micros(3_200_000), needed: micros(6_000_000) };
        let text = in_words(&rejected(RejectReason::NoCredit, because));
        assert_eq!(text, "insufficient credit: acme has 3.200000 EUR available, needs 6.000000");
        let because = Because::Limit { entity: Entity::Party(PartyKey(2)), taken: 2, max: 2 };
        let text = in_words(&rejected(RejectReason::CallsLimit, because));
        assert_eq!(text, "too many calls: customer acme has 2 of 2");
    }

    #[test]
    fn what_is_held_is_told_for_each_payer() {
        let event = Event::Reserved(ReservedMoney {
            call: CallId(1),
            amounts: vec![Money::from_micros(600_000)],
            seconds: 60,
            affordable: 320,
            means: vec![Means { available: Money::from_micros(3_200_000), left_today: None }],
        });
        let expected = "reserved: lasts 60 s, at most 320 s can be paid; payer 1: 0.600000 of available 3.200000";
        assert_eq!(in_words(&event), expected);
    }

    #[test]
    fn a_thing_that_is_gone_is_still_told_of() {
        let text =
            in_words(&Event::Booted { nas: NasKey(9), sender: Box::default(), at: Default::default(), word: None });
        assert_eq!(text, "nas (gone #9) started anew at 1970-01-01T00:00:00Z");
    }

    #[test]
    fn who_asked_is_told_and_cannot_write_on_the_terminal() {
        let by = Some("socket:uid=0\x1b[2J".into());
        let event = Event::DisconnectAsked { call: CallId(1), why: DisconnectReason::Operator, by };
        assert_eq!(in_words(&event), "the gateway is to end it: operator, asked by socket:uid=0\\x1b[2J");
    }

    #[test]
    fn what_says_nothing_new_is_told_as_what_it_is() {
        let seen = |interim| in_words(&Event::SeenUp { call: CallId(1), at: Default::default(), interim });
        assert_eq!(seen(false), "known to be up at 1970-01-01T00:00:00Z");
        assert_eq!(seen(true), "known to be up at 1970-01-01T00:00:00Z, by an interim");
        let known = Identified {
            call: CallId(1),
            key: None,
            conf_id: None,
            session_id: Box::default(),
            identification: (*b"x").into(),
            carrier: None,
            connection: None,
        };
        let text = in_words(&Event::Identified(Box::new(known)));
        assert_eq!(text, "the gateway has told by which attributes it knows the call");
    }

    #[test]
    fn bytes_that_are_no_packet_do_no_harm() {
        let event = Event::PacketSeen { call: CallId(1), packet: (*b"\xff\xff").into() };
        assert_eq!(in_words(&event), "2 bytes that cannot be read");
    }
}
