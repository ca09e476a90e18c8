//! How times, durations and lists are said to a person.

use crate::service::admin::spec::NumberRuleSpec;

/// An instant without its fraction of a second; what `--from` takes.
pub fn clock_time(instant: &str) -> String {
    match instant.split_once('.') {
        Some((seconds, rest)) if rest.ends_with('Z') => format!("{seconds}Z"),
        _ => instant.to_owned(),
    }
}

/// Seconds as hours, minutes and seconds: `0:07`, `1:02:03`.
pub fn duration(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours == 0 { format!("{minutes}:{seconds:02}") } else { format!("{hours}:{minutes:02}:{seconds:02}") }
}

/// Seconds with what they are in minutes: `3600 s (1:00:00)`.
pub fn seconds(seconds: u64) -> String {
    if seconds < 60 { format!("{seconds} s") } else { format!("{seconds} s ({})", duration(seconds)) }
}

/// How many there are of something: `1 fault`, `3 faults`.
pub fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Rules for dialled numbers, as they are typed.
pub fn rules(rules: &[NumberRuleSpec]) -> String {
    let rules: Vec<String> = rules.iter().map(|rule| format!("{}=>{}", rule.pattern, rule.replace)).collect();
    rules.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_a_second_is_left_out() {
        assert_eq!(clock_time("2026-01-01T00:00:00.123Z"), "2026-01-01T00:00:00Z");
        assert_eq!(clock_time("2026-01-01T00:00:00Z"), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!((counted(1, "fault"), counted(0, "fault")), ("1 fault".to_owned(), "0 faults".to_owned()));
    }

    #[test]
    fn durations_are_read_at_a_glance() {
        for (seconds, text) in [(0, "0:00"), (7, "0:07"), (125, "2:05"), (3723, "1:02:03"), (90_000, "25:00:00")] {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!((seconds(59), seconds(3600)), ("59 s".to_owned(), "3600 s (1:00:00)".to_owned()));
    }
}
