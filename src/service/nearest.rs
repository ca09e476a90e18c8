//! "Did you mean": the known word that is nearest to a mistyped one.

/// Longest word that is looked at, characters; what is longer is no slip of a known word.
const WORD_CHARS_MAX: usize = 64;

/// The known word that differs least from this one, if it differs little enough to be a slip: in
/// one letter of three at most. Capitals count as small letters.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = lower_case(word);
    if word.len() > WORD_CHARS_MAX {
        return None;
    }
    known
        .into_iter()
        .map(|candidate| (distance(&word, &lower_case(candidate)), candidate))
        .filter(|(distance, candidate)| distance * 3 <= candidate.chars().count().max(word.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn lower_case(word: &str) -> Vec<char> {
    word.chars().take(WORD_CHARS_MAX + 1).flat_map(char::to_lowercase).collect()
}

/// Letters to add, leave out, change or swap with their neighbour to come from one to the other.
fn distance(a: &[char], b: &[char]) -> usize {
    // Three rows of the table of all beginnings of `a` against all beginnings of `b`.
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, letter_a) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, letter_b) in b.iter().enumerate() {
            let changed = last[j] + usize::from(letter_a != letter_b);
            let mut least = changed.min(last[j + 1] + 1).min(row[j] + 1);
            let swapped = i > 0 && j > 0 && a[i - 1] == *letter_b && b[j - 1] == *letter_a;
            if swapped {
                least = least.min(before_last[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["chunk_seconds", "lead_seconds", "listen", "path"];

    #[test]
    fn a_slip_finds_its_word() {
        for (slip, word) in [
            ("chunk_second", "chunk_seconds"),
            ("chunkseconds", "chunk_seconds"),
            ("Lead_Seconds", "lead_seconds"),
            ("lsiten", "listen"),
            ("paht", "path"),
        ] {
            assert_eq!(nearest(slip, KNOWN), Some(word), "{slip}");
        }
    }

    #[test]
    fn another_word_finds_nothing() {
        for other in ["", "x", "timeout", "zzzzzz", &"a".repeat(10_000)] {
            assert_eq!(nearest(other, KNOWN), None, "{other}");
        }
    }
}
