//! When NASes started anew, and which calls are over by that.
//!
//! One entry of a NAS may stand for several boxes, behind a proxy or in a network of its own, and each
//! of them starts anew by itself. A box is known by what its packets name it with, in the form of an
//! identification: kind, length, value, one after the other. They are compared and not understood.

use serde::{Deserialize, Serialize};

use super::command::Restart;
use super::time::Timestamp;

/// How far behind ours the clock of a NAS may be and still tell when it started.
const BEHIND_SECONDS_MAX: u64 = 300;
/// How long a NAS may send the same word again.
const REPEATED_SECONDS_MAX: u64 = 300;
/// Largest Acct-Delay-Time that is one: some clients put a date there.
const DELAY_SECONDS_MAX: u32 = 3_600;
/// A delay in whole seconds moves the instant of the same start so far, milliseconds.
const DELAY_SLACK_MILLIS: i64 = 2_000;
/// Most words of one box that are remembered.
const WORDS_MAX: usize = 8;
/// Most boxes of one NAS that are told apart; of more, the one whose start is the oldest is forgotten.
pub const BOXES_MAX: usize = 1_024;

/// That a box started anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// When last.
    pub at: Timestamp,
    /// What told of it lately, and when that came: the same again tells nothing new.
    words: Vec<(Timestamp, u64)>,
}

impl Boot {
    /// It started at `at`; a packet told so `now`.
    pub(super) fn note(&mut self, at: Timestamp, now: Timestamp, word: Option<u64>) {
        self.at = self.at.max(at);
        self.words.retain(|(came, _)| came.plus_seconds(REPEATED_SECONDS_MAX) >= now);
        self.words.extend(word.map(|word| (now, word)));
        let too_many = self.words.len().saturating_sub(WORDS_MAX);
        self.words.drain(..too_many);
    }

    fn has_heard(&self, word: Option<u64>, now: Timestamp) -> bool {
        let recently = |came: Timestamp| came.plus_seconds(REPEATED_SECONDS_MAX) >= now;
        self.words.iter().any(|(came, known)| Some(*known) == word && recently(*came))
    }
}

/// When the NAS started that tells so `now`; `None` where that is known already, or older than what
/// is known.
///
/// Its own clock is believed where it may be right. Else it is the arrival less the delay that it
/// tells of, and what comes again would end calls that began since: so the same packet, or another
/// one with the same time in it, is the same start, and so is one whose delay leads back to it.
pub(super) fn begins(known: Option<&Boot>, told: &Restart, now: Timestamp) -> Option<Timestamp> {
    let may_be_right = |at: &Timestamp| now.minus_seconds(BEHIND_SECONDS_MAX) <= *at && *at <= now;
    let delay = u64::from(told.delay_seconds.filter(|delay| *delay <= DELAY_SECONDS_MAX).unwrap_or(0));
    let (at, slack) = match told.event_at.filter(may_be_right) {
        Some(at) => (at, 0),
        None => (now.minus_seconds(delay), if delay > 0 { DELAY_SLACK_MILLIS } else { 0 }),
    };
    let is_known = known.is_some_and(|boot| boot.at.plus_millis(slack) >= at || boot.has_heard(told.word, now));
    (!is_known).then_some(at)
}

/// Whether a call may be one of this box: the first thing that both are named with decides; where there
/// is none, it may.
pub(super) fn may_be_of(identification: &[u8], sender: &[u8]) -> bool {
    let same_kind = |kind: u8| named(identification).find(|(known, _)| *known == kind).map(|(_, value)| value);
    let decides = |(kind, value)| Some(same_kind(kind)? == value);
    named(sender).find_map(decides).unwrap_or(true)
}

fn named(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let [kind, length, ..] = rest else { return None };
        let (whole, after) = rest.split_at_checked(usize::from(*length)).filter(|(whole, _)| whole.len() >= 2)?;
        rest = after;
        Some((*kind, whole.get(2..)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(10_000);

    fn restart(event_at: Option<i64>, delay_seconds: Option<u32>, word: u64) -> Restart {
        let event_at = event_at.map(Timestamp::from_seconds);
        Restart { event_at, delay_seconds, word: Some(word), ..Restart::default() }
    }

    fn begins_at(known: Option<&Boot>, told: &Restart, now: Timestamp) -> Option<i64> {
        begins(known, told, now).map(|at| at.millis() / 1_000)
    }

    #[test]
    fn a_clock_is_believed_where_it_may_be_right() {
        for (event_at, delay, at) in [
            (Some(9_999), Some(7), 9_999),
            (Some(9_700), None, 9_700),
            (Some(9_699), None, 10_000),
            (Some(6_400), Some(5), 9_995),
            (Some(10_001), None, 10_000),
            (None, Some(3_600), 6_400),
            (None, Some(1_795_438_423), 10_000),
            (None, None, 10_000),
        ] {
            assert_eq!(begins_at(None, &restart(event_at, delay, 1), NOW), Some(at), "{event_at:?} {delay:?}");
        }
    }

    #[test]
    fn the_same_start_is_told_of_once() {
        let mut boot = Boot::default();
        boot.note(NOW, NOW, Some(1));
        let later = NOW.plus_seconds(10);
        assert_eq!(begins_at(Some(&boot), &restart(None, None, 1), later), None, "the same packet");
        assert_eq!(begins_at(Some(&boot), &restart(None, Some(9), 2), later), None, "its delay leads back");
        assert_eq!(begins_at(Some(&boot), &restart(Some(9_990), None, 3), later), None, "older");
        assert_eq!(begins_at(Some(&boot), &restart(None, None, 2), later), Some(10_010), "another one");
        assert_eq!(begins_at(Some(&boot), &restart(Some(10_001), None, 1), later), None, "heard");
        let much_later = NOW.plus_seconds(301);
        assert_eq!(begins_at(Some(&boot), &restart(None, None, 1), much_later), Some(10_301), "nobody repeats so long");
    }

    #[test]
    fn few_words_are_remembered() {
        let mut boot = Boot::default();
        (0..100).for_each(|word| boot.note(NOW, NOW, Some(word)));
        assert_eq!(boot.words.len(), WORDS_MAX);
        assert!(boot.has_heard(Some(99), NOW) && !boot.has_heard(Some(0), NOW));
    }

    #[test]
    fn a_call_is_of_a_box_by_the_first_thing_that_both_say() {
        let name = |name: &[u8]| [&[32, u8::try_from(name.len() + 2).unwrap()], name].concat();
        let address = |last| vec![4, 6, 192, 0, 2, last];
        let both = |text: &[u8], last| [name(text), address(last)].concat();
        for (call, sender, expected) in [
            (name(b"a"), name(b"a"), true),
            (name(b"a"), name(b"b"), false),
            (both(b"a", 1), both(b"a", 2), true),
            (both(b"a", 1), both(b"b", 1), false),
            (address(1), both(b"a", 1), true),
            (address(1), both(b"a", 2), false),
            (both(b"a", 1), address(2), false),
            (name(b"a"), address(1), true),
            (vec![], name(b"a"), true),
            (name(b"a"), vec![], true),
            (vec![32], name(b"a"), true),
            (vec![32, 1, 9], name(b"a"), true),
        ] {
            assert_eq!(may_be_of(&call, &sender), expected, "{call:?} {sender:?}");
        }
    }
}
