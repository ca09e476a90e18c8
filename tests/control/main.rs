//! The real binary against a NAS that is asked to end calls and to let them go on (RFC 5176): one that
//! obeys, refuses, is deaf, answers late, or restarts; and the binary killed in between.

#[path = "../live/mod.rs"]
mod live;

mod answers;
mod cisco;
mod credit;
mod fake_nas;
mod operators;
mod prolong;
mod restart;
mod risk;
mod stage;
