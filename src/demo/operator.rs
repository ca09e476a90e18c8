//! The operator in the demo: sets up, tops up and looks at balances through the same API as the
//! command line.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::service::admin::spec::{EntrySpec, PartyView, PostedView};
use crate::transport::cli::client::{Ask, Client, Server};
use crate::transport::cli::error::CliError;
use crate::transport::cli::setup_file;

/// Asks the daemon of the demo.
#[derive(Clone)]
pub struct Operator {
    client: Arc<Client>,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Operator")
    }
}

impl Operator {
    /// One that asks through a socket.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn new(socket: &Path) -> Result<Operator, String> {
        let client = Client::new(Server::Socket(socket.into()), None, None).map_err(one_line)?;
        Ok(Operator { client: Arc::new(client) })
    }

    /// Makes the daemon's parties, tariffs and gateways as a setup file says.
    ///
    /// # Errors
    /// The file is wrong, or the daemon refuses it.
    pub async fn apply(&self, file: &Path) -> Result<(), String> {
        let file = file.to_owned();
        self.ask(move || {
            let text = setup_file::read(&file, &|_| None).map_err(CliError::failed)?;
            if let Some(fault) = text.faults.first() {
                return Err(CliError::failed(format!("{}: {fault}", file.display())));
            }
            Ask::post("/apply").long().json(&json!({ "setup": text.setup }))
        })
        .await
        .map(|_: Value| ())
    }

    /// What a customer has, as text with its currency.
    ///
    /// # Errors
    /// The daemon does not say.
    pub async fn balance(&self, customer: &'static str) -> Result<String, String> {
        let view: PartyView = self.ask(move || Ok(Ask::get(format!("/customers/{customer}")))).await?;
        Ok(format!("{} {}", view.balance, view.currency))
    }

    /// Adds money; the balance then.
    ///
    /// # Errors
    /// The daemon refuses.
    pub async fn top_up(&self, customer: &'static str, amount: &str, key: &str) -> Result<String, String> {
        let entry = EntrySpec {
            kind: "topup".to_owned(),
            amount: amount.to_owned(),
            note: "demo".to_owned(),
            idempotency_key: Some(key.to_owned()),
        };
        let posted: PostedView =
            self.ask(move || Ask::post(format!("/customers/{customer}/entries")).json(&entry)).await?;
        Ok(format!("{} {}", posted.balance, posted.currency))
    }

    /// The client waits for its answer, so it does that on a thread of its own.
    async fn ask<T, F>(&self, ask: F) -> Result<T, String>
    where
        T: serde::de::DeserializeOwned + Send + 'static,
        F: FnOnce() -> Result<Ask, CliError> + Send + 'static,
    {
        let client = self.client.clone();
        let answered = tokio::task::spawn_blocking(move || client.ask(ask()?)?.read::<T>());
        answered.await.map_err(|error| error.to_string())?.map_err(one_line)
    }
}

fn one_line(error: CliError) -> String {
    error.lines.join("; ")
}
