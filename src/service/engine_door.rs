//! The operators' way to the engine: asks only an engine that can answer now.

use std::sync::Arc;

use super::admin::error::AdminError;
use super::engine_loop::EngineStatus;
use super::engine_queue::{AskError, EngineHandle};
use crate::domain::command::Command;
use crate::domain::decision::Reply;

/// Asks the engine for operators. Clones ask the same.
#[derive(Clone)]
pub struct EngineDoor {
    engine: EngineHandle,
    status: Option<Arc<EngineStatus>>,
}

impl EngineDoor {
    /// A way to this engine, which is not looked at before it is asked.
    pub fn new(engine: EngineHandle) -> EngineDoor {
        EngineDoor { engine, status: None }
    }

    /// The same, looked at first: while the journal cannot be written a command would wait, and be done
    /// when its operator has long given up.
    #[must_use]
    pub fn watching(self, status: Arc<EngineStatus>) -> EngineDoor {
        EngineDoor { status: Some(status), ..self }
    }

    /// Has a command decided.
    ///
    /// # Errors
    /// The engine is not there, or cannot write now.
    pub async fn ask(&self, command: Command) -> Result<Reply, AdminError> {
        if let Some((_, why)) = self.status.as_ref().and_then(|status| status.failure()) {
            let told = format!("the daemon cannot write its journal now ({why}); nothing was done, try again later");
            return Err(AdminError::Unavailable(told));
        }
        Ok(self.engine.ask(command).await?)
    }
}

impl From<AskError> for AdminError {
    fn from(error: AskError) -> AdminError {
        AdminError::Unavailable(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::service::engine_queue::engine_queue;

    #[tokio::test]
    async fn an_engine_that_is_gone_is_told_of() {
        let (engine, queue) = engine_queue(1, Arc::new(Metrics::new()));
        drop(queue);
        let asked = EngineDoor::new(engine).ask(Command::Tick).await;
        assert!(matches!(asked, Err(AdminError::Unavailable(_))));
    }
}
