//! Pages of lists.

use super::error::AdminError;

/// Lines of a page where nobody says.
const LIMIT_DEFAULT: usize = 100;
/// Most lines of a page.
pub const LIMIT_MAX: usize = 1_000;

/// How many lines a page is to have.
///
/// # Errors
/// None, or more than may be.
pub fn limit(limit: Option<usize>) -> Result<usize, AdminError> {
    match limit.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        _ => Err(AdminError::BadRequest(format!("limit must be 1 to {LIMIT_MAX}"))),
    }
}

/// The page of things that come after a cursor by their ids, and the cursor of the next one.
pub fn by_id<T>(
    mut things: Vec<T>,
    id: impl Fn(&T) -> &str,
    after: Option<&str>,
    lines: usize,
) -> (Vec<T>, Option<String>) {
    things.sort_unstable_by(|a, b| id(a).cmp(id(b)));
    let from = after.map_or(0, |after| things.partition_point(|thing| id(thing) <= after));
    let mut page: Vec<T> = things.drain(from..).take(lines.saturating_add(1)).collect();
    let more = page.len() > lines;
    page.truncate(lines);
    let next = page.last().filter(|_| more).map(|last| id(last).to_owned());
    (page, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap_or_overlap() {
        let things = || ["d", "a", "c", "b", "e"].map(String::from).to_vec();
        let mut seen = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let (page, next) = by_id(things(), |thing| thing, cursor.as_deref(), 2);
            assert!(page.len() <= 2);
            seen.extend(page);
            match next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn a_cursor_need_not_exist_any_more() {
        let (page, next) = by_id(vec!["a".to_owned(), "c".to_owned()], |thing| thing, Some("b"), 5);
        assert_eq!((page, next), (vec!["c".to_owned()], None));
    }

    #[test]
    fn a_page_has_its_bounds() {
        assert_eq!(limit(None), Ok(100));
        assert!(limit(Some(0)).is_err() && limit(Some(1001)).is_err());
    }
}
