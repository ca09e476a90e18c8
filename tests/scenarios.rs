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

use ringfence::domain::error_cause;

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

/// RFC 5176, 3.5: each Error-Cause, and whether it says that the call is gone. A NAS that refuses for any
/// other reason, or for none that the RFC has, has the call up: it is billed, told of, and asked again.
#[test]
fn every_error_cause_has_its_handling() {
    let naks = error_cause::NAMES.map(|(cause, _)| (format!("nak cause={cause}"), cause == 503));
    let others = [("nak", false), ("nak cause=0", false), ("nak cause=4294967295", false), ("removed", true)];
    let others = others.map(|(answer, is_gone)| (answer.to_owned(), is_gone));
    for (answer, is_gone) in naks.into_iter().chain(others) {
        let story = format!(
            "tariff retail\nrate retail 49 0.60\ncustomer acme tariff=retail balance=10\n\
             account alice customer=acme\nnas gw1 disconnects\n\
             at 00:00:00 gw1 authorize a account=alice to=491\nat 00:00:00 gw1 start a\n\
             at 00:00:05 gw1 interim a\nat 00:00:10 operator disconnect a\nsaw disconnect a\n\
             at 00:00:20 gw1 answers a {answer}\n{}",
            if is_gone {
                "then call a state=terminated reason=unknown_to_nas\nthen cdr a seconds=5 flags=estimated\n\
                 at 00:01:00 wait\nsaw nothing\nthen acme reserved=0"
            } else {
                "saw not_obeyed a answer=refused\nthen call a state=disconnecting\n\
                 at 00:00:30 wait\nsaw disconnect a at=00:00:30\nat 00:00:31 gw1 answers a nak\n\
                 saw not_obeyed a\nat 00:00:51 wait\nsaw disconnect a at=00:00:51\n\
                 at 00:00:55 gw1 stop a session=55\nthen cdr a seconds=55"
            }
        );
        player::play("(generated)", &story).unwrap_or_else(|failure| panic!("{answer}: {failure}"));
    }
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
