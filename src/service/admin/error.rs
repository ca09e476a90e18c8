//! Why an operator's request is not done, and who can do something about it.

use super::spec::Fault;
use crate::domain::decision::Refusal;
use crate::service::rates;

/// Faults that are told one by one, so that they fit into memory; of more, only how many.
pub const FAULTS_MAX: usize = rates::FAULTS_SHOWN_MAX;

/// Why an operator's request is not done..
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// There is no such thing.
    #[error("there is no {kind} {id:?}")]
    NotFound {
        /// What kind of thing.
        kind: &'static str,
        /// The id that was asked for.
        id: String,
    },
    /// As things are, it cannot be done.
    #[error("{0}")]
    Refused(String),
    /// The request cannot be read.
    #[error("{0}")]
    BadRequest(String),
    /// What it says is wrong: every fault.
    #[error("{}", told(.0))]
    Faults(Vec<Fault>),
    /// The part of the daemon that would do it is not there now.
    #[error("{0}")]
    Unavailable(String),
    /// Something failed on our side.
    #[error("{0}")]
    Failed(String),
}

impl AdminError {
    /// One fault at one place.
    pub fn fault(path: impl Into<String>, message: impl Into<String>) -> AdminError {
        AdminError::Faults(vec![Fault { path: path.into(), message: message.into() }])
    }
}

impl From<Refusal> for AdminError {
    fn from(refusal: Refusal) -> AdminError {
        match refusal {
            Refusal::BadAmount(why) => AdminError::fault("amount", why),
            other => AdminError::Refused(other.to_string()),
        }
    }
}

fn told(faults: &[Fault]) -> String {
    match faults {
        [] => "the request is wrong".into(),
        [only] if only.path.is_empty() => only.message.clone(),
        [only] => format!("{}: {}", only.path, only.message),
        [first, rest @ ..] => format!("{}: {} (and {} more)", first.path, first.message, rest.len()),
    }
}
