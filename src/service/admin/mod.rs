//! What operators do: everything that the HTTP API offers, without HTTP.

use std::sync::Arc;
use std::time::Duration;

use super::catalogue::{Catalogue, blocking};
use super::engine_door::EngineDoor;
use super::engine_loop::EngineStatus;
use super::engine_queue::EngineHandle;
use super::registry::RegistryReader;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::store::{Projector, Rates, Reports, Upkeep};

// What is written and read.
pub mod error;
pub mod spec;
pub mod thing;

// From the one to the other.
pub mod read;
pub mod view;
pub mod write;

// How the next book is made.
pub mod apply;
pub mod change;
pub mod draft;

// What operators do, one noun a file.
mod calls;
mod database;
mod money;
pub mod page;
pub mod probe;
mod quote;
mod rate_table;
mod records;
pub mod setup;
mod status;

pub use calls::CallFilter;
use error::AdminError;
use probe::Prober;
pub use records::{AuditQuery, CdrQuery, EntryQuery, RejectionQuery};

/// So long who reads the tables waits for what was committed before.
const TABLES_PATIENCE: Duration = Duration::from_secs(2);

/// What operators do, each use case a method. Clones do it to the same daemon.
#[derive(Clone)]
pub struct Admin {
    catalogue: Catalogue,
    engine: EngineDoor,
    registry: RegistryReader,
    reports: Arc<dyn Reports>,
    projector: Arc<dyn Projector>,
    upkeep: Arc<dyn Upkeep>,
    metrics: Arc<Metrics>,
    clock: Clock,
    prober: Option<Arc<Prober>>,
}

/// What an [`Admin`] is made of.
pub struct Parts {
    /// The way to the engine.
    pub engine: EngineHandle,
    /// What the engine publishes.
    pub registry: RegistryReader,
    /// The tables.
    pub reports: Arc<dyn Reports>,
    /// What writes them.
    pub projector: Arc<dyn Projector>,
    /// The versions of rates.
    pub rates: Arc<dyn Rates>,
    /// Copies and checks.
    pub upkeep: Arc<dyn Upkeep>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
}

impl Admin {
    /// What operators do to the daemon that has these parts.
    pub fn new(parts: Parts) -> Admin {
        let Parts { engine, registry, reports, projector, rates, upkeep, metrics, clock } = parts;
        let engine = EngineDoor::new(engine);
        let catalogue = Catalogue::new(engine.clone(), registry.clone(), rates);
        Admin { catalogue, engine, registry, reports, projector, upkeep, metrics, clock, prober: None }
    }

    /// The same, with somebody who asks gateways.
    #[must_use]
    pub fn probing(self, prober: Prober) -> Admin {
        Admin { prober: Some(Arc::new(prober)), ..self }
    }

    /// The same, for an engine that is looked at before it is asked: while it cannot write, operators
    /// are told so at once.
    #[must_use]
    pub fn watching(self, status: Arc<EngineStatus>) -> Admin {
        let engine = self.engine.watching(status);
        Admin { catalogue: self.catalogue.through(engine.clone()), engine, ..self }
    }

    /// Reads from the tables what was committed before now: who is told that a payment is made finds it
    /// in the statement. Tables that are further behind are not waited for; what they have is read.
    async fn read_tables<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, AdminError> {
        let projector = Arc::clone(&self.projector);
        blocking(move || {
            if let Err(error) = projector.flush(TABLES_PATIENCE) {
                tracing::debug!("read from tables that are behind: {error}");
            }
            read()
        })
        .await
    }
}
