//! Movements of money by operators: top-ups and adjustments.

use super::Admin;
use super::error::AdminError;
use super::read::{amount, line_of_text};
use super::spec::{EntrySpec, Fault, PostedView};
use super::thing::Kind;
use crate::domain::cdr::EntryKind;
use crate::domain::command::{Command, PostEntry, PostKind};
use crate::domain::decision::{Done, Reply};
use crate::service::catalogue::{blocking, unexpected};

/// Longest idempotency key, bytes.
const KEY_BYTES_MAX: usize = 128;

impl Admin {
    /// Adds to a party's balance. The same idempotency key again posts nothing and gives the same
    /// entry.
    ///
    /// # Errors
    /// There is no such party, what is written has faults, or the key was used for something else.
    pub async fn post_entry(&self, by: &str, kind: Kind, id: &str, spec: EntrySpec) -> Result<PostedView, AdminError> {
        let book = self.registry.book();
        let party = Some(kind).filter(|kind| kind.exists(&book, id)).and_then(|_| book.party_by_id(id));
        let party = party.ok_or_else(|| AdminError::NotFound { kind: kind.as_str(), id: id.to_owned() })?;
        let mut post = read(&spec)?;
        (post.party, post.by) = (party.key, by.into());
        if let Some(key) = post.idempotency_key.clone() {
            let (reports, party) = (self.reports.clone(), party.key);
            let known = blocking(move || {
                let found = reports.entry_by_key(party, &key);
                found.map_err(|error| AdminError::Unavailable(error.to_string()))
            });
            if let Some(known) = known.await? {
                let kind = match post.kind {
                    PostKind::TopUp => EntryKind::TopUp,
                    PostKind::Adjustment => EntryKind::Adjustment,
                };
                if (known.entry.kind, known.entry.amount) != (kind, post.amount) {
                    let (entry, kind, amount) = (known.entry.id, known.entry.kind.as_str(), known.entry.amount);
                    let why =
                        format!("the idempotency key was used for another one: entry {entry}, {kind} of {amount}");
                    return Err(AdminError::Refused(why));
                }
                post.known = Some(known.entry.id);
            }
        }
        let amount = post.amount;
        match self.engine.ask(Command::PostEntry(Box::new(post))).await? {
            Reply::Done(Done::Posted { entry, balance, known }) => Ok(PostedView {
                id: entry.0,
                party: party.id.to_string(),
                kind: spec.kind,
                amount: amount.to_string(),
                balance: balance.to_string(),
                currency: party.currency.to_string(),
                known,
            }),
            Reply::Refused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        }
    }
}

/// What is asked for, but not yet whose and by whom.
fn read(spec: &EntrySpec) -> Result<PostEntry, AdminError> {
    let mut faults = Vec::new();
    let mut fault = |path: &str, message: String| faults.push(Fault { path: path.to_owned(), message });
    let kind = match spec.kind.as_str() {
        "topup" => PostKind::TopUp,
        "adjustment" => PostKind::Adjustment,
        _ => {
            fault("kind", "must be one of topup, adjustment".into());
            PostKind::TopUp
        }
    };
    let amount = amount(&spec.amount).unwrap_or_else(|message| {
        fault("amount", message);
        Default::default()
    });
    let note = line_of_text(&spec.note).unwrap_or_else(|message| {
        fault("note", message);
        Default::default()
    });
    let key = spec.idempotency_key.as_deref().map(|key| match line_of_text(key) {
        Ok(read) if !key.is_empty() && key.len() <= KEY_BYTES_MAX => read,
        _ => {
            fault("idempotency_key", format!("has 1 to {KEY_BYTES_MAX} bytes and no control characters"));
            Default::default()
        }
    });
    if !faults.is_empty() {
        return Err(AdminError::Faults(faults));
    }
    Ok(PostEntry {
        party: Default::default(),
        kind,
        amount,
        note,
        idempotency_key: key,
        known: None,
        by: Default::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_an_entry_is_told() {
        let spec = EntrySpec {
            kind: "gift".into(),
            amount: "1,5".into(),
            note: "a\nb".into(),
            idempotency_key: Some("".into()),
        };
        let Err(AdminError::Faults(faults)) = read(&spec) else { panic!() };
        let paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(paths, ["kind", "amount", "note", "idempotency_key"]);
    }
}
