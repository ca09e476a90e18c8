//! What all nouns share: list, show, add, set, remove, over the API's routes.

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::client::{Ask, encoded, query};
use super::context::Context;
use super::error::{CliError, Exit};
use super::input::{Members, Page};
use super::table::{Card, Table};

/// Rows that the API gives at most in one answer.
const ROWS_A_PAGE: u64 = 1000;

/// A kind of thing: what people and the API call it.
#[derive(Clone, Copy, Debug)]
pub struct Noun {
    /// One of it.
    pub one: &'static str,
    /// Its path, which is also the member that holds a list of it.
    pub path: &'static str,
}

/// Which things are to be removed.
#[derive(Args, Clone, Debug)]
pub struct Remove {
    /// What to remove
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub yes: bool,
}

impl Noun {
    /// The path of one thing.
    pub fn path_of(&self, id: &str) -> String {
        format!("/{}/{}", self.path, encoded(id))
    }

    /// Shows a list.
    ///
    /// # Errors
    /// See [`list`].
    pub fn list<V: DeserializeOwned>(
        &self,
        context: &mut Context<'_>,
        filters: Vec<(&str, Option<String>)>,
        page: &Page,
        table: impl Fn(&[V]) -> Table,
    ) -> Result<(), CliError> {
        list(context, &format!("/{}", self.path), self.path, filters, page, table)
    }

    /// Shows one thing.
    ///
    /// # Errors
    /// It is not there, or the daemon is not.
    pub fn show<V: DeserializeOwned>(
        &self,
        context: &mut Context<'_>,
        id: &str,
        card: impl Fn(&V) -> Card,
    ) -> Result<(), CliError> {
        let answer = context.client.ask(Ask::get(self.path_of(id)))?;
        if context.printed_as_json(&answer)? {
            return Ok(());
        }
        context.card(&card(&answer.read()?))
    }

    /// Adds a thing and shows it.
    ///
    /// # Errors
    /// It exists already, something is wrong with it, or the daemon is not there.
    pub fn add<V: DeserializeOwned>(
        &self,
        context: &mut Context<'_>,
        id: &str,
        mut members: Members,
        card: impl Fn(&V) -> Card,
    ) -> Result<(), CliError> {
        members.set("id", Some(id));
        let answer = context.client.ask(Ask::post(format!("/{}", self.path)).json(&members.new_thing())?)?;
        if context.printed_as_json(&answer)? {
            return Ok(());
        }
        context.note(&format!("{} {id} added", self.one));
        context.card(&card(&answer.read()?))
    }

    /// Changes a thing and shows it.
    ///
    /// # Errors
    /// It is not there, something is wrong with the change, or the daemon is not there.
    pub fn set<V: DeserializeOwned>(
        &self,
        context: &mut Context<'_>,
        id: &str,
        members: Members,
        card: impl Fn(&V) -> Card,
    ) -> Result<(), CliError> {
        if members.is_empty() {
            let one = self.one;
            return Err(CliError::usage(format!(
                "nothing to change: name what is to be set (`ringfence {one} set --help` lists it)"
            )));
        }
        let answer = context.client.ask(Ask::patch(self.path_of(id)).json(&members.change())?)?;
        if context.printed_as_json(&answer)? {
            return Ok(());
        }
        context.note(&format!("{} {id} changed", self.one));
        context.card(&card(&answer.read()?))
    }

    /// Removes things; what cannot be removed does not keep the others.
    ///
    /// # Errors
    /// One at least is not there, is in use, or the daemon is not there.
    pub fn remove(&self, context: &mut Context<'_>, remove: &Remove) -> Result<(), CliError> {
        context.confirm(&format!("Remove {} {}?", self.one, remove.ids.join(", ")), remove.yes)?;
        let mut removed = Vec::new();
        let outcome = for_each(&remove.ids, |id| {
            context.client.ask(Ask::delete(self.path_of(id)))?;
            removed.push(id.to_owned());
            Ok(())
        });
        if context.json {
            context.print_json(&json!({ "removed": removed }))?;
        } else {
            removed.iter().try_for_each(|id| context.line(&format!("{} {id} removed", self.one)))?;
        }
        outcome
    }
}

/// Does something to each of some things; the first failure gives the exit code, all are told.
///
/// # Errors
/// It failed for one at least.
pub fn for_each(ids: &[String], mut act: impl FnMut(&str) -> Result<(), CliError>) -> Result<(), CliError> {
    let mut failed: Option<CliError> = None;
    for id in ids {
        match act(id) {
            Ok(()) => {}
            // Without the daemon the others fail as well.
            Err(error) if error.exit == Exit::Unreachable => return Err(error),
            Err(error) => {
                let whole = failed.get_or_insert(CliError::new(error.exit, Vec::new()));
                whole.lines.extend(error.lines.into_iter().map(|line| format!("{id}: {line}")));
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Shows a list of the API, page by page up to what was asked for.
///
/// # Errors
/// A filter is wrong, or the daemon is not there.
pub fn list<V: DeserializeOwned>(
    context: &mut Context<'_>,
    path: &str,
    member: &str,
    filters: Vec<(&str, Option<String>)>,
    page: &Page,
    table: impl Fn(&[V]) -> Table,
) -> Result<(), CliError> {
    // What fits into one answer is printed as it came.
    if context.json && !page.all && page.limit <= ROWS_A_PAGE {
        let asked = [("limit", Some(page.limit.to_string())), ("cursor", page.cursor.clone())];
        let answer = context.client.ask(Ask::get(format!("{path}{}", query(filters.into_iter().chain(asked)))))?;
        return context.printed_as_json(&answer).map(drop);
    }
    let (rows, next) = rows(context, path, member, &filters, page)?;
    if context.json {
        let mut list = json!({ member: rows });
        if let (Some(next), Some(list)) = (next, list.as_object_mut()) {
            list.insert("next".to_owned(), next.into());
        }
        return context.print_json(&list);
    }
    let views: Vec<V> = serde_json::from_value(Value::Array(rows))
        .map_err(|error| CliError::failed(format!("the daemon's answer is not understood: {error}")))?;
    let table = table(&views);
    context.table(&table)?;
    if let Some(next) = next {
        context.note(&format!("({} shown; there are more: --all, a higher --limit, or --cursor {next})", views.len()));
    } else if table.is_empty() {
        context.note("(none)");
    }
    Ok(())
}

fn rows(
    context: &Context<'_>,
    path: &str,
    member: &str,
    filters: &[(&str, Option<String>)],
    page: &Page,
) -> Result<(Vec<Value>, Option<String>), CliError> {
    let mut rows: Vec<Value> = Vec::new();
    let next = pages(context, path, member, filters, page, |page_rows| {
        rows.extend(page_rows);
        Ok(())
    })?;
    Ok((rows, next))
}

/// Reads a list page by page up to what was asked for; gives the cursor of what is left.
///
/// # Errors
/// A filter is wrong, the daemon is not there, or the rows were not taken.
pub fn pages(
    context: &Context<'_>,
    path: &str,
    member: &str,
    filters: &[(&str, Option<String>)],
    page: &Page,
    mut take: impl FnMut(Vec<Value>) -> Result<(), CliError>,
) -> Result<Option<String>, CliError> {
    let mut taken: u64 = 0;
    let mut cursor = page.cursor.clone();
    loop {
        let wanted = match page.all {
            true => ROWS_A_PAGE,
            false => page.limit.saturating_sub(taken).min(ROWS_A_PAGE),
        };
        let asked = filters.iter().cloned().chain([("limit", Some(wanted.to_string())), ("cursor", cursor.take())]);
        let answer = context.client.ask(Ask::get(format!("{path}{}", query(asked))))?;
        let mut answer: Value = answer.read()?;
        let Some(Value::Array(page_rows)) = answer.get_mut(member).map(Value::take) else {
            return Err(CliError::failed(format!("the daemon's answer is not understood: it has no {member}")));
        };
        // An empty page that says there is more would never end.
        let is_last = page_rows.is_empty();
        taken = taken.saturating_add(page_rows.len() as u64);
        take(page_rows)?;
        cursor = answer.get("next").and_then(Value::as_str).map(str::to_owned).filter(|_| !is_last);
        if cursor.is_none() || (!page.all && taken >= page.limit) {
            return Ok(cursor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_does_not_keep_the_others() {
        let ids = ["a", "b", "c"].map(str::to_owned);
        let mut done = Vec::new();
        let outcome = for_each(&ids, |id| {
            if id == "c" {
                done.push(id.to_owned());
                return Ok(());
            }
            let exit = if id == "a" { Exit::NotFound } else { Exit::Refused };
            Err(CliError::new(exit, vec!["no".to_owned()]))
        });
        let error = outcome.unwrap_err();
        assert_eq!(done, ["c"]);
        assert_eq!((error.exit, error.lines), (Exit::NotFound, vec!["a: no".to_owned(), "b: no".to_owned()]));
    }

    #[test]
    fn without_the_daemon_the_rest_is_not_tried() {
        let ids = ["a", "b"].map(str::to_owned);
        let mut tried = 0;
        let outcome = for_each(&ids, |_| {
            tried += 1;
            Err(CliError::unreachable("gone"))
        });
        assert_eq!((outcome.unwrap_err().exit, tried), (Exit::Unreachable, 1));
    }
}
