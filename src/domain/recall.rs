//! Which call of the past a packet means: one that ended so long ago that World has forgotten it.

use super::call::{Call, CallKey};
use super::command::CallIdentity;
use super::id::{CallId, ConfId, NasKey};

/// What calls that are over are looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastName<'a> {
    /// The number that our Class has in it.
    Call(CallId),
    /// What a NAS named the call with.
    Key(NasKey, &'a CallKey),
    /// The H.323 conference, whatever the NAS.
    Conference(ConfId),
    /// A NAS's Acct-Session-Id.
    Session(NasKey, &'a [u8]),
}

impl PastName<'_> {
    /// Whether it is a call's.
    pub fn is_of(&self, call: &Call) -> bool {
        match self {
            PastName::Call(id) => call.id == *id,
            PastName::Key(nas, key) => call.nas == *nas && call.key.as_ref() == Some(*key),
            PastName::Conference(conf_id) => call.conf_id == Some(*conf_id),
            PastName::Session(nas, session_id) => call.nas == *nas && *call.session_id == **session_id,
        }
    }
}

/// The call that a packet means, by the rules of the calls that are remembered (`World::find_call`), and the
/// newest where a name was used again. `look_up` gives the calls of a name, newest first.
///
/// # Errors
/// Those of `look_up`.
pub fn recall<E>(
    nas: NasKey,
    identity: &CallIdentity,
    mut look_up: impl FnMut(PastName<'_>) -> Result<Vec<Call>, E>,
) -> Result<Option<Box<Call>>, E> {
    let has_dialog = |call: &Call| identity.dialog.is_some_and(|dialog| call.has_dialog(&dialog));
    let mut of_class = None;
    let mut was_forgotten = false;
    if let Some(class) = identity.class {
        let found = look_up(PastName::Call(class))?.into_iter().next();
        was_forgotten = found.is_none();
        of_class = found.filter(|call| call.nas == nas);
        if let Some(call) = of_class.take_if(|call| !call.excludes(identity)) {
            return Ok(Some(Box::new(call)));
        }
    }
    let mut of_key = match &identity.key {
        Some(key) => look_up(PastName::Key(nas, key))?,
        None => Vec::new(),
    };
    if let Some(place) = of_key.iter().position(has_dialog) {
        return Ok(Some(Box::new(of_key.swap_remove(place))));
    }
    // A Class that is known nowhere means no other call, whatever else the packet says.
    if of_class.is_some() || was_forgotten {
        return Ok(of_class.map(Box::new));
    }
    if let Some(call) = of_key.into_iter().next() {
        return Ok(Some(Box::new(call)));
    }
    if let Some(conf_id) = identity.conf_id
        && let Some(call) = look_up(PastName::Conference(conf_id))?.into_iter().next()
    {
        return Ok(Some(Box::new(call)));
    }
    if identity.session_id.is_empty() {
        return Ok(None);
    }
    let of_session = look_up(PastName::Session(nas, &identity.session_id))?;
    let meant = |call: &Call| !call.is_named_by_session() && call.agrees_with(identity);
    Ok(of_session.into_iter().find(meant).map(Box::new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::authorize::{UNKNOWN_NAS, blank_call};
    use crate::domain::call::{CallState, Dialog, EndReason, Ending, Leg, LegEnd, LegKey, LegOrigin};
    use crate::domain::id::CdrId;
    use crate::domain::policy::Policy;
    use crate::domain::time::Timestamp;
    use crate::domain::world::{World, WorldImage};

    fn call(id: u64, nas: u32, key: &str, session: &str) -> Call {
        let identity = CallIdentity {
            key: (!key.is_empty()).then(|| CallKey(key.as_bytes().into())),
            session_id: session.as_bytes().into(),
            ..CallIdentity::default()
        };
        blank_call(CallId(id), NasKey(nas), UNKNOWN_NAS, None, &identity, Timestamp::from_seconds(1))
    }

    /// What a gateway's packet recalls out of these.
    fn recalled(past: &[Call], identity: CallIdentity) -> Option<u64> {
        let found = recall::<()>(NasKey(1), &identity, |name| {
            Ok(past.iter().rev().filter(|call| name.is_of(call)).cloned().collect())
        });
        found.unwrap().map(|call| call.id.0)
    }

    fn named(class: Option<u64>, key: &str, session: &str) -> CallIdentity {
        CallIdentity {
            class: class.map(CallId),
            key: (!key.is_empty()).then(|| CallKey(key.as_bytes().into())),
            session_id: session.as_bytes().into(),
            ..CallIdentity::default()
        }
    }

    #[test]
    fn a_class_means_one_call_or_none() {
        let past = [call(1, 1, "a", "s1"), call(2, 1, "a", "s2")];
        assert_eq!(recalled(&past, named(Some(1), "a", "")), Some(1));
        assert_eq!(recalled(&past, named(Some(9), "a", "s1")), None, "its name may be a newer call's by now");
    }

    #[test]
    fn the_class_of_another_gateway_says_nothing() {
        let past = [call(1, 1, "a", ""), call(2, 7, "b", "")];
        assert_eq!(recalled(&past, named(Some(2), "a", "")), Some(1));
    }

    #[test]
    fn of_a_name_that_was_used_again_the_newest_is_meant() {
        let past = [call(1, 1, "a", ""), call(2, 1, "a", ""), call(3, 7, "a", "")];
        assert_eq!(recalled(&past, named(None, "a", "")), Some(2));
    }

    #[test]
    fn a_session_id_names_calls_that_have_another_name_too() {
        let past = [call(1, 1, "a", "s1")];
        assert_eq!(recalled(&past, named(None, "", "s1")), Some(1));
        assert_eq!(recalled(&past, named(None, "s1", "s1")), Some(1), "a Stop that names it by nothing else");
        assert_eq!(recalled(&past, named(None, "b", "s1")), None, "another call of a gateway that began anew");
        assert_eq!(recalled(&[call(1, 7, "a", "s1")], named(None, "", "s1")), None);
    }

    /// Calls of a few names and dialogs, all over.
    fn past(random: &mut fastrand::Rng) -> Vec<Call> {
        let any = |random: &mut fastrand::Rng, all: &[&'static str]| all[random.usize(..all.len())];
        let calls = (1..=random.u64(1..8)).map(|id| {
            let key = any(random, &["a", "b", ""]);
            let session = if random.bool() { key } else { any(random, &["s1", "s2", ""]) };
            let mut call = call(id, random.u32(1..3), key, session);
            call.conf_id = (random.u8(..4) == 0).then(|| ConfId([random.u8(..2); 16]));
            call.state = CallState::Terminated;
            let (at, reason) = (Timestamp::from_seconds(9), EndReason::Stopped);
            let (seconds, cdr) = (5, CdrId(1));
            call.ending =
                Some(Ending { at, reason, seconds, estimated: false, by_originate_leg: false, corrected: false, cdr });
            for _ in 0..random.u8(..3) {
                let end = LegEnd { at, told_at: None, seconds: random.u64(..2), cause: None, failed: false };
                let key = LegKey {
                    nas: call.nas,
                    session_id: call.session_id.clone(),
                    origin: LegOrigin::Answer,
                    remote_address: None,
                    setup_at: None,
                    dialog: dialog(random),
                };
                call.legs.push(Leg { key, connected_at: None, started_at: None, ended: Some(end), connection: None });
            }
            call
        });
        calls.collect()
    }

    fn dialog(random: &mut fastrand::Rng) -> Option<Dialog> {
        let to = random.bool().then(|| random.u64(10..13));
        (random.u8(..3) != 0).then(|| Dialog { from: random.u64(1..3), to })
    }

    #[test]
    fn the_tables_mean_the_call_that_the_world_would_mean() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut found = 0;
        for _ in 0..20_000 {
            let past = past(&mut random);
            let next = past.len() as u64 + 1;
            let image = WorldImage { next: (next, 1, 1), calls: past.clone(), ..WorldImage::default() };
            let world = World::from_image(Policy::default(), image);
            let mut identity = named(
                (random.u8(..3) == 0).then(|| random.u64(1..next)),
                ["a", "b", ""][random.usize(..3)],
                ["a", "s1", "s2", ""][random.usize(..4)],
            );
            identity.conf_id = (random.u8(..4) == 0).then(|| ConfId([random.u8(..2); 16]));
            identity.dialog = dialog(&mut random);
            let by_world = world.find_call(NasKey(1), &identity, None).map(|call| call.id.0);
            assert_eq!(recalled(&past, identity.clone()), by_world, "{identity:?} of {past:#?}");
            found += usize::from(by_world.is_some());
        }
        assert!(found > 5_000, "{found}");
    }
}
