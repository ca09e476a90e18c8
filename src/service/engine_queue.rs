//! The way to the engine: a bounded queue that packets and operators share.
//!
//! Packets never wait for room: what does not fit is refused at the door, and the NAS sends it again.
//! Operators have a lane of their own, so that a flood of packets does not lock them out, and so have
//! the answers of NASes that were asked: ten thousand disconnects at once make nobody wait. The engine
//! takes all that waits at once: the longer a commit takes, the more go into the next.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::command::Command;
use crate::domain::decision::Reply;
use crate::metrics::{Metrics, Queue};

/// Most commands of operators that wait.
const OPERATORS_MAX: usize = 4_096;
/// Most answers to what the engine had asked for that wait: as many as are asked at once.
const ANSWERS_MAX: usize = 65_536;

/// What is called with the engine's reply, when what it says is durable. Dropped without a call where
/// there is no reply: the engine stopped, or does not know whether it was recorded.
pub type OnReply = Box<dyn FnOnce(Reply) + Send>;

/// A command with the one who waits for its reply.
pub struct Submission {
    /// What is to be decided.
    pub command: Command,
    /// Who waits.
    pub on_reply: OnReply,
}

/// A queue, and its two ends.
pub fn engine_queue(packets_max: usize, metrics: Arc<Metrics>) -> (EngineHandle, EngineQueue) {
    let shared = Arc::new(Shared { state: Mutex::default(), wake: Condvar::new(), packets_max, metrics });
    (EngineHandle { shared: shared.clone() }, EngineQueue { shared })
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    packets_max: usize,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    packets: VecDeque<Submission>,
    operators: VecDeque<Submission>,
    answers: VecDeque<Submission>,
    engine_waits: bool,
    closed: bool,
}

impl Shared {
    /// Nothing panics while it is locked; if it did, what is there would still be whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_depth(&self, state: &State) {
        self.metrics.queue_depth(Queue::Engine).set(state.depth());
    }
}

impl State {
    fn depth(&self) -> usize {
        self.packets.len().saturating_add(self.operators.len()).saturating_add(self.answers.len())
    }
}

// -------------------------------------------------------------------------------- putting in

/// Hands commands to the engine. Clones hand them to the same.
#[derive(Clone)]
pub struct EngineHandle {
    shared: Arc<Shared>,
}

/// Why a packet was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// As many wait as may.
    #[error("too many requests wait for the engine")]
    Full,
    /// It takes nothing any more.
    #[error("the engine is stopping")]
    Stopped,
}

/// Why an operator gets no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// As many wait as may.
    #[error("too many commands wait for the engine; try again")]
    Busy,
    /// It takes nothing any more.
    #[error("the daemon is stopping")]
    Stopped,
    /// It was taken, and it is not known whether it was done.
    #[error(
        "the daemon stopped, or lost its storage, before it could say whether this was done; look before you repeat it"
    )]
    Unknown,
}

impl EngineHandle {
    /// Hands over what a packet asks for, without waiting. `on_reply` is called on the engine's thread
    /// and is to be quick.
    ///
    /// # Errors
    /// It was not taken, and `on_reply` was dropped.
    pub fn try_submit(
        &self,
        command: Command,
        on_reply: impl FnOnce(Reply) + Send + 'static,
    ) -> Result<(), SubmitError> {
        let submission = Submission { command, on_reply: Box::new(on_reply) };
        let mut state = self.shared.lock();
        if state.closed {
            return Err(SubmitError::Stopped);
        }
        if state.packets.len() >= self.shared.packets_max {
            return Err(SubmitError::Full);
        }
        state.packets.push_back(submission);
        self.wake(state);
        Ok(())
    }

    /// Has an operator's command decided, and waits until what the reply says is durable.
    ///
    /// # Errors
    /// There is no reply.
    pub async fn ask(&self, command: Command) -> Result<Reply, AskError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.submit_for_operator(command, move |reply| drop(sender.send(reply)))?;
        receiver.await.map_err(|_| AskError::Unknown)
    }

    /// The same for a thread that may block.
    ///
    /// # Errors
    /// There is no reply.
    pub fn ask_blocking(&self, command: Command) -> Result<Reply, AskError> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.submit_for_operator(command, move |reply| drop(sender.send(reply)))?;
        receiver.recv().map_err(|_| AskError::Unknown)
    }

    /// Hands over what became of work that the engine had asked for; nobody waits for a reply.
    ///
    /// # Errors
    /// It was not taken.
    pub fn tell(&self, command: Command) -> Result<(), AskError> {
        let mut state = self.shared.lock();
        if state.closed {
            return Err(AskError::Stopped);
        }
        if state.answers.len() >= ANSWERS_MAX {
            return Err(AskError::Busy);
        }
        state.answers.push_back(Submission { command, on_reply: Box::new(|_| {}) });
        self.wake(state);
        Ok(())
    }

    /// How many commands wait.
    pub fn depth(&self) -> usize {
        self.shared.lock().depth()
    }

    /// Takes nothing any more; what was taken is decided, and then the engine ends.
    pub fn close(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        self.wake(state);
    }

    fn submit_for_operator(
        &self,
        command: Command,
        on_reply: impl FnOnce(Reply) + Send + 'static,
    ) -> Result<(), AskError> {
        let submission = Submission { command, on_reply: Box::new(on_reply) };
        let mut state = self.shared.lock();
        if state.closed {
            return Err(AskError::Stopped);
        }
        if state.operators.len() >= OPERATORS_MAX {
            return Err(AskError::Busy);
        }
        state.operators.push_back(submission);
        self.wake(state);
        Ok(())
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        self.shared.note_depth(&state);
        // A system call is spared while the engine is at work: it looks here before it sleeps.
        let sleeps = std::mem::take(&mut state.engine_waits);
        drop(state);
        if sleeps {
            self.shared.wake.notify_one();
        }
    }
}

// -------------------------------------------------------------------------------- taking out

/// The engine's end; there is one.
pub struct EngineQueue {
    shared: Arc<Shared>,
}

impl EngineQueue {
    /// Moves what waits, operators first, at most `max`, to the end of `batch`; of what they leave half
    /// is for packets, however many answers there are. Waits up to `patience` where nothing does. Tells
    /// whether more may come.
    pub fn take(&self, batch: &mut Vec<Submission>, max: usize, patience: Duration) -> bool {
        let mut state = self.shared.lock();
        if state.depth() == 0 && !state.closed && !patience.is_zero() {
            state.engine_waits = true;
            // Waking up for nothing is no harm: the caller looks at what there is, and comes again.
            state = self.shared.wake.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
            state.engine_waits = false;
        }
        let State { packets, operators, answers, closed, .. } = &mut *state;
        let from_operators = operators.len().min(max);
        batch.extend(operators.drain(..from_operators));
        let rest = max.saturating_sub(from_operators);
        let from_answers = answers.len().min(rest.saturating_sub(packets.len().min(rest / 2)));
        batch.extend(answers.drain(..from_answers));
        let from_packets = packets.len().min(rest.saturating_sub(from_answers));
        batch.extend(packets.drain(..from_packets));
        let goes_on = !*closed || state.depth() > 0;
        self.shared.note_depth(&state);
        goes_on
    }

    /// Whether the other end was closed.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }
}

/// Who waits for an engine that is gone learns that it is.
impl Drop for EngineQueue {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let State { packets, operators, answers, .. } = &mut *state;
        let waiting = [packets, operators, answers].map(std::mem::take);
        self.shared.note_depth(&state);
        drop(state);
        // Outside the lock: what is dropped may look at the queue.
        drop(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(packets_max: usize) -> (EngineHandle, EngineQueue) {
        engine_queue(packets_max, Arc::new(Metrics::new()))
    }

    fn take(queue: &EngineQueue) -> (usize, bool) {
        let mut batch = Vec::new();
        let goes_on = queue.take(&mut batch, 10, Duration::ZERO);
        (batch.len(), goes_on)
    }

    #[test]
    fn what_does_not_fit_is_refused_at_the_door() {
        let (handle, queue) = queue(2);
        for _ in 0..2 {
            assert_eq!(handle.try_submit(Command::Tick, |_| {}), Ok(()));
        }
        assert_eq!(handle.try_submit(Command::Tick, |_| {}), Err(SubmitError::Full));
        assert_eq!((handle.depth(), take(&queue)), (2, (2, true)));
        assert_eq!(handle.try_submit(Command::Tick, |_| {}), Ok(()));
    }

    #[test]
    fn operators_are_not_locked_out_by_packets() {
        let (handle, queue) = queue(1);
        handle.try_submit(Command::Tick, |_| {}).unwrap();
        let asking = std::thread::spawn({
            let handle = handle.clone();
            move || handle.ask_blocking(Command::Tick)
        });
        while handle.depth() < 2 {
            std::thread::yield_now();
        }
        let mut batch = Vec::new();
        queue.take(&mut batch, 1, Duration::ZERO);
        let operator = batch.pop().unwrap();
        (operator.on_reply)(Reply::Recorded);
        assert_eq!(asking.join().unwrap(), Ok(Reply::Recorded));
    }

    #[test]
    fn answers_of_nases_keep_neither_operators_nor_packets_waiting() {
        let (handle, queue) = queue(8);
        for _ in 0..ANSWERS_MAX {
            handle.tell(Command::Tick).unwrap();
        }
        assert_eq!(handle.tell(Command::Tick), Err(AskError::Busy));
        let (told, is_told) = std::sync::mpsc::channel();
        for _ in 0..8 {
            let told = told.clone();
            handle.try_submit(Command::Tick, move |_| told.send("packet").unwrap()).unwrap();
        }
        handle.submit_for_operator(Command::Tick, move |_| told.send("operator").unwrap()).unwrap();
        let mut batch = Vec::new();
        queue.take(&mut batch, 9, Duration::ZERO);
        assert_eq!((batch.len(), handle.depth()), (9, ANSWERS_MAX));
        batch.drain(..).for_each(|submission| (submission.on_reply)(Reply::None));
        assert_eq!(is_told.try_iter().collect::<Vec<_>>(), ["operator", "packet", "packet", "packet", "packet"]);
    }

    #[test]
    fn a_closed_queue_is_emptied_and_then_over() {
        let (handle, queue) = queue(2);
        handle.try_submit(Command::Tick, |_| {}).unwrap();
        handle.close();
        assert_eq!(handle.try_submit(Command::Tick, |_| {}), Err(SubmitError::Stopped));
        assert_eq!(take(&queue), (1, false));
    }

    #[test]
    fn who_asks_an_engine_that_is_gone_is_told() {
        let (handle, queue) = queue(2);
        let asking = std::thread::spawn({
            let handle = handle.clone();
            move || handle.ask_blocking(Command::Tick)
        });
        while handle.depth() == 0 {
            std::thread::yield_now();
        }
        drop(queue);
        assert_eq!(asking.join().unwrap(), Err(AskError::Unknown));
        assert_eq!(handle.ask_blocking(Command::Tick), Err(AskError::Stopped));
    }

    #[test]
    fn a_waiting_engine_is_woken() {
        let (handle, queue) = queue(2);
        let engine = std::thread::spawn(move || {
            let mut batch = Vec::new();
            while batch.is_empty() {
                queue.take(&mut batch, 10, Duration::from_secs(60));
            }
            batch.len()
        });
        handle.try_submit(Command::Tick, |_| {}).unwrap();
        assert_eq!(engine.join().unwrap(), 1);
    }
}
