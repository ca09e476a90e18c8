//! libFuzzer's door to the target `dialects`.
#![no_main]

#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::dialects::read_and_answer(data));
