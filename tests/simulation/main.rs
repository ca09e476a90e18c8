//! Simulation: seeds of gateways, callers, operators, a bad network and a process that dies, judged
//! after every decision by an auditor with books of its own.
//!
//! `RINGFENCE_TEST_SEEDS` says how many seeds are played (200); `RINGFENCE_TEST_SEED=n` plays that
//! one and prints what happened. Seeds that once failed stay in `seeds.txt` and are always played.

mod auditor;
mod planted;
mod run;
mod scene;

use std::sync::atomic::{AtomicU64, Ordering};

use planted::Planted;
use run::{Outcome, Setting, run};

const SEEDS: u64 = 200;
const CALM_SEEDS: u64 = 40;
/// A planted bug must be seen within so many seeds.
const SEEDS_FOR_PLANTED: u64 = 40;

#[expect(clippy::disallowed_methods, reason = "a test is set from its own environment")]
fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
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

/// Plays one seed with a trace of all that happens.
fn repeat(seed: u64, setting: Setting) {
    let outcome = run(seed, Setting { traces: true, ..setting });
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
    let mut played = play_all(&seeds, Setting::default());
    let sum = |of: fn(&Outcome) -> u64| played.iter().map(|(_, outcome)| of(outcome)).sum::<u64>();
    let happened = [
        ("decisions", sum(|outcome| outcome.decisions)),
        ("accepted", sum(|outcome| outcome.accepted)),
        ("settled", sum(|outcome| outcome.settled)),
        ("corrected", sum(|outcome| outcome.corrected)),
        ("revived", sum(|outcome| outcome.revived)),
        ("overruns", sum(|outcome| outcome.overruns)),
        ("crashes", sum(|outcome| outcome.crashes)),
        ("recalled", sum(|outcome| outcome.recalled)),
        ("no credit", sum(|outcome| outcome.rejected.get("no_credit").copied().unwrap_or(0))),
        ("daily limit", sum(|outcome| outcome.rejected.get("spend_limit").copied().unwrap_or(0))),
        ("calls limit", sum(|outcome| outcome.rejected.get("calls_limit").copied().unwrap_or(0))),
    ];
    println!("{happened:?}");
    played.retain(|(_, outcome)| !outcome.faults.is_empty());
    report(&played);
    if count >= 50 {
        for (what, times) in happened {
            assert!(times > 0, "{what}: it never happened, so nothing was shown of it");
        }
    }
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
            Some((seed, fault)) => println!("{planted:?}: seed {seed}: {fault}"),
            None => unseen.push(planted),
        }
    }
    assert!(unseen.is_empty(), "not seen within {SEEDS_FOR_PLANTED} seeds: {unseen:?}");
}
