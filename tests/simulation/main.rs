//! Simulation: seeds of gateways, callers, operators, a bad network and a process that dies, judged
//! after every decision by an auditor with books of its own. Each lasts a day or two; then all faults
//! stop, and all must end well.
//!
//! `RINGFENCE_TEST_SEEDS` says how many seeds are played; `RINGFENCE_TEST_SEED=n` plays that one and
//! prints what happened; `RINGFENCE_TEST_SEED_DAYS=365` plays one for so long. Seeds that once failed
//! stay in `seeds.txt` and are always played.

mod auditor;
mod planted;
mod run;
mod scene;
mod shelf;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use planted::Planted;
use run::{Outcome, Setting, run};

const SEEDS: u64 = 80;
const CALM_SEEDS: u64 = 20;
/// A planted bug must be seen within so many seeds.
const SEEDS_FOR_PLANTED: u64 = 40;
/// How long the one seed is that lasts.
const DAYS: u64 = 15;

#[expect(clippy::disallowed_methods, reason = "a test is set from its own environment")]
fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[expect(clippy::disallowed_methods, reason = "how fast a test was is for people, and decides nothing")]
fn started() -> Instant {
    Instant::now()
}

/// How much was played, and how fast.
struct Figures {
    seeds: usize,
    simulated_seconds: u64,
    calls: u64,
    decisions: u64,
    wall_seconds: f64,
}

impl Figures {
    fn of(played: &[(u64, Outcome)], started: Instant) -> Figures {
        let sum = |of: fn(&Outcome) -> u64| played.iter().map(|(_, outcome)| of(outcome)).sum();
        Figures {
            seeds: played.len(),
            simulated_seconds: sum(|outcome| outcome.simulated_seconds),
            calls: sum(|outcome| outcome.calls),
            decisions: sum(|outcome| outcome.decisions),
            wall_seconds: started.elapsed().as_secs_f64(),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { seeds, simulated_seconds, calls, decisions, wall_seconds } = self;
        let days = *simulated_seconds as f64 / 86_400.0;
        let a_second = *decisions as f64 / wall_seconds.max(0.001);
        write!(
            f,
            "{seeds} seeds, {days:.1} simulated days, {calls} calls, {decisions} decisions, \
             {wall_seconds:.1} s, {a_second:.0} decisions a second"
        )
    }
}

/// Seeds that failed once, one a line; what follows a `#` says why.
fn seeds_that_failed() -> impl Iterator<Item = u64> {
    include_str!("seeds.txt")
        .lines()
        .map(|line| line.split('#').next().unwrap_or("").trim())
        .filter(|line| !line.is_empty())
        .map(|line| line.parse().expect("a seed is a number"))
}

/// Plays seeds on all processors, in order of their numbers as far as that goes.
fn play_all(seeds: &[u64], setting: Setting) -> Vec<(u64, Outcome)> {
    let next = AtomicU64::new(0);
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut played: Vec<(u64, Outcome)> = std::thread::scope(|scope| {
        let worker = || {
            let mut played = Vec::new();
            while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                played.push((*seed, run(*seed, setting)));
            }
            played
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a seed panicked")).collect()
    });
    played.sort_by_key(|(seed, _)| *seed);
    played
}

fn report(failed: &[(u64, Outcome)]) {
    let mut text = String::new();
    for (seed, outcome) in failed.iter().take(10) {
        text.push_str(&format!("seed {seed}:\n"));
        for fault in &outcome.faults {
            text.push_str(&format!("    {fault}\n"));
        }
        text.push_str(&format!("  again: RINGFENCE_TEST_SEED={seed} cargo test --test simulation -- --nocapture\n"));
    }
    assert!(failed.is_empty(), "{} seeds broke a law\n{text}", failed.len());
}

/// Plays one seed with a trace of all that happens, or of the last that happened where it lasts for
/// years.
fn repeat(seed: u64, setting: Setting) {
    let days = from_environment("RINGFENCE_TEST_SEED_DAYS");
    let outcome = run(seed, Setting { traces: true, days, ..setting });
    println!("{}", outcome.trace);
    report(&Vec::from_iter((!outcome.faults.is_empty()).then_some((seed, outcome))));
}

#[test]
fn seeds_break_no_law() {
    if let Some(seed) = from_environment("RINGFENCE_TEST_SEED") {
        return repeat(seed, Setting::default());
    }
    let count = from_environment("RINGFENCE_TEST_SEEDS").unwrap_or(SEEDS);
    let seeds: Vec<u64> = seeds_that_failed().chain(1..=count).collect();
    let started = started();
    let mut played = play_all(&seeds, Setting::default());
    println!("{}", Figures::of(&played, started));
    let sum = |of: fn(&Outcome) -> u64| played.iter().map(|(_, outcome)| of(outcome)).sum::<u64>();
    let rejected = |why| played.iter().filter_map(|(_, outcome)| outcome.rejected.get(why)).sum::<u64>();
    let charged = |by| played.iter().filter_map(|(_, outcome)| outcome.charged_by.get(by)).sum::<u64>();
    let happened = [
        ("accepted", sum(|outcome| outcome.accepted)),
        ("settled", sum(|outcome| outcome.settled)),
        ("corrected", sum(|outcome| outcome.corrected)),
        ("revived", sum(|outcome| outcome.revived)),
        ("overruns", sum(|outcome| outcome.overruns)),
        ("crashes before writing", sum(|outcome| outcome.crashes_before_writing)),
        ("crashes after writing", sum(|outcome| outcome.crashes_after_writing)),
        ("recalled", sum(|outcome| outcome.recalled)),
        ("packets to the other server", sum(|outcome| outcome.went_elsewhere)),
        ("packets kept for later", sum(|outcome| outcome.kept_for_later)),
        ("cancelled", sum(|outcome| outcome.cancelled)),
        ("failed before an answer", sum(|outcome| outcome.failed_before_answer)),
        ("changed while up", sum(|outcome| outcome.changed_while_up)),
        ("called twice under one name", sum(|outcome| outcome.called_twice)),
        ("forged within a call", sum(|outcome| outcome.forged)),
        ("rejected: no credit", rejected("no_credit")),
        ("rejected: daily limit", rejected("spend_limit")),
        ("rejected: calls limit", rejected("calls_limit")),
        ("rejected: blocked", rejected("blocked")),
        ("rejected: id in use", rejected("id_in_use")),
        ("charged by a Stop", charged("stopped")),
        ("charged by missed interims", charged("interims_missed")),
        ("charged by a grant that is over", charged("grant_overdue")),
        ("charged by a restart", charged("nas_restarted")),
        ("charged by a 503", charged("unknown_to_nas")),
        ("charged by a removal", charged("removed")),
    ];
    for (what, times) in happened {
        println!("{times:>12} {what}");
    }
    played.retain(|(_, outcome)| !outcome.faults.is_empty());
    report(&played);
    if count >= 50 {
        for (what, times) in happened {
            assert!(times > 0, "{what}: it never happened, so nothing was shown of it");
        }
    }
}

/// Years of traffic, with no more in memory than days of it need.
#[test]
fn a_seed_that_lasts_breaks_no_law() {
    let seed = from_environment("RINGFENCE_TEST_SEED").unwrap_or(1);
    let days = from_environment("RINGFENCE_TEST_SEED_DAYS").unwrap_or(DAYS);
    let started = started();
    let played = [(seed, run(seed, Setting { days: Some(days), ..Setting::default() }))];
    let figures = Figures::of(&played, started);
    let [(_, outcome)] = &played;
    println!("{figures}; {} calls at most in memory, up or remembered", outcome.most_calls_known);
    println!("{:.1} simulated days a second", days as f64 / figures.wall_seconds);
    assert!(outcome.faults.is_empty(), "seed {seed} of {days} days: {:#?}", outcome.faults);
    assert!(outcome.most_calls_known < 2_000, "{} calls in memory", outcome.most_calls_known);
}

#[test]
fn where_nothing_goes_wrong_nothing_outruns_its_reservation() {
    if let Some(seed) = from_environment("RINGFENCE_TEST_SEED") {
        return repeat(seed, Setting { is_calm: true, ..Setting::default() });
    }
    let seeds: Vec<u64> = (1..=CALM_SEEDS).collect();
    let mut played = play_all(&seeds, Setting { is_calm: true, ..Setting::default() });
    assert!(played.iter().any(|(_, outcome)| outcome.settled > 0), "no calls, nothing shown");
    played.retain(|(_, outcome)| !outcome.faults.is_empty());
    report(&played);
}

#[test]
fn the_same_seed_makes_the_same_bytes() {
    for seed in 1..=3 {
        let (once, again) = (run(seed, Setting::default()), run(seed, Setting::default()));
        assert!(!once.image.is_empty());
        assert_eq!(once, again, "seed {seed}");
    }
}

#[test]
fn planted_bugs_are_seen() {
    let seeds: Vec<u64> = (1..=SEEDS_FOR_PLANTED).collect();
    let mut unseen = Vec::new();
    for planted in Planted::ALL {
        let setting = Setting { planted: Some(planted), ..Setting::default() };
        let seen = seeds.iter().find_map(|seed| {
            let outcome = run(*seed, setting);
            outcome.faults.first().map(|fault| (*seed, fault.clone()))
        });
        match seen {
            Some((seed, fault)) => {
                let law = fault.split(": ").next().unwrap_or_default();
                println!("{planted:?} | {law} | seed {seed} | {}", fault.chars().take(160).collect::<String>());
            }
            None => unseen.push(planted),
        }
    }
    assert!(unseen.is_empty(), "not seen within {SEEDS_FOR_PLANTED} seeds: {unseen:?}");
}
