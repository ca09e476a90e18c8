//! The right answers to challenges that callers gave, and whether the calls that they were given for are
//! over: whoever has recorded a whole INVITE can send it again, and it would be another call.
//!
//! Nobody gets in here without a password. When too many are remembered an account loses its own oldest one,
//! and only one that has none yet takes the place of another's: so who fills the memory empties nobody else's.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use super::fingerprint::Fingerprint;
use crate::dialect::LegReport;
use crate::domain::call::CallKey;
use crate::domain::command::AccountingKind;
use crate::domain::id::{AccountKey, NasKey};
use crate::domain::time::Timestamp;

/// Most answers that are remembered; about 200 bytes each.
const ANSWERS_MAX: usize = 65_536;
/// How long one is, seconds: longer than proxies leave their nonces in use.
const KEPT_SECONDS: u64 = 3_600;

/// The answers that are remembered.
#[derive(Debug)]
pub struct Answers {
    memory: Mutex<Memory>,
    most: usize,
}

#[derive(Debug, Default)]
struct Memory {
    /// Oldest first.
    all: BTreeMap<u64, Answer>,
    by_request: HashMap<Fingerprint, u64>,
    /// Of calls that have not ended since.
    by_call: HashMap<Fingerprint, Vec<u64>>,
    /// Oldest first.
    by_account: HashMap<AccountKey, VecDeque<u64>>,
    last: u64,
}

#[derive(Debug)]
struct Answer {
    /// The answer itself, with the call that it was given for.
    request: Fingerprint,
    call: Fingerprint,
    account: AccountKey,
    given_at: Timestamp,
    is_over: bool,
}

impl Default for Answers {
    fn default() -> Answers {
        Answers { memory: Mutex::default(), most: ANSWERS_MAX }
    }
}

impl Answers {
    /// A right answer was given for a call. Whether it may be: the call has not ended since the same answer
    /// began it.
    pub fn give(&self, answer: &[u8], (nas, key): (NasKey, &CallKey), account: AccountKey, now: Timestamp) -> bool {
        // Its digits are right in either case, and a number that is called is no part of it.
        let request = Fingerprint::of(&[&nas.0.to_be_bytes(), &answer.to_ascii_lowercase(), &key.0]);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.forget_before(now.minus_seconds(KEPT_SECONDS));
        if let Some(known) = memory.by_request.get(&request).and_then(|number| memory.all.get(number)) {
            return !known.is_over;
        }
        if memory.all.len() >= self.most {
            let own = memory.by_account.get(&account).and_then(|own| own.front().copied());
            let goes = own.or_else(|| memory.all.first_key_value().map(|(oldest, _)| *oldest));
            goes.into_iter().for_each(|number| memory.forget(number));
        }
        memory.remember(Answer { request, call: call_of(nas, key), account, given_at: now, is_over: false });
        true
    }

    /// What was told of a leg: where that was its end, no answer that was given for the call may be given for
    /// it again.
    pub fn told(&self, report: &LegReport) {
        let told = &report.accounting;
        if let (AccountingKind::Stop | AccountingKind::Failed, Some(key)) = (told.kind, &told.identity.key) {
            self.call_ended(told.nas, key);
        }
    }

    fn call_ended(&self, nas: NasKey, key: &CallKey) {
        let memory = &mut *self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        for number in memory.by_call.remove(&call_of(nas, key)).unwrap_or_default() {
            if let Some(answer) = memory.all.get_mut(&number) {
                answer.is_over = true;
            }
        }
    }
}

fn call_of(nas: NasKey, key: &CallKey) -> Fingerprint {
    Fingerprint::of(&[&nas.0.to_be_bytes(), &key.0])
}

impl Memory {
    fn remember(&mut self, answer: Answer) {
        self.last = self.last.saturating_add(1);
        self.by_request.insert(answer.request, self.last);
        self.by_call.entry(answer.call).or_default().push(self.last);
        self.by_account.entry(answer.account).or_default().push_back(self.last);
        self.all.insert(self.last, answer);
    }

    fn forget_before(&mut self, time: Timestamp) {
        while let Some((number, oldest)) = self.all.first_key_value()
            && oldest.given_at < time
        {
            self.forget(*number);
        }
    }

    /// Forgets an answer that is the oldest of its account.
    fn forget(&mut self, number: u64) {
        let Some(answer) = self.all.remove(&number) else { return };
        self.by_request.remove(&answer.request);
        if let Some(of_call) = self.by_call.get_mut(&answer.call) {
            of_call.retain(|other| *other != number);
            if of_call.is_empty() {
                self.by_call.remove(&answer.call);
            }
        }
        if let Some(own) = self.by_account.get_mut(&answer.account) {
            own.pop_front();
            if own.is_empty() {
                self.by_account.remove(&answer.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{AccountingRequest, ClassMark, dialect_for};
    use crate::domain::nas::DialectName;
    use crate::service::nas_table::tests::nas;
    use crate::wire::authenticator::Secret;
    use crate::wire::kind;
    use crate::wire::packet::{Code, Packet};
    use crate::wire::request::RequestBuilder;

    const NOON: Timestamp = Timestamp::from_seconds(1_795_437_736);
    const NAS: NasKey = NasKey(1);
    const ALICE: AccountKey = AccountKey(1);
    const BOB: AccountKey = AccountKey(2);

    fn key(call: &str) -> CallKey {
        CallKey(call.as_bytes().into())
    }

    fn give(answers: &Answers, answer: &str, call: &str, account: AccountKey, now: Timestamp) -> bool {
        answers.give(answer.as_bytes(), (NAS, &key(call)), account, now)
    }

    #[test]
    fn an_answer_is_worth_nothing_when_its_call_is_over() {
        let answers = Answers::default();
        for _ in 0..3 {
            assert!(give(&answers, "one", "a", ALICE, NOON), "while it is set up or up");
        }
        answers.call_ended(NasKey(2), &key("a"));
        assert!(give(&answers, "one", "a", ALICE, NOON), "a call of another gateway");
        answers.call_ended(NAS, &key("a"));
        for seconds in [0, 32, KEPT_SECONDS] {
            assert!(!give(&answers, "one", "a", ALICE, NOON.plus_seconds(seconds)), "{seconds}");
            assert!(!give(&answers, "ONE", "a", ALICE, NOON.plus_seconds(seconds)), "the same digits");
        }
        assert!(give(&answers, "two", "a", ALICE, NOON), "the caller answers anew");
        assert!(!give(&answers, "one", "a", ALICE, NOON), "which gives the other nothing");
        answers.call_ended(NAS, &key("a"));
        assert!(!give(&answers, "two", "a", ALICE, NOON));
        assert!(give(&answers, "two", "b", ALICE, NOON), "of that its nonce is to be asked");
    }

    #[test]
    fn an_answer_is_over_with_the_stop_or_the_failure_of_its_call() {
        let answers = Answers::default();
        for (call, status, response, is_over) in [
            ("a", 1, 200, false),
            ("b", 15, 180, false),
            ("c", 3, 200, false),
            ("d", 2, 200, true),
            ("e", 15, 486, true),
        ] {
            assert!(give(&answers, "one", call, ALICE, NOON));
            let mut request = RequestBuilder::new(Code::ACCOUNTING_REQUEST, 1);
            request.text(kind::ACCT_SESSION_ID, call).integer(kind::ACCT_STATUS_TYPE, status).integer(102, response);
            let bytes = request.finish(&Secret::from("s"), [0; 16]).unwrap();
            let nas = nas(DialectName::Kamailio);
            let packet = Packet::decode(&bytes).unwrap();
            let read = dialect_for(nas.dialect).read_accounting(&packet, &nas, ClassMark::new(1));
            let Ok(AccountingRequest::Leg(report)) = read else { panic!("of a leg") };
            answers.told(&report);
            assert_eq!(give(&answers, "one", call, ALICE, NOON), !is_over, "{call}");
        }
    }

    #[test]
    fn who_fills_the_memory_empties_nobody_elses() {
        let answers = Answers { most: 64, ..Answers::default() };
        assert!(give(&answers, "one", "alices", ALICE, NOON));
        answers.call_ended(NAS, &key("alices"));
        for call in 0..1_000 {
            assert!(give(&answers, "one", &format!("bobs {call}"), BOB, NOON));
        }
        assert!(!give(&answers, "one", "alices", ALICE, NOON));
        let sizes = |answers: &Answers| {
            let memory = answers.memory.lock().unwrap();
            let own: usize = memory.by_account.values().map(VecDeque::len).sum();
            let calls: usize = memory.by_call.values().map(Vec::len).sum();
            (memory.all.len(), memory.by_request.len(), own, calls)
        };
        assert_eq!(sizes(&answers), (64, 64, 64, 63));
        assert!(give(&answers, "one", "carols", AccountKey(3), NOON), "one that has none takes the oldest place");
        assert_eq!(sizes(&answers), (64, 64, 64, 64));
        let later = NOON.plus_seconds(KEPT_SECONDS + 1);
        assert!(give(&answers, "one", "later", ALICE, later));
        assert_eq!(sizes(&answers), (1, 1, 1, 1), "what is old goes");
    }
}
