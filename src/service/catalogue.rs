//! What operators wrote, changed one change after the other, beside the engine.
//!
//! A change is drafted on a copy of the book, its rates are indexed and written, and only then it
//! enters the engine as a command, in order with the calls. What takes long happens here and never on
//! the engine's thread.

use std::sync::Arc;

use super::admin::draft::Draft;
use super::admin::error::AdminError;
use super::engine_door::EngineDoor;
use super::registry::RegistryReader;
use crate::domain::book::{Book, BookChange};
use crate::domain::command::{ChangeBook, Command};
use crate::domain::decision::{Done, Refusal, Reply};
use crate::domain::limit::Entity;
use crate::domain::money::Money;
use crate::store::Rates;

/// Changes the book. Clones share one order of changes.
#[derive(Clone)]
pub struct Catalogue {
    engine: EngineDoor,
    registry: RegistryReader,
    rates: Arc<dyn Rates>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Catalogue {
    /// A catalogue whose changes go to this engine.
    pub fn new(engine: EngineDoor, registry: RegistryReader, rates: Arc<dyn Rates>) -> Catalogue {
        Catalogue { engine, registry, rates, turn: Arc::default() }
    }

    /// The same, by another way to the engine; changes through both come one after the other.
    #[must_use]
    pub fn through(self, engine: EngineDoor) -> Catalogue {
        Catalogue { engine, ..self }
    }

    /// Drafts a change and has it made, after all that were asked for before it. What is drafted is
    /// drafted on the book that these made.
    ///
    /// It goes on to its end even if nobody waits for it any more: half a change would let the next one
    /// be drafted on a book that is not the last.
    ///
    /// # Errors
    /// What the draft says, or the engine; then nothing is changed.
    pub async fn change<T: Send + 'static>(
        &self,
        by: &str,
        make: impl FnOnce(&mut Draft) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, AdminError> {
        let (catalogue, by) = (self.clone(), Box::from(by));
        let change = tokio::spawn(async move {
            let _turn = catalogue.turn.lock().await;
            catalogue.change_now(by, make).await
        });
        change.await.map_err(|error| AdminError::Failed(format!("the change was given up: {error}")))?
    }

    /// Drafts a change and says what it would do; nothing is changed.
    ///
    /// # Errors
    /// What the draft says, or what the engine would say now.
    pub async fn plan<T: Send + 'static>(
        &self,
        make: impl FnOnce(&mut Draft) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, AdminError> {
        let registry = self.registry.clone();
        let before = registry.book();
        blocking(move || {
            let mut draft = Draft::of(&before);
            let made = make(&mut draft)?;
            draft.changes.iter().try_for_each(|change| may_go(&before, &registry, change))?;
            Ok(made)
        })
        .await
    }

    async fn change_now<T: Send + 'static>(
        &self,
        by: Box<str>,
        make: impl FnOnce(&mut Draft) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, AdminError> {
        let (before, rates) = (self.registry.book(), Arc::clone(&self.rates));
        let (made, draft) = blocking(move || {
            let mut draft = Draft::of(&before);
            let made = make(&mut draft)?;
            for new in &draft.tables {
                let written = rates.write(new.tariff, new.version, new.table.rates());
                written.map_err(|error| AdminError::Failed(format!("the rates cannot be written: {error}")))?;
            }
            Ok((made, draft))
        })
        .await?;
        if draft.changes.is_empty() {
            return Ok(made);
        }
        let Draft { book, changes, opening, .. } = draft;
        let change = ChangeBook { changes, book: Arc::new(book), opening, by };
        match self.engine.ask(Command::ChangeBook(Box::new(change))).await? {
            Reply::Done(Done::Changed) => Ok(made),
            Reply::Refused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        }
    }
}

/// Runs what reads files or takes long where it holds nobody up.
///
/// # Errors
/// Its own.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AdminError> + Send + 'static,
) -> Result<T, AdminError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| AdminError::Failed(format!("the work was given up: {error}")))?
}

/// For a reply that no command of ours has.
pub(super) fn unexpected(reply: &Reply) -> AdminError {
    AdminError::Failed(format!("the engine gave a reply that does not fit: {reply:?}"))
}

/// What the engine would say to a removal, by what is published now.
fn may_go(book: &Book, registry: &RegistryReader, change: &BookChange) -> Result<(), AdminError> {
    let (entity, what) = match change {
        BookChange::RemoveParty(key) => (Entity::Party(*key), book.party(*key).map(|party| &party.id)),
        BookChange::RemoveAccount(key) => (Entity::Account(*key), book.account(*key).map(|account| &account.id)),
        BookChange::RemoveNas(key) => (Entity::Nas(*key), book.nas(*key).map(|nas| &nas.id)),
        BookChange::RemoveCarrier(key) => (Entity::Carrier(*key), book.carrier(*key).map(|carrier| &carrier.id)),
        _ => return Ok(()),
    };
    let what = what.map_or_else(|| entity.to_string(), ToString::to_string);
    let calls = registry.slots(entity);
    if calls > 0 {
        return Err(Refusal::HasCalls { what, calls }.into());
    }
    let balance = match change {
        BookChange::RemoveParty(key) => registry.purse(*key).balance,
        _ => Money::ZERO,
    };
    if balance == Money::ZERO { Ok(()) } else { Err(Refusal::HasBalance { what, balance }.into()) }
}
