//! The numbers of credit control that hold for every call; see the configuration for their reasons.

/// The `[credit]` part of the configuration, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How much is reserved ahead.
    pub chunk_seconds: u64,
    /// How long before the reserved seconds end the next chunk is reserved.
    pub lead_seconds: u64,
    /// How long before the last reserved second a call is asked to end.
    pub margin_seconds: u64,
    /// What a last chunk may be.
    pub final_chunk: FinalChunk,
    /// How long a call may take to be answered.
    pub setup_seconds_max: u64,
    /// How long a call may be.
    pub call_seconds_max: u64,
    /// Acct-Interim-Interval.
    pub interim_seconds: u64,
    /// How many periodic interims may stay away.
    pub interims_missed_max: u64,
    /// How long after its grant a call that nobody tells of is over.
    pub grant_overdue_seconds: u64,
    /// How long after its last originate leg a call waits for an answer leg.
    pub leg_wait_seconds: u64,
    /// How long after a disconnect that was not obeyed the NAS is asked again; doubled each time.
    pub disconnect_again_seconds: u64,
    /// The longest that becomes.
    pub disconnect_again_seconds_max: u64,
    /// How long a disconnect waits for its answer, and an answered one for its Stop.
    pub disconnect_wait_seconds: u64,
    /// How long a call that is over is remembered.
    pub ended_kept_seconds: u64,
    /// How many calls that are over are remembered at most.
    pub ended_kept_max: usize,
}

/// What a last chunk may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalChunk {
    /// Whatever can still be paid, down to a second.
    Partial,
    /// A whole chunk, or the call ends.
    Whole,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            chunk_seconds: 60,
            lead_seconds: 5,
            margin_seconds: 1,
            final_chunk: FinalChunk::Partial,
            setup_seconds_max: 180,
            call_seconds_max: 14_400,
            interim_seconds: 60,
            interims_missed_max: 3,
            grant_overdue_seconds: 60,
            leg_wait_seconds: 5,
            disconnect_again_seconds: 10,
            disconnect_again_seconds_max: 300,
            disconnect_wait_seconds: 60,
            ended_kept_seconds: 3_600,
            ended_kept_max: 1_000_000,
        }
    }
}
