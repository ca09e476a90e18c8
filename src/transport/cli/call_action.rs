//! Many calls at once: ended at their gateways, or taken out of the registry; by their ids, or by what
//! they are.
//!
//! The calls are found first and shown; only then somebody is asked, and only what was shown is acted
//! on. Nothing here is ever done to all calls unless `--all` says so.

use std::collections::BTreeSet;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};

use super::client::{Ask, shown};
use super::context::Context;
use super::error::{CliError, Exit};
use super::input::Page;
use super::noun::{Noun, pages};
use super::table::{Column, Table, Text};
use super::text::duration;
use crate::service::admin::spec::{CallActionList, CallActionSpec, CallResultView, CallView};

/// What people and the API call a call.
pub const CALLS: Noun = Noun { one: "call", path: "calls" };
/// Calls that are shown before somebody is asked.
const SHOWN_MAX: usize = 10;
/// Calls that one request acts on: the bar moves with each.
const CALLS_A_REQUEST: usize = 200;

/// What is done to calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The gateways are asked to end them.
    Disconnect,
    /// They leave the registry, and no gateway is told.
    Remove,
}

impl Action {
    const fn word(self) -> &'static str {
        match self {
            Action::Disconnect => "disconnect",
            Action::Remove => "remove",
        }
    }

    /// What it will do and what not, to be said yes to.
    fn question(self, calls: usize) -> String {
        match self {
            Action::Disconnect => {
                format!("Have the gateways end {}? Who is talking is hung up.", these_calls(calls))
            }
            Action::Remove => format!(
                "Take {} out of the registry? No gateway is told and nobody is hung up: who is still talking goes on \
                 talking, not guarded until the gateway tells of the call again, and is charged up to the last proof \
                 that it was up.",
                these_calls(calls)
            ),
        }
    }

    /// What was done, as a whole.
    fn summary(self, done: usize, of: usize) -> String {
        let calls = if of == 1 { "call" } else { "calls" };
        match self {
            Action::Disconnect => {
                format!("{done} of {of} {calls}: to be ended; each stays in the registry and is charged until its Stop")
            }
            Action::Remove => format!("{done} of {of} {calls}: out of the registry; nobody was hung up"),
        }
    }
}

/// Which calls: those that fit all that is given.
#[derive(Args, Clone, Debug, Default)]
pub struct Selection {
    /// Of this customer
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    customer: Option<String>,
    /// Of the customers of this reseller, and of those below it
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    reseller: Option<String>,
    /// Of this account
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    account: Option<String>,
    /// Through this gateway
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    nas: Option<String>,
    /// To this carrier
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    carrier: Option<String>,
    /// Through this connection
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    connection: Option<String>,
    /// In this state
    #[arg(long, value_name = "STATE",
        value_parser = ["trying", "early", "confirmed", "disconnecting", "terminated"])]
    state: Option<String>,
    /// From or to this number, or one that begins so
    #[arg(long, value_name = "DIGITS", value_parser = NonEmptyStringValueParser::new())]
    number: Option<String>,
    /// With this conference id
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    conf_id: Option<String>,
    /// With this Acct-Session-Id
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    acct_session_id: Option<String>,
    /// Only those that may be over without anybody having told of it; see `call stale`
    #[arg(long)]
    stale: bool,
}

impl Selection {
    /// As the API takes it.
    pub fn filters(self) -> Vec<(&'static str, Option<String>)> {
        vec![
            ("customer", self.customer),
            ("reseller", self.reseller),
            ("account", self.account),
            ("nas", self.nas),
            ("carrier", self.carrier),
            ("connection", self.connection),
            ("state", self.state),
            ("number", self.number),
            ("conf_id", self.conf_id),
            ("acct_session_id", self.acct_session_id),
            ("stale", self.stale.then(|| "true".to_owned())),
        ]
    }

    /// Whether it names only calls of which nothing can be ended any more.
    fn is_of_the_past(&self) -> bool {
        self.state.as_deref() == Some("terminated")
    }

    fn is_empty(&self) -> bool {
        self.clone().filters().iter().all(|(_, value)| value.is_none())
    }
}

/// Some calls, and how sure somebody is.
#[derive(Args, Clone, Debug)]
pub struct Which {
    /// Any of their ids; or none, and say which calls by the options
    #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    ids: Vec<String>,
    /// Which calls.
    #[command(flatten)]
    only: Selection,
    /// All calls that are up
    #[arg(long)]
    all: bool,
    /// Only show which calls, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask; needed where there is no terminal to ask on
    #[arg(long, short = 'y')]
    yes: bool,
}

impl Which {
    fn check(&self, action: Action) -> Result<(), CliError> {
        let word = action.word();
        let wrong = match (self.ids.is_empty(), self.only.is_empty(), self.all) {
            (true, true, false) => {
                format!(
                    "which calls? name ids, a filter such as --customer ID, or --all (`ringfence call {word} --help`)"
                )
            }
            (false, false, _) => "either ids or filters, not both".to_owned(),
            (false, _, true) | (_, false, true) => {
                "--all is all calls that are up: it goes with neither ids nor filters".to_owned()
            }
            _ if self.only.is_of_the_past() => format!("a call that is over cannot be {}", past(action)),
            _ => return Ok(()),
        };
        Err(CliError::usage(wrong))
    }
}

const fn past(action: Action) -> &'static str {
    match action {
        Action::Disconnect => "disconnected",
        Action::Remove => "removed",
    }
}

/// `call disconnect` and `call remove`.
///
/// # Errors
/// Nothing fits, nobody said yes, or it failed for some.
pub fn run(context: &mut Context<'_>, action: Action, which: Which) -> Result<(), CliError> {
    which.check(action)?;
    let Which { ids, only, all: _, dry_run, yes } = which;
    let found = if ids.is_empty() { find(context, &only.filters())? } else { look_up(context, &ids)? };
    if found.is_empty() {
        return Err(found.none());
    }
    if dry_run {
        return dry(context, action, &found);
    }
    preview(context, &format!("to {}", action.word()), &found)?;
    context.confirm_expressly(&action.question(found.ids.len()), yes)?;
    let outcome = act(context, action, &found)?;
    if context.json {
        context.print_json(&outcome.as_json())?;
    } else {
        outcome.tell(context)?;
    }
    outcome.end()
}

// ----------------------------------------------------------------------------- which they are

/// Calls that were found.
#[derive(Default)]
pub struct Found {
    /// Their own ids, each once.
    ids: Vec<String>,
    /// The first few, to be looked at.
    first: Vec<CallView>,
    /// As the daemon sent them; only where JSON is wanted.
    rows: Vec<Value>,
    /// What was named and is not there, and what the daemon says of it.
    missing: Vec<CallResultView>,
}

impl Found {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    fn add(&mut self, known: &mut BTreeSet<String>, rows: Vec<Value>, keeps_rows: bool) -> Result<(), CliError> {
        for row in rows {
            let Some(id) = row.get("id").and_then(Value::as_str).map(str::to_owned) else {
                return Err(CliError::failed("the daemon's answer is not understood: a call without an id"));
            };
            if !known.insert(id.clone()) {
                continue;
            }
            if self.first.len() < SHOWN_MAX {
                let view = serde_json::from_value(row.clone())
                    .map_err(|error| CliError::failed(format!("the daemon's answer is not understood: {error}")))?;
                self.first.push(view);
            }
            if keeps_rows {
                self.rows.push(row);
            }
            self.ids.push(id);
        }
        Ok(())
    }

    fn none(&self) -> CliError {
        let lines: Vec<String> = self.missing.iter().map(failure).collect();
        let lines = if lines.is_empty() { vec!["no call fits".to_owned()] } else { lines };
        CliError::new(Exit::NotFound, lines)
    }
}

/// The calls that fit, on all pages.
///
/// # Errors
/// A filter is wrong, or the daemon is not there.
pub fn find(context: &mut Context<'_>, filters: &[(&str, Option<String>)]) -> Result<Found, CliError> {
    let (mut found, mut known) = (Found::default(), BTreeSet::new());
    find_more(context, &mut found, &mut known, filters)?;
    Ok(found)
}

/// The calls that fit one at least of several filters.
///
/// # Errors
/// As [`find`].
pub fn find_any(context: &mut Context<'_>, name: &str, values: &[String]) -> Result<Found, CliError> {
    let (mut found, mut known) = (Found::default(), BTreeSet::new());
    for value in values {
        find_more(context, &mut found, &mut known, &[(name, Some(value.clone()))])?;
    }
    Ok(found)
}

fn find_more(
    context: &Context<'_>,
    found: &mut Found,
    known: &mut BTreeSet<String>,
    filters: &[(&str, Option<String>)],
) -> Result<(), CliError> {
    let all = Page { limit: 0, all: true, cursor: None };
    let keeps_rows = context.json;
    pages(context, "/calls", CALLS.path, filters, &all, |rows| found.add(known, rows, keeps_rows))?;
    Ok(())
}

/// The calls that were named, by whichever id.
fn look_up(context: &Context<'_>, ids: &[String]) -> Result<Found, CliError> {
    let (mut found, mut known) = (Found::default(), BTreeSet::new());
    for id in ids {
        match context.client.ask(Ask::get(CALLS.path_of(id))) {
            Ok(answer) => found.add(&mut known, vec![answer.read()?], context.json)?,
            Err(error) if error.exit == Exit::NotFound => found.missing.push(CallResultView {
                id: id.clone(),
                error: Some(error.to_string()),
                ..CallResultView::default()
            }),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Shows how many calls there are, and the first few; nothing where JSON is wanted.
///
/// # Errors
/// The output cannot be written.
pub fn preview(context: &mut Context<'_>, what_for: &str, found: &Found) -> Result<(), CliError> {
    if context.json {
        return Ok(());
    }
    context.line(&format!("{} {what_for}:", calls(found.len())))?;
    context.table(&table(&found.first))?;
    let more = found.len().saturating_sub(found.first.len());
    if more > 0 {
        context.line(&format!("... and {more} more"))?;
    }
    Ok(())
}

fn dry(context: &mut Context<'_>, action: Action, found: &Found) -> Result<(), CliError> {
    if context.json {
        return context.print_json(&json!({
            "action": action.word(),
            "dry_run": true,
            "found": found.len(),
            "calls": found.rows,
            "missing": found.missing,
        }));
    }
    preview(context, &format!("to {}", action.word()), found)?;
    for missing in &found.missing {
        context.line(&failure(missing))?;
    }
    context.line("(dry run: nothing was done)")
}

fn table(calls: &[CallView]) -> Table {
    let mut table = Table::new([
        Column::id("id"),
        Column::new("state"),
        Column::id("account").rank(3),
        Column::id("customer").rank(2),
        Column::id("caller").rank(4),
        Column::id("callee"),
        Column::id("nas").rank(1),
        Column::number("time"),
    ]);
    for call in calls {
        table.row([
            Text::from(&call.id),
            Text::from(&call.state),
            Text::from(call.account.as_ref().unwrap_or(&call.user_name)),
            Text::from(call.customer.as_ref()),
            Text::from(&call.caller),
            Text::from(&call.callee),
            Text::from(&call.nas),
            Text::from(match call.started_at {
                Some(_) => duration(call.seconds),
                None => format!("({})", duration(call.setup_seconds)),
            }),
        ]);
    }
    table
}

// --------------------------------------------------------------------------------- what is done

/// What became of calls.
pub struct Outcome {
    action: Action,
    /// One for each that was tried or is not there.
    results: Vec<CallResultView>,
    /// Why the rest was not tried.
    stopped: Option<CliError>,
    /// How many the rest is.
    untried: usize,
}

/// Acts on calls, a request for some hundred.
///
/// # Errors
/// The request cannot be written.
pub fn act(context: &mut Context<'_>, action: Action, found: &Found) -> Result<Outcome, CliError> {
    let mut results = found.missing.clone();
    let bar = context.progress_of_calls(
        match action {
            Action::Disconnect => "disconnecting",
            Action::Remove => "removing",
        },
        found.ids.len() as u64,
    );
    let (mut stopped, mut tried) = (None, 0_usize);
    for ids in found.ids.chunks(CALLS_A_REQUEST) {
        let spec = CallActionSpec { action: action.word().to_owned(), ids: ids.to_vec() };
        let answer = context.client.ask(Ask::post("/call-actions").json(&spec)?);
        match answer.and_then(|answer| answer.read::<CallActionList>()) {
            Ok(list) => results.extend(list.calls),
            Err(error) => {
                stopped = Some(error);
                break;
            }
        }
        tried = tried.saturating_add(ids.len());
        bar.set_position(tried as u64);
    }
    bar.finish_and_clear();
    Ok(Outcome { action, results, stopped, untried: found.ids.len().saturating_sub(tried) })
}

impl Outcome {
    fn done(&self) -> usize {
        self.results.iter().filter(|result| result.error.is_none()).count()
    }

    /// All of it.
    pub fn as_json(&self) -> Value {
        let failed = self.results.len().saturating_sub(self.done());
        json!({
            "action": self.action.word(),
            "done": self.done(),
            "failed": failed,
            "untried": self.untried,
            "calls": self.results,
        })
    }

    /// Tells what was done, calls of which the same is to be said together.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn tell(&self, context: &mut Context<'_>) -> Result<(), CliError> {
        let mut groups: Vec<((&str, &str), Vec<&str>)> = Vec::new();
        for result in self.results.iter().filter(|result| result.error.is_none()) {
            let said = (result.state.as_deref().unwrap_or(""), result.note.as_deref().unwrap_or(""));
            match groups.iter_mut().find(|(known, _)| *known == said) {
                Some((_, ids)) => ids.push(&result.id),
                None => groups.push((said, vec![&result.id])),
            }
        }
        for ((state, note), ids) in &groups {
            let who = if ids.len() <= SHOWN_MAX { ids.join(", ") } else { calls(ids.len()) };
            context.line(&shown(&format!("{who}: {state}; {note}")))?;
        }
        let of = self.results.len().saturating_add(self.untried);
        context.line(&self.action.summary(self.done(), of))
    }

    /// How the command ends: every call of which it was not done is named.
    ///
    /// # Errors
    /// It was not done for some.
    pub fn end(self) -> Result<(), CliError> {
        let mut lines: Vec<String> = self.results.iter().filter(|result| result.error.is_some()).map(failure).collect();
        match self.stopped {
            Some(error) => {
                lines.extend(error.lines);
                let untried = calls(self.untried);
                lines.push(format!("of {untried} it is not known: look at `ringfence call list` before you repeat it"));
                Err(CliError::new(error.exit, lines))
            }
            None if lines.is_empty() => Ok(()),
            None => {
                let failed = lines.len();
                lines.push(format!("{} not {}", calls(failed), past(self.action)));
                Err(CliError::new(Exit::Failed, lines))
            }
        }
    }
}

fn failure(result: &CallResultView) -> String {
    shown(&format!("{}: {}", result.id, result.error.as_deref().unwrap_or("")))
}

/// `1 call`, `3 calls`.
pub fn calls(number: usize) -> String {
    if number == 1 { "1 call".to_owned() } else { format!("{number} calls") }
}

fn these_calls(number: usize) -> String {
    if number == 1 { "this call".to_owned() } else { format!("these {number} calls") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(id: &str, error: Option<&str>) -> CallResultView {
        CallResultView { id: id.into(), error: error.map(str::to_owned), ..CallResultView::default() }
    }

    fn outcome(results: Vec<CallResultView>, stopped: Option<CliError>, untried: usize) -> Outcome {
        Outcome { action: Action::Remove, results, stopped, untried }
    }

    #[test]
    fn the_questions_say_who_is_hung_up_and_who_is_not() {
        let disconnect = Action::Disconnect.question(1);
        assert!(disconnect.contains("end this call") && disconnect.contains("is hung up"), "{disconnect}");
        let remove = Action::Remove.question(3);
        assert!(
            remove.contains("these 3 calls out of the registry") && remove.contains("nobody is hung up"),
            "{remove}"
        );
    }

    #[test]
    fn what_failed_is_named_and_ends_with_1() {
        let error = outcome(vec![result("c1", None), result("c2", Some("it is over"))], None, 0).end().unwrap_err();
        assert_eq!(
            (error.exit, error.lines),
            (Exit::Failed, vec!["c2: it is over".into(), "1 call not removed".into()])
        );
        assert_eq!(outcome(vec![result("c1", None)], None, 0).end(), Ok(()));
    }

    #[test]
    fn a_daemon_that_goes_away_leaves_calls_of_which_nothing_is_known() {
        let gone = CliError::unreachable("gone");
        let error = outcome(vec![result("c1", None)], Some(gone), 300).end().unwrap_err();
        assert_eq!(error.exit, Exit::Unreachable);
        assert!(error.lines[1].starts_with("of 300 calls it is not known"), "{error}");
    }

    #[test]
    fn a_call_that_is_found_twice_is_one() {
        let (mut found, mut known) = (Found::default(), BTreeSet::new());
        let row = serde_json::to_value(CallView { id: "c1".into(), ..CallView::default() }).unwrap();
        found.add(&mut known, vec![row.clone(), row], false).unwrap();
        assert_eq!((found.len(), found.first.len(), found.rows.len()), (1, 1, 0));
    }
}
