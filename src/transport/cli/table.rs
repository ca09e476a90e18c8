//! Tables and cards: rows for a person, that fit the terminal and stay whole in a file.
//!
//! On a terminal a table is at most as wide as it: ids that are much longer than the others take
//! several lines, then the least important columns are left out, and named below; what still does not
//! fit is wrapped. Elsewhere every row is one line with all
//! columns, so that `grep` and `awk` have what they need.

use std::io::{self, Write};

use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table as Grid, Width};

use super::client::shown;

/// Spaces between two columns.
const GAP_CHARS: u16 = 2;
/// A text that wraps is left out before it has less room than this.
const WRAPPED_CHARS_MIN: usize = 24;
/// An id takes several lines where it is longer than this and there is no room.
const ID_CHARS_MIN: usize = 16;
/// A narrower terminal is treated as this wide: tables of one word a line help nobody.
const WIDTH_MIN: u16 = 40;

/// What the output can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Screen {
    /// Characters in a line; `None` where it is no terminal.
    pub width: Option<u16>,
    /// Colours are wanted.
    pub colours: bool,
}

/// How a cell is to be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As any other.
    #[default]
    Plain,
    /// All is well.
    Good,
    /// Worth a look.
    Odd,
    /// Something is wrong.
    Bad,
    /// Less important.
    Faint,
}

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    text: String,
    tone: Tone,
}

impl Text {
    /// A cell in a tone.
    pub fn toned(text: impl Into<String>, tone: Tone) -> Text {
        Text { text: text.into(), tone }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text { text, tone: Tone::Plain }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text::from(text.to_owned())
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Text {
        Text::from(text.clone())
    }
}

impl From<u64> for Text {
    fn from(number: u64) -> Text {
        Text::from(number.to_string())
    }
}

impl From<u32> for Text {
    fn from(number: u32) -> Text {
        Text::from(number.to_string())
    }
}

impl From<bool> for Text {
    fn from(yes: bool) -> Text {
        Text::from(if yes { "yes" } else { "no" })
    }
}

impl<T: Into<Text>> From<Option<T>> for Text {
    fn from(cell: Option<T>) -> Text {
        cell.map(Into::into).unwrap_or_default()
    }
}

/// What may take several lines of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wraps {
    No,
    Ids,
    Sentences,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    name: &'static str,
    is_number: bool,
    wraps: Wraps,
    importance: u8,
}

impl Column {
    /// A column that is always shown.
    pub const fn new(name: &'static str) -> Column {
        Column { name, is_number: false, wraps: Wraps::No, importance: u8::MAX }
    }

    /// A column of ids as others chose them: one of them may be very long.
    pub const fn id(name: &'static str) -> Column {
        Column { name, is_number: false, wraps: Wraps::Ids, importance: u8::MAX }
    }

    /// A column of money or numbers: its points stand below each other.
    pub const fn number(name: &'static str) -> Column {
        Column { name, is_number: true, wraps: Wraps::No, importance: u8::MAX }
    }

    /// A column of sentences, that may take several lines of a terminal.
    pub const fn text(name: &'static str) -> Column {
        Column { name, is_number: false, wraps: Wraps::Sentences, importance: u8::MAX }
    }

    /// May be left out where there is no room; those of the least rank first.
    #[must_use]
    pub const fn rank(mut self, importance: u8) -> Column {
        self.importance = importance;
        self
    }
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Text>>,
}

impl Table {
    /// A table of these columns, without rows.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Table {
        Table { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row, a cell a column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Text>) {
        let cells = cells.into_iter().map(|cell| Text { text: shown(&cell.text), tone: cell.tone }).collect();
        self.rows.push(cells);
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes the table.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write(&self, out: &mut dyn Write, screen: Screen) -> io::Result<()> {
        let mut grid = grid(screen);
        let bold = |name: &str| Cell::new(name.to_uppercase()).add_attribute(Attribute::Bold);
        grid.set_header(self.columns.iter().map(|column| bold(column.name)));
        for row in &self.rows {
            grid.add_row(row.iter().map(cell));
        }
        let widths: Vec<usize> = grid.column_max_content_widths().into_iter().map(usize::from).collect();
        let room = screen.width.map(|width| usize::from(width.max(WIDTH_MIN)));
        let empty = if room.is_some() { self.empty_columns() } else { Vec::new() };
        let left_out = room.map(|room| self.without_room(&widths, room, &empty)).unwrap_or_default();
        let is_shown = |place: usize| !left_out.contains(&place) && !empty.contains(&place);
        let last = (0..self.columns.len()).rev().find(|place| is_shown(*place));
        let fits = |wrapped: usize| room.is_some_and(|room| self.taken(&widths, wrapped, &is_shown) <= room);
        // As wide as they can be, so that as few as possible take several lines.
        let ids = room.and_then(|room| (ID_CHARS_MIN..=room).rev().find(|wrapped| fits(*wrapped)));
        for (place, column) in self.columns.iter().enumerate() {
            let Some(grid_column) = grid.column_mut(place) else { continue };
            grid_column.set_padding((0, if Some(place) == last { 0 } else { GAP_CHARS }));
            if column.is_number {
                grid_column.set_cell_alignment(CellAlignment::Right);
            }
            if !is_shown(place) {
                grid_column.set_constraint(ColumnConstraint::Hidden);
            } else if let Some(ids) = ids {
                // What has no spaces to break at stays in one piece as long as it can.
                match column.wraps {
                    Wraps::No => drop(grid_column.set_constraint(ColumnConstraint::ContentWidth)),
                    Wraps::Ids => {
                        let width = widths.get(place).map_or(0, |width| *width).min(ids);
                        let padding = if Some(place) == last { 0 } else { GAP_CHARS };
                        let width = u16::try_from(width).unwrap_or(u16::MAX).saturating_add(padding);
                        grid_column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
                    }
                    Wraps::Sentences => {}
                }
            }
        }
        write_lines(&grid, out)?;
        if !left_out.is_empty() {
            let names = left_out.iter().filter_map(|place| self.columns.get(*place)).map(|column| column.name);
            let names: Vec<&str> = names.collect();
            let note = format!("(no room for {}; a wider terminal, a pipe or --json has all)", names.join(", "));
            write_note(&note, out, screen)?;
        }
        Ok(())
    }

    /// Columns that may be left out and that say nothing in any row.
    fn empty_columns(&self) -> Vec<usize> {
        let is_empty = |place: usize| {
            self.rows.iter().all(|row| row.get(place).is_none_or(|cell| cell.text.is_empty())) && !self.rows.is_empty()
        };
        let may_go = |column: &Column| column.importance < u8::MAX;
        let places = self.columns.iter().enumerate().filter(|(_, column)| may_go(column)).map(|(place, _)| place);
        places.filter(|place| is_empty(*place)).collect()
    }

    /// The width of the table where every text that wraps is as narrow as it gets, and every id as narrow
    /// as `ids`.
    fn taken(&self, widths: &[usize], ids: usize, is_shown: &dyn Fn(usize) -> bool) -> usize {
        let gap = usize::from(GAP_CHARS);
        let column_widths = self.columns.iter().zip(widths).enumerate().filter(|(place, _)| is_shown(*place));
        let taken = column_widths.map(|(_, (column, width))| {
            let least = match column.wraps {
                Wraps::No => *width,
                Wraps::Ids => (*width).min(ids),
                Wraps::Sentences => (*width).min(WRAPPED_CHARS_MIN),
            };
            least + gap
        });
        taken.sum::<usize>().saturating_sub(gap)
    }

    /// The columns to leave out, the least important first, the rightmost of equals first.
    fn without_room(&self, widths: &[usize], room: usize, empty: &[usize]) -> Vec<usize> {
        let mut by_importance: Vec<(u8, usize)> = self
            .columns
            .iter()
            .enumerate()
            .filter(|(place, column)| column.importance < u8::MAX && !empty.contains(place))
            .map(|(place, column)| (column.importance, place))
            .collect();
        by_importance.sort_by_key(|(importance, place)| (*importance, usize::MAX - place));
        let mut left_out = Vec::new();
        for (_, place) in by_importance {
            if self.taken(widths, ID_CHARS_MIN, &|shown| !left_out.contains(&shown) && !empty.contains(&shown)) <= room
            {
                break;
            }
            left_out.push(place);
        }
        left_out.sort_unstable();
        left_out
    }
}

/// One thing, a line a field.
#[derive(Clone, Debug, Default)]
pub struct Card(Vec<(String, Text)>);

impl Card {
    /// A card without fields.
    pub fn new() -> Card {
        Card::default()
    }

    /// Adds a field; one without a value is left out.
    pub fn field(&mut self, name: &str, value: impl Into<Text>) {
        let value = value.into();
        if !value.text.is_empty() {
            self.0.push((name.to_owned(), Text { text: shown(&value.text), tone: value.tone }));
        }
    }

    /// Writes the card.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write(&self, out: &mut dyn Write, screen: Screen) -> io::Result<()> {
        let mut grid = grid(screen);
        for (name, value) in &self.0 {
            grid.add_row([Cell::new(name).add_attribute(Attribute::Dim), cell(value)]);
        }
        for (place, padding) in [(0, GAP_CHARS), (1, 0)] {
            if let Some(column) = grid.column_mut(place) {
                column.set_padding((0, padding));
            }
        }
        if let Some(names) = grid.column_mut(0) {
            names.set_constraint(ColumnConstraint::ContentWidth);
        }
        write_lines(&grid, out)
    }
}

fn grid(screen: Screen) -> Grid {
    let mut grid = Grid::new();
    grid.load_style(comfy_table::presets::NOTHING);
    // Whether it is a terminal was decided by whoever made the screen: tests decide otherwise.
    grid.force_no_tty();
    if screen.colours {
        grid.enforce_styling();
    }
    match screen.width {
        Some(width) => {
            grid.set_content_arrangement(ContentArrangement::Dynamic);
            grid.set_width(width.max(WIDTH_MIN));
        }
        None => {
            grid.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    grid
}

fn cell(text: &Text) -> Cell {
    let cell = Cell::new(&text.text);
    match text.tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::Green),
        Tone::Odd => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red),
        Tone::Faint => cell.add_attribute(Attribute::Dim),
    }
}

/// A sentence below a table.
fn write_note(note: &str, out: &mut dyn Write, screen: Screen) -> io::Result<()> {
    let mut lines = grid(screen);
    lines.add_row([Cell::new(note)]);
    if let Some(column) = lines.column_mut(0) {
        column.set_padding((0, 0));
    }
    write_lines(&lines, out)
}

fn write_lines(grid: &Grid, out: &mut dyn Write) -> io::Result<()> {
    for line in grid.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Screen = Screen { width: None, colours: false };

    fn balances() -> Table {
        let mut table = Table::new([
            Column::new("id"),
            Column::number("balance"),
            Column::new("reseller").rank(1),
            Column::new("note").rank(2),
        ]);
        table.row(["acme".into(), "10.000000".into(), "north".into(), "pays on Fridays".into()]);
        table.row(["b".into(), "-1200.500000".into(), "".into(), "".into()]);
        table
    }

    fn text(table: &Table, screen: Screen) -> String {
        let mut out = Vec::new();
        table.write(&mut out, screen).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn in_a_file_every_row_is_one_line_with_all_columns() {
        assert_eq!(
            text(&balances(), FILE),
            "ID         BALANCE  RESELLER  NOTE\n\
             acme     10.000000  north     pays on Fridays\n\
             b     -1200.500000\n"
        );
    }

    #[test]
    fn a_terminal_without_room_loses_the_least_important_column_first() {
        let narrow = text(&balances(), Screen { width: Some(40), colours: false });
        assert_eq!(narrow.lines().next(), Some("ID         BALANCE  NOTE"));
        let note = "(no room for reseller; a wider terminal,\na pipe or --json has all)\n";
        assert!(narrow.ends_with(note), "{narrow}");
        assert!(narrow.lines().all(|line| line.len() <= 40), "{narrow}");
        let wide = text(&balances(), Screen { width: Some(45), colours: false });
        assert_eq!(wide, text(&balances(), FILE));
        let one_less = text(&balances(), Screen { width: Some(44), colours: false });
        assert_ne!(one_less, wide);
    }

    #[test]
    fn no_line_of_the_table_is_wider_than_the_terminal() {
        let mut table = Table::new([Column::new("id"), Column::text("what")]);
        table.row(["a".into(), "word ".repeat(40).into()]);
        let text = text(&table, Screen { width: Some(60), colours: false });
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
        assert_eq!(text.matches("word").count(), 40);
    }

    #[test]
    fn a_sentence_wraps_before_a_column_goes() {
        let mut table =
            Table::new([Column::new("id"), Column::new("address").rank(1), Column::text("warnings").rank(2)]);
        table.row(["gw1".into(), "192.0.2.10/32".into(), "a long warning about something that is not there".into()]);
        let text = text(&table, Screen { width: Some(50), colours: false });
        assert!(text.contains("192.0.2.10/32") && !text.contains("no room"), "{text}");
    }

    #[test]
    fn one_long_id_takes_lines_of_its_own_and_no_column_from_the_others() {
        let mut table = Table::new([Column::id("account").rank(1), Column::number("balance").rank(2)]);
        table.row(["alice".into(), "10.000000".into()]);
        table.row(["x".repeat(60).into(), "-3.500000".into()]);
        let text_at = |width| text(&table, Screen { width: Some(width), colours: false });
        let narrow = text_at(50);
        assert!(narrow.lines().all(|line| line.len() <= 50) && !narrow.contains("no room"), "{narrow}");
        assert_eq!(narrow.matches('x').count(), 60, "an id is whole: {narrow}");
        assert!(narrow.contains("alice") && narrow.contains("10.000000\n"), "{narrow}");
        assert!(narrow.contains(&"x".repeat(39)), "as wide as there is room: {narrow}");
        assert_eq!(text_at(71), text(&table, FILE));
    }

    #[test]
    fn on_a_terminal_a_column_that_says_nothing_is_not_there() {
        let mut table = Table::new([Column::new("id"), Column::new("reseller").rank(1)]);
        table.row(["acme".into(), "".into()]);
        assert_eq!(text(&table, Screen { width: Some(80), colours: false }), "ID\nacme\n");
        assert_eq!(text(&table, FILE).lines().next(), Some("ID    RESELLER"));
    }

    #[test]
    fn wide_letters_take_their_room() {
        let mut table = Table::new([Column::new("id"), Column::new("name").rank(1)]);
        table.row(["\u{5317}".repeat(20).into(), "n".into()]);
        assert!(text(&table, Screen { width: Some(43), colours: false }).contains("no room for name"));
        assert!(!text(&table, Screen { width: Some(46), colours: false }).contains("no room"));
    }

    #[test]
    fn colours_are_there_when_asked_for_and_only_then() {
        let mut table = Table::new([Column::new("state")]);
        table.row([Text::toned("bad", Tone::Bad)]);
        assert!(text(&table, Screen { width: Some(80), colours: true }).contains("\u{1b}["));
        assert!(!text(&table, Screen { width: Some(80), colours: false }).contains('\u{1b}'));
    }

    #[test]
    fn what_a_terminal_obeys_is_shown_as_text() {
        let mut table = Table::new([Column::new("caller")]);
        table.row(["\u{1b}[2J\nx".into()]);
        assert_eq!(text(&table, FILE), "CALLER\n\\u{1b}[2J\\nx\n");
    }

    #[test]
    fn a_card_has_a_line_for_each_field_that_has_a_value() {
        let mut card = Card::new();
        card.field("id", "acme");
        card.field("balance", "10.000000");
        card.field("name", "");
        let mut out = Vec::new();
        card.write(&mut out, FILE).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "id       acme\nbalance  10.000000\n");
    }
}
