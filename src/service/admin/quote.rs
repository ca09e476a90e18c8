//! What a call would cost and how long it could be: asked of the engine, so that it is the very
//! decision that a call would meet now.

use std::sync::Arc;

use super::Admin;
use super::error::AdminError;
use super::spec::{PayerQuoteView, RateTestView};
use super::write;
use crate::domain::book::Book;
use crate::domain::command::{Command, Quote};
use crate::domain::decision::{Done, Quoted, QuotedPayer, Reply};
use crate::domain::nas::Nas;
use crate::domain::number::normalise;
use crate::domain::rating::Pricing;
use crate::domain::time::Timestamp;
use crate::service::catalogue::unexpected;
use crate::service::escape::escape;
use crate::service::explain::rejection;
use crate::service::names::Names;

/// Longest number that is asked about, bytes.
const NUMBER_BYTES_MAX: usize = 128;
/// A minute, where nobody says how long.
const SECONDS_DEFAULT: u64 = 60;

impl Admin {
    /// What a call to a number would cost an account, and how long it could be.
    ///
    /// # Errors
    /// There is no such account or NAS.
    pub async fn rate_test(
        &self,
        number: &str,
        account: &str,
        seconds: Option<u64>,
        nas: Option<&str>,
    ) -> Result<RateTestView, AdminError> {
        let book = self.registry.book();
        if number.is_empty() || number.len() > NUMBER_BYTES_MAX {
            return Err(AdminError::fault("number", format!("has 1 to {NUMBER_BYTES_MAX} bytes")));
        }
        let found = book.account_by_id(account);
        let found = found.ok_or_else(|| AdminError::NotFound { kind: "account", id: account.to_owned() })?;
        let nas = match nas {
            Some(id) => {
                Some(book.nas_by_id(id).ok_or_else(|| AdminError::NotFound { kind: "nas", id: id.to_owned() })?)
            }
            None => usual_nas(&book),
        };
        let asked = seconds.unwrap_or(SECONDS_DEFAULT);
        let quote = Quote { account: found.key, nas: nas.map(|nas| nas.key), called: number.into(), seconds: asked };
        let quoted = match self.engine.ask(Command::Quote(Box::new(quote))).await? {
            Reply::Done(Done::Quoted(quoted)) => quoted,
            Reply::Refused(refusal) => return Err(refusal.into()),
            other => return Err(unexpected(&other)),
        };
        let names = Names::of(&book);
        let customer = book.party(found.customer);
        let rules = found.number_rules.iter().chain(customer.iter().flat_map(|customer| &customer.number_rules));
        let rules = rules.chain(nas.iter().flat_map(|nas| &nas.number_rules));
        let now = self.clock.now();
        Ok(RateTestView {
            number: escape(number.as_bytes()),
            e164: normalise(number, rules).map(String::from),
            account: found.id.to_string(),
            allowed: quoted.rejected.is_none(),
            reason: quoted.rejected.as_ref().map(|rejected| rejected.reason.as_str().to_owned()),
            text: quoted.rejected.as_ref().map(|rejected| rejection(&names, rejected)).unwrap_or_default(),
            affordable_seconds: quoted.rejected.is_none().then_some(quoted.affordable),
            // What a gateway is told depends on the gateway.
            session_timeout: (quoted.rejected.is_none() && nas.is_some()).then_some(quoted.told),
            nas: nas.map(|nas| nas.id.to_string()),
            seconds: Some(asked),
            payers: quoted.payers.iter().map(|payer| quoted_payer(&book, now, &quoted, payer)).collect(),
        })
    }
}

/// The gateway that speaks for all, where none is named: the first, if what calls are told does not
/// depend on which it is.
fn usual_nas(book: &Book) -> Option<&Arc<Nas>> {
    let mut nases = book.nases();
    let first = nases.next()?;
    let tells_alike = |nas: &Arc<Nas>| {
        let (first, other) = (first.abilities(), nas.abilities());
        first.guard == other.guard
            && first.grant_seconds_max == other.grant_seconds_max
            && first.has_disconnect_address == other.has_disconnect_address
            && nas.number_rules.is_empty()
    };
    (first.number_rules.is_empty() && nases.all(tells_alike)).then_some(first)
}

fn quoted_payer(book: &Book, now: Timestamp, quoted: &Quoted, payer: &QuotedPayer) -> PayerQuoteView {
    let names = Names::of(book);
    let party = book.party(payer.charge.party);
    let table = party.and_then(|party| book.rates(party.tariff));
    let pricing = payer.charge.rule.map(Pricing::by);
    PayerQuoteView {
        party: names.party(payer.charge.party),
        tariff: party.map(|party| names.tariff(party.tariff)).unwrap_or_default(),
        currency: party.map(|party| party.currency.to_string()).unwrap_or_default(),
        rate: table.and_then(|table| table.rate_for(&quoted.called, now)).map(write::rate),
        available: payer.available.to_string(),
        billed_seconds: pricing.map(|_| payer.billed_seconds),
        price: pricing.map(|_| payer.charge.amount.to_string()),
        first_chunk: quoted.rejected.is_none().then(|| payer.first_chunk.to_string()),
        affordable_seconds: pricing.and_then(|pricing| pricing.affordable_seconds(payer.available.or_zero())),
    }
}
