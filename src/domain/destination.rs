//! Longest prefix first: which rows of a sorted table match a number.

use std::collections::HashMap;
use std::ops::Range;

/// Longest prefix that a rate can have: as many digits as a number can.
pub const PREFIX_DIGITS_MAX: usize = 32;

/// For each prefix of a sorted table, where its rows are.
///
/// One look-up a length that occurs, longest first. Only lengths that occur are tried, and a number
/// has at most [`PREFIX_DIGITS_MAX`] digits, so the work is bounded whatever the table's size.
#[derive(Clone, Debug, Default)]
pub struct PrefixIndex {
    rows: HashMap<Box<str>, Range<usize>>,
    lengths_longest_first: Vec<usize>,
}

impl PrefixIndex {
    /// The index of a table whose rows have these prefixes, in order.
    pub fn new<'a>(prefixes_in_order: impl Iterator<Item = &'a str>) -> PrefixIndex {
        let mut rows: HashMap<Box<str>, Range<usize>> = HashMap::new();
        let mut lengths = Vec::new();
        for (row, prefix) in prefixes_in_order.enumerate() {
            let end = row.saturating_add(1);
            rows.entry(prefix.into()).or_insert(row..end).end = end;
            if !lengths.contains(&prefix.len()) {
                lengths.push(prefix.len());
            }
        }
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        PrefixIndex { rows, lengths_longest_first: lengths }
    }

    /// The rows of each prefix that the number begins with, longest prefix first.
    pub fn matches_longest_first<'a>(&'a self, number: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
        self.lengths_longest_first
            .iter()
            .filter_map(|length| number.get(..*length))
            .filter_map(|prefix| self.rows.get(prefix).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_match_longest_first() {
        let index = PrefixIndex::new(["", "49", "49", "4930", "7"].into_iter());
        let rows = |number: &str| index.matches_longest_first(number).collect::<Vec<_>>();
        assert_eq!(rows("4930555"), [3..4, 1..3, 0..1]);
        assert_eq!(rows("493"), [1..3, 0..1]);
        assert_eq!(rows("1"), [Range { start: 0, end: 1 }]);
        assert_eq!(rows(""), [Range { start: 0, end: 1 }]);
    }
}
