//! Calls: found, shown, their logs read, taken out of the registry, ended at their gateways.

use std::sync::Arc;

use super::Admin;
use super::error::AdminError;
use super::page;
use super::spec::{CallActionView, CallList, CallLogView, CallView, LogLineView};
use super::view;
use crate::domain::book::Book;
use crate::domain::call::{Call, CallState};
use crate::domain::command::Command;
use crate::domain::decision::{Done, Event, Reply};
use crate::domain::id::CallId;
use crate::domain::number::normalise;
use crate::service::catalogue::{blocking, unexpected};
use crate::service::explain::{explain, word};
use crate::service::instant::format_instant;
use crate::service::names::Names;
use crate::store::query::{CallName, RejectionFilter, Window, read_conf_id};
use crate::store::{Reports, StoreError};

/// Most rejections that are shown for an id that no call has.
const REJECTIONS_SHOWN_MAX: usize = 50;

/// Which calls are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallFilter {
    /// Paid first by this customer.
    pub customer: Option<String>,
    /// Paid by this reseller.
    pub reseller: Option<String>,
    /// By this account.
    pub account: Option<String>,
    /// Through this NAS, by any leg.
    pub nas: Option<String>,
    /// Terminated by this carrier.
    pub carrier: Option<String>,
    /// Through this trunk.
    pub connection: Option<String>,
    /// In this state.
    pub state: Option<String>,
    /// From or to a number that begins so.
    pub number: Option<String>,
    /// Of this conference, in any spelling.
    pub conf_id: Option<String>,
    /// With this Acct-Session-Id, on any leg.
    pub acct_session_id: Option<String>,
    /// Also those that ended lately.
    pub ended: bool,
    /// Go on after this call.
    pub cursor: Option<String>,
    /// Most lines.
    pub limit: Option<usize>,
}

impl Admin {
    /// Calls that are up, the newest first; those that ended lately too where they are wanted.
    ///
    /// # Errors
    /// The filter is not one.
    pub async fn calls(&self, filter: CallFilter) -> Result<CallList, AdminError> {
        let (book, registry, now) = (self.registry.book(), self.registry.clone(), self.clock.now());
        let limit = page::limit(filter.limit)?;
        let before = match filter.cursor.as_deref().map(str::parse::<CallId>) {
            Some(Err(_)) => return Err(AdminError::BadRequest("the cursor is not one".into())),
            Some(Ok(before)) => Some(before),
            None => None,
        };
        let wanted = wanted(&book, &filter)?;
        // A registry of a million calls takes a while to look through.
        blocking(move || {
            let mut found = registry.newest_calls(before, limit.saturating_add(1), wanted);
            let more = found.len() > limit;
            found.truncate(limit);
            let next = found.last().filter(|_| more).map(|last| last.id.to_string());
            let names = Names::of(&book);
            Ok(CallList { calls: found.iter().map(|call| view::call(&names, now, call)).collect(), next })
        })
        .await
    }

    /// A call by any of its ids, with its legs: one that is up before one that is over, of several the
    /// newest.
    ///
    /// # Errors
    /// There is none.
    pub async fn call(&self, id: &str) -> Result<CallView, AdminError> {
        let call = self.find(id).await?;
        let (book, reports, now) = (self.registry.book(), self.reports.clone(), self.clock.now());
        blocking(move || Ok(view::call_with_legs(&Names::with_tables(&book, &*reports), now, &call))).await
    }

    /// The log of a call by any of its ids, oldest first. For an id by which nothing but rejections are
    /// known, these.
    ///
    /// # Errors
    /// There is none.
    pub async fn call_log(&self, id: &str) -> Result<CallLogView, AdminError> {
        let found = self.find(id).await;
        let (book, reports, id) = (self.registry.book(), self.reports.clone(), id.to_owned());
        blocking(move || {
            let names = Names::with_tables(&book, &*reports);
            match found {
                Ok(call) => log_of(&names, &*reports, &call),
                Err(error @ AdminError::NotFound { .. }) => rejections_of(&names, &*reports, &id)?.ok_or(error),
                Err(other) => Err(other),
            }
        })
        .await
    }

    /// Takes a call out of the registry and charges what was evident; its gateway is not told.
    ///
    /// # Errors
    /// There is no such call, or it is over.
    pub async fn remove_call(&self, by: &str, id: &str) -> Result<CallActionView, AdminError> {
        let call = self.find(id).await?.id;
        let state = self.state_after(Command::RemoveCall { call, by: by.into() }, call).await?;
        let note = "out of the registry and charged by what is known; the gateway was not told, a call that is still \
                    up goes on";
        Ok(CallActionView { id: call.to_string(), state, note: note.to_owned() })
    }

    /// Has a call ended at its gateway.
    ///
    /// # Errors
    /// There is no such call, or it is over.
    pub async fn disconnect_call(&self, by: &str, id: &str) -> Result<CallActionView, AdminError> {
        let found = self.find(id).await?;
        let call = found.id;
        let state = self.state_after(Command::DisconnectCall { call, by: by.into() }, call).await?;
        let note = if found.abilities.has_disconnect_address {
            "the gateway is being asked to end it"
        } else {
            "to be ended, but its gateway has no disconnect address: it ends with its grant at the latest"
        };
        Ok(CallActionView { id: call.to_string(), state, note: note.to_owned() })
    }

    async fn state_after(&self, command: Command, call: CallId) -> Result<String, AdminError> {
        let done = match self.engine.ask(command).await? {
            Reply::Done(Done::Removed) => CallState::Terminated,
            Reply::Done(Done::Disconnecting) => CallState::Disconnecting,
            Reply::Refused(refusal) => return Err(AdminError::Refused(format!("call {call}: {refusal}"))),
            other => return Err(unexpected(&other)),
        };
        let now = self.registry.call(call).map_or(done, |call| call.state);
        Ok(now.to_string())
    }

    async fn find(&self, id: &str) -> Result<Arc<Call>, AdminError> {
        let name = CallName::read(id);
        if let Some(call) = name.call.and_then(|call| self.registry.call(call)) {
            return Ok(call);
        }
        let (registry, reports, id) = (self.registry.clone(), self.reports.clone(), id.to_owned());
        blocking(move || {
            let known = |call: &Call| has_conf_id(call, name.conf_id) || has_session_id(call, &name.session_id);
            // One that is up before one that is over, then the newest.
            let found = registry.calls(known).into_iter().max_by_key(|call| (call.is_alive(), call.id));
            if let Some(found) = found {
                return Ok(found);
            }
            let in_tables = reports.find_call(&id).map_err(unreadable)?;
            for call in in_tables {
                let over = match registry.call(call) {
                    Some(call) => Some(call),
                    None => reports.ended_call(call).map_err(unreadable)?.map(Arc::from),
                };
                if let Some(call) = over {
                    return Ok(call);
                }
            }
            Err(AdminError::NotFound { kind: "call", id })
        })
        .await
    }
}

fn has_conf_id(call: &Call, conf_id: Option<crate::domain::id::ConfId>) -> bool {
    conf_id.is_some() && call.conf_id == conf_id
}

fn has_session_id(call: &Call, session_id: &[u8]) -> bool {
    let legs = call.legs.iter().map(|leg| &leg.key.session_id);
    !session_id.is_empty() && legs.chain([&call.session_id]).any(|id| **id == *session_id)
}

fn log_of(names: &Names<'_>, reports: &dyn Reports, call: &Call) -> Result<CallLogView, AdminError> {
    let log = reports.call_log(call.id).map_err(unreadable)?;
    let mut lines: Vec<LogLineView> = log
        .lines
        .iter()
        .map(|line| LogLineView {
            at: format_instant(line.at),
            event: word(&line.event).to_owned(),
            text: explain(names, Some(call), &line.event),
        })
        .collect();
    if log.cut
        && let Some(last) = log.lines.last()
    {
        let text = "there were more events than are kept of a call".to_owned();
        lines.push(LogLineView { at: format_instant(last.at), event: "cut".into(), text });
    }
    Ok(CallLogView { call: call.id.to_string(), lines })
}

fn rejections_of(names: &Names<'_>, reports: &dyn Reports, id: &str) -> Result<Option<CallLogView>, AdminError> {
    let name = CallName::read(id);
    let window = Window { limit: Some(REJECTIONS_SHOWN_MAX), ..Window::default() };
    let by_session = RejectionFilter { window, session_id: Some(name.session_id), ..RejectionFilter::default() };
    let by_conf_id =
        name.conf_id.map(|conf_id| RejectionFilter { window, conf_id: Some(conf_id), ..Default::default() });
    for filter in [Some(by_session), by_conf_id].into_iter().flatten() {
        let page = reports.rejections(&filter).map_err(unreadable)?;
        if page.lines.is_empty() {
            continue;
        }
        let line = |line: crate::store::query::RejectionLine| {
            let event = Event::Rejected(Box::new(line.rejected));
            LogLineView {
                at: format_instant(line.at),
                event: word(&event).to_owned(),
                text: explain(names, None, &event),
            }
        };
        let lines = page.lines.into_iter().rev().map(line).collect();
        return Ok(Some(CallLogView { call: id.to_owned(), lines }));
    }
    Ok(None)
}

/// The filter as a question to one call.
fn wanted(book: &Book, filter: &CallFilter) -> Result<impl Fn(&Call) -> bool + Send + use<>, AdminError> {
    let not_there = |kind: &str, id: &str| AdminError::fault(kind, format!("there is no {kind} {id:?}"));
    let customer = match &filter.customer {
        Some(id) => Some(book.party_by_id(id).ok_or_else(|| not_there("customer", id))?.key),
        None => None,
    };
    let reseller = match &filter.reseller {
        Some(id) => Some(book.party_by_id(id).ok_or_else(|| not_there("reseller", id))?.key),
        None => None,
    };
    let account = match &filter.account {
        Some(id) => Some(book.account_by_id(id).ok_or_else(|| not_there("account", id))?.key),
        None => None,
    };
    let nas = match &filter.nas {
        Some(id) => Some(book.nas_by_id(id).ok_or_else(|| not_there("nas", id))?.key),
        None => None,
    };
    let carrier = match &filter.carrier {
        Some(id) => Some(book.carrier_by_id(id).ok_or_else(|| not_there("carrier", id))?.key),
        None => None,
    };
    let connection = match &filter.connection {
        Some(id) => Some(book.connection_by_id(id).ok_or_else(|| not_there("connection", id))?.key),
        None => None,
    };
    let state = match &filter.state {
        Some(word) => Some(CallState::ALL.into_iter().find(|state| state.as_str() == word).ok_or_else(|| {
            let words: Vec<_> = CallState::ALL.iter().map(|state| state.as_str()).collect();
            AdminError::fault("state", format!("must be one of {}", words.join(", ")))
        })?),
        None => None,
    };
    let conf_id = match &filter.conf_id {
        Some(text) => {
            Some(read_conf_id(text).ok_or_else(|| AdminError::fault("conf_id", "is not a conference identifier"))?)
        }
        None => None,
    };
    // What a person types has a plus or spaces; what was not a number is kept as it was sent.
    let number = filter.number.as_ref().map(|text| normalise(text, [].iter()).unwrap_or_else(|| text.as_str().into()));
    let session_id = filter.acct_session_id.clone();
    let over_too = filter.ended || state == Some(CallState::Terminated);
    Ok(move |call: &Call| {
        (over_too || call.is_alive())
            && state.is_none_or(|state| call.state == state)
            && customer.is_none_or(|key| call.payers.first().is_some_and(|payer| payer.party == key))
            && reseller.is_none_or(|key| call.payers.iter().skip(1).any(|payer| payer.party == key))
            && account.is_none_or(|key| call.account == Some(key))
            && nas.is_none_or(|key| call.nas == key || call.legs.iter().any(|leg| leg.key.nas == key))
            && carrier.is_none_or(|key| call.carrier == Some(key))
            && connection.is_none_or(|key| {
                call.connection == Some(key) || call.legs.iter().any(|leg| leg.connection == Some(key))
            })
            && number.as_deref().is_none_or(|number| call.caller.starts_with(number) || call.called.starts_with(number))
            && conf_id.is_none_or(|conf_id| call.conf_id == Some(conf_id))
            && session_id.as_deref().is_none_or(|id| has_session_id(call, id.as_bytes()))
    })
}

/// The tables cannot be read.
pub(super) fn unreadable(error: StoreError) -> AdminError {
    AdminError::Failed(format!("the tables cannot be read: {error}"))
}
