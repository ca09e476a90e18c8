//! Calls: found, shown, their logs read, taken out of the registry, ended at their gateways, one or many.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::Admin;
use super::error::AdminError;
use super::page;
use super::spec::{
    CallActionList, CallActionSpec, CallActionView, CallList, CallLogView, CallResultView, CallView, LogLineView,
};
use super::view;
use crate::domain::book::Book;
use crate::domain::call::{Call, CallState};
use crate::domain::command::Command;
use crate::domain::decision::{Done, Event, Reply};
use crate::domain::id::CallId;
use crate::domain::number::normalise;
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;
use crate::service::catalogue::{blocking, unexpected};
use crate::service::explain::{explain, word};
use crate::service::instant::format_instant;
use crate::service::names::Names;
use crate::service::stale::evidence;
use crate::store::query::{CallName, RejectionFilter, Window, read_conf_id};
use crate::store::{Reports, StoreError};

/// Most rejections that are shown for an id that no call has.
const REJECTIONS_SHOWN_MAX: usize = 50;

/// Most calls that one request acts on.
const ACTION_IDS_MAX: usize = 1_000;
/// How many of them the engine is asked for at once.
const ACTIONS_AT_ONCE: usize = 64;

/// What an operator does to calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Disconnect,
    Remove,
}

impl Action {
    fn read(word: &str) -> Result<Action, AdminError> {
        match word {
            "disconnect" => Ok(Action::Disconnect),
            "remove" => Ok(Action::Remove),
            _ => Err(AdminError::fault("action", "must be one of disconnect, remove")),
        }
    }
}

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
    /// Only those that something speaks for being over though nobody has told so.
    pub stale: bool,
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
        let wanted = wanted(&book, &filter, *registry.policy(), now)?;
        // A registry of a million calls takes a while to look through.
        blocking(move || {
            let mut found = registry.newest_calls(before, limit.saturating_add(1), wanted);
            let more = found.len() > limit;
            found.truncate(limit);
            let next = found.last().filter(|_| more).map(|last| last.id.to_string());
            let names = Names::of(&book);
            let policy = registry.policy();
            Ok(CallList { calls: found.iter().map(|call| view::call(&names, policy, now, call)).collect(), next })
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
        let policy = *self.registry.policy();
        blocking(move || Ok(view::call_with_legs(&Names::with_tables(&book, &*reports), &policy, now, &call))).await
    }

    /// The log of a call by any of its ids, oldest first. For an id by which nothing but rejections are
    /// known, these.
    ///
    /// # Errors
    /// There is none.
    pub async fn call_log(&self, id: &str) -> Result<CallLogView, AdminError> {
        let found = self.find(id).await;
        let (book, reports, id) = (self.registry.book(), self.reports.clone(), id.to_owned());
        self.read_tables(move || {
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

    /// Does the same to several calls: what cannot be done to one does not keep the others.
    ///
    /// # Errors
    /// There is no such action, there are no ids, or too many.
    pub async fn act_on_calls(&self, by: &str, spec: CallActionSpec) -> Result<CallActionList, AdminError> {
        let action = Action::read(&spec.action)?;
        if !(1..=ACTION_IDS_MAX).contains(&spec.ids.len()) {
            return Err(AdminError::fault("ids", format!("must be 1 to {ACTION_IDS_MAX}")));
        }
        // At once, so that the engine commits them together; not all, so that others are heard between.
        let mut acting = JoinSet::new();
        let mut results: Vec<CallResultView> = spec.ids.iter().map(|_| CallResultView::default()).collect();
        let mut ids = spec.ids.into_iter().enumerate();
        loop {
            while acting.len() < ACTIONS_AT_ONCE
                && let Some((place, id)) = ids.next()
            {
                let (admin, by) = (self.clone(), by.to_owned());
                acting.spawn(async move { (place, admin.act_on_one(&by, action, id).await) });
            }
            let Some(acted) = acting.join_next().await else { break };
            let (place, result) = acted.map_err(|error| AdminError::Failed(error.to_string()))?;
            if let Some(slot) = results.get_mut(place) {
                *slot = result;
            }
        }
        Ok(CallActionList { calls: results })
    }

    async fn act_on_one(&self, by: &str, action: Action, id: String) -> CallResultView {
        let acted = match action {
            Action::Disconnect => self.disconnect_call(by, &id).await,
            Action::Remove => self.remove_call(by, &id).await,
        };
        match acted {
            Ok(CallActionView { id, state, note }) => {
                CallResultView { id, state: Some(state), note: Some(note), error: None }
            }
            Err(error) => CallResultView { id, error: Some(error.to_string()), ..CallResultView::default() },
        }
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
fn wanted(
    book: &Book,
    filter: &CallFilter,
    policy: Policy,
    now: Timestamp,
) -> Result<impl Fn(&Call) -> bool + Send + use<>, AdminError> {
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
    // Every number begins with nothing.
    if filter.number.as_deref().is_some_and(|number| number.trim().is_empty()) {
        return Err(AdminError::fault("number", "is empty"));
    }
    // What a person types has a plus or spaces; what was not a number is kept as it was sent.
    let number = filter.number.as_ref().map(|text| normalise(text, [].iter()).unwrap_or_else(|| text.as_str().into()));
    let session_id = filter.acct_session_id.clone();
    let stale = filter.stale;
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
            && (!stale || !evidence(call, &policy, now).is_empty())
    })
}

/// The tables cannot be read.
pub(super) fn unreadable(error: StoreError) -> AdminError {
    AdminError::Failed(format!("the tables cannot be read: {error}"))
}
