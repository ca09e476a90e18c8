//! Call stories in plain text, each played on a world of its own; see `scenarios/README.md` for the
//! words that they are written in.

#[path = "scenarios/cast.rs"]
mod cast;
#[path = "scenarios/player.rs"]
mod player;
#[path = "scenarios/stage.rs"]
mod stage;
#[path = "scenarios/words.rs"]
mod words;

use std::path::{Path, PathBuf};

/// The least that must be there, so that a test of nothing does not pass.
const STORIES_MIN: usize = 95;

fn stories() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let files = std::fs::read_dir(&folder).expect("the folder of scenarios is there");
    let mut stories: Vec<PathBuf> = files
        .map(|file| file.expect("a file of the folder can be named").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    stories.sort();
    stories
}

#[test]
fn every_story_ends_as_it_is_told() {
    let stories = stories();
    let mut failures = Vec::new();
    for path in &stories {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(path).expect("a story is readable text");
        failures.extend(player::play(&name, &text).err());
    }
    assert!(failures.is_empty(), "\n{}\n{} of {} stories failed", failures.join("\n"), failures.len(), stories.len());
    assert!(stories.len() >= STORIES_MIN, "only {} stories", stories.len());
}

const CAST: &str = "tariff retail\nrate retail 49 0.60\ncustomer acme tariff=retail balance=1\n\
                    account alice customer=acme\nnas gw1 disconnects\n";

fn failure(story: &str) -> String {
    player::play("story.txt", &format!("{CAST}{story}")).expect_err("this story is wrong on purpose")
}

#[test]
fn a_wrong_expectation_is_named_with_file_line_and_both_values() {
    let failure = failure("at 00:00:01 gw1 authorize a account=alice to=491\nthen acme reserved=0.50\n");
    assert_eq!(failure, "tests/scenarios/story.txt:7: acme reserved: expected 0.50, found 0.600000");
}

#[test]
fn a_reply_that_nobody_expected_is_named() {
    let failure = failure("at 00:00:01 gw1 authorize a account=alice to=331\nexpect accept\n");
    assert_eq!(failure, "tests/scenarios/story.txt:7: expected accept, found reject no_rate");
}

#[test]
fn a_misspelt_word_does_not_pass_for_a_check() {
    assert!(failure("at 00:00:01 gw1 authorize a account=alice too=491\n").contains(":6: not understood: too=491"));
    assert!(failure("then acme reserve=0\n").contains(":6: acme has no reserve"));
}

#[test]
fn what_is_done_outside_must_be_told() {
    let story = "at 00:00:01 gw1 authorize a account=alice to=491\nat 00:00:02 gw1 start a\nat 00:03:00 wait\n";
    assert!(failure(story).contains("nobody saw: disconnect a why=credit_ends at=00:01:41"), "{}", failure(story));
}
