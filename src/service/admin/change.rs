//! One thing at a time: made, replaced, changed in part, removed.

use serde_json::{Map, Value};

use super::draft::{Draft, Spec, Wish};
use super::error::AdminError;
use super::read::from_json;
use super::thing::Kind;
use super::write::Secrets;

/// How deep a partial change is looked into: a NAS with its disconnect address is two deep.
const MERGE_DEPTH_MAX: usize = 4;

/// What an operator wants of one thing.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new thing.
    Create(Value),
    /// It is to be as written, new or not.
    Replace {
        /// Which.
        id: String,
        /// How.
        spec: Value,
    },
    /// Only some members are to be other than now; `null` takes a member away (RFC 7396).
    Merge {
        /// Which.
        id: String,
        /// The members.
        patch: Value,
    },
    /// It is to be no more.
    Remove {
        /// Which.
        id: String,
    },
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Which thing.
    pub id: String,
    /// It is new.
    pub created: bool,
}

/// Makes one change in a draft.
///
/// # Errors
/// It is not there, is there already, is in use, or what is written has faults.
pub fn make(draft: &mut Draft, kind: Kind, change: Change) -> Result<Changed, AdminError> {
    let not_found = |id: &str| AdminError::NotFound { kind: kind.as_str(), id: id.to_owned() };
    let (spec, created) = match change {
        Change::Create(value) => {
            let spec = read(kind, value)?;
            let taken_by = [Kind::Customer, Kind::Reseller];
            let is_taken = match kind {
                Kind::Customer | Kind::Reseller => taken_by.iter().any(|kind| kind.exists(&draft.book, spec.id())),
                _ => kind.exists(&draft.book, spec.id()),
            };
            if is_taken {
                return Err(AdminError::Refused(format!("{kind} {:?} exists already", spec.id())));
            }
            (spec, true)
        }
        Change::Replace { id, spec } => {
            let spec = read(kind, with_id(spec, &id)?)?;
            (spec, !kind.exists(&draft.book, &id))
        }
        Change::Merge { id, patch } => {
            let present = Spec::of(&draft.book, kind, &id, Secrets::Shown).ok_or_else(|| not_found(&id))?;
            let patch = with_id(patch, &id)?;
            if patch.get("opening_balance").is_some() {
                let why = "is looked at on creation only; move money by a top-up or an adjustment";
                return Err(AdminError::fault("opening_balance", why));
            }
            let mut merged = present.to_json().map_err(|error| AdminError::Failed(error.to_string()))?;
            merge(&mut merged, patch, MERGE_DEPTH_MAX);
            (read(kind, merged)?, false)
        }
        Change::Remove { id } => {
            if !kind.exists(&draft.book, &id) {
                return Err(not_found(&id));
            }
            let removal = Wish::Remove { kind, id: id.clone() };
            // The only fault of a removal is that the thing is in use.
            draft.make(vec![removal]).map_err(|error| AdminError::Refused(error.to_string()))?;
            return Ok(Changed { id, created: false });
        }
    };
    let id = spec.id().to_owned();
    draft.make(vec![Wish::Put { path: String::new(), spec: Box::new(spec) }])?;
    Ok(Changed { id, created })
}

fn read(kind: Kind, value: Value) -> Result<Spec, AdminError> {
    let value = &value;
    match kind {
        Kind::Tariff => from_json(value).map(Spec::Tariff),
        Kind::Reseller => from_json(value).map(Spec::Reseller),
        Kind::Customer => from_json(value).map(Spec::Customer),
        Kind::Account => from_json(value).map(Spec::Account),
        Kind::Nas => from_json(value).map(|spec| Spec::Nas(Box::new(spec))),
        Kind::Carrier => from_json(value).map(Spec::Carrier),
        Kind::Connection => from_json(value).map(Spec::Connection),
    }
}

/// The members with the id of the path, which they may leave out but not contradict.
fn with_id(mut value: Value, id: &str) -> Result<Value, AdminError> {
    let Value::Object(members) = &mut value else {
        return Err(AdminError::BadRequest("the body must be a JSON object".into()));
    };
    match members.insert("id".into(), Value::from(id)) {
        Some(other) if other != id => {
            Err(AdminError::fault("id", "an id is not changed; make a new one and remove the old one"))
        }
        _ => Ok(value),
    }
}

/// RFC 7396. A new secret takes the place of the old one with all that was said of it.
fn merge(target: &mut Value, patch: Value, depth: usize) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if depth == 0 {
        return;
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return };
    for secret in ["password", "secret"] {
        let names = [secret.to_owned(), format!("{secret}_env"), format!("{secret}_file"), format!("{secret}_kept")];
        if names.iter().any(|name| patch.contains_key(name)) {
            names.iter().for_each(|name| drop(members.remove(name)));
        }
    }
    for (name, value) in patch {
        if value.is_null() {
            members.remove(&name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), value, depth.saturating_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::book::Book;

    fn draft_after(steps: Vec<(Kind, Change)>) -> Draft {
        let mut draft = Draft::of(&Book::default());
        for (kind, change) in steps {
            make(&mut draft, kind, change).unwrap();
        }
        draft
    }

    fn with_customer() -> Draft {
        draft_after(vec![
            (Kind::Tariff, Change::Create(json!({"id": "retail", "currency": "EUR"}))),
            (Kind::Customer, Change::Create(json!({"id": "acme", "tariff": "retail", "calls_max": 2, "name": "Acme"}))),
            (
                Kind::Account,
                Change::Create(json!({"id": "alice", "customer": "acme", "password": "x", "password_env": "P"})),
            ),
        ])
    }

    #[test]
    fn a_partial_change_leaves_the_rest() {
        let mut draft = with_customer();
        let patch = json!({"blocked": true, "calls_max": null});
        make(&mut draft, Kind::Customer, Change::Merge { id: "acme".into(), patch }).unwrap();
        let acme = draft.book.party_by_id("acme").unwrap();
        assert_eq!((acme.blocked, acme.calls_max, acme.name.as_ref()), (true, None, "Acme"));
    }

    #[test]
    fn a_whole_change_takes_the_rest_away() {
        let mut draft = with_customer();
        let change = Change::Replace { id: "acme".into(), spec: json!({"tariff": "retail"}) };
        assert_eq!(make(&mut draft, Kind::Customer, change).unwrap(), Changed { id: "acme".into(), created: false });
        let acme = draft.book.party_by_id("acme").unwrap();
        assert_eq!((acme.calls_max, acme.name.as_ref()), (None, ""));
    }

    #[test]
    fn a_new_password_forgets_where_the_old_one_was_from() {
        let mut draft = with_customer();
        let patch = json!({"password": "new"});
        make(&mut draft, Kind::Account, Change::Merge { id: "alice".into(), patch }).unwrap();
        let Some(Spec::Account(alice)) = Spec::of(&draft.book, Kind::Account, "alice", Secrets::Shown) else {
            panic!()
        };
        assert_eq!((alice.password.as_deref(), alice.password_env), (Some("new"), None));
        make(&mut draft, Kind::Account, Change::Merge { id: "alice".into(), patch: json!({"password": null}) })
            .unwrap();
        assert!(draft.book.account_by_id("alice").unwrap().password.is_none());
    }

    #[test]
    fn what_exists_is_not_made_again() {
        let mut draft = with_customer();
        for (kind, spec) in [
            (Kind::Customer, json!({"id": "acme", "tariff": "retail"})),
            (Kind::Reseller, json!({"id": "acme", "tariff": "retail"})),
        ] {
            assert!(matches!(make(&mut draft, kind, Change::Create(spec)), Err(AdminError::Refused(_))));
        }
    }

    #[test]
    fn what_is_in_use_is_not_removed() {
        let mut draft = with_customer();
        let change = Change::Remove { id: "retail".into() };
        assert!(matches!(make(&mut draft, Kind::Tariff, change), Err(AdminError::Refused(_))));
        let change = Change::Remove { id: "nobody".into() };
        assert!(matches!(make(&mut draft, Kind::Customer, change), Err(AdminError::NotFound { .. })));
    }

    #[test]
    fn an_id_and_an_opening_balance_are_not_changed() {
        let mut draft = with_customer();
        for patch in [json!({"id": "other"}), json!({"opening_balance": "5"})] {
            let change = Change::Merge { id: "acme".into(), patch };
            assert!(matches!(make(&mut draft, Kind::Customer, change), Err(AdminError::Faults(_))));
        }
    }

    #[test]
    fn a_member_that_does_not_exist_is_a_fault() {
        let mut draft = with_customer();
        let change = Change::Merge { id: "acme".into(), patch: json!({"blcked": true}) };
        let error = make(&mut draft, Kind::Customer, change).unwrap_err();
        assert!(error.to_string().contains("blcked"), "{error}");
    }
}
