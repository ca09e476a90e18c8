//! Tables and cards: rows for a person, that fit the terminal and stay whole in a file.
//!
//! On a terminal a table is at most as wide as it: the least important columns are left out first,
//! and named below; what still does not fit is wrapped. Elsewhere every row is one line with all
//! columns, so that `grep` and `awk` have what they need.

use std::io::{self, Write};

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table as Grid};

use super::client::shown;

/// Columns are never cut below this many characters before one is left out.
const GAP: usize = 2;
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

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    name: &'static str,
    is_number: bool,
    importance: u8,
}

impl Column {
    /// A column that is always shown.
    pub const fn new(name: &'static str) -> Column {
        Column { name, is_number: false, importance: u8::MAX }
    }

    /// A column of money or numbers: its points stand below each other.
    pub const fn number(name: &'static str) -> Column {
        Column { name, is_number: true, importance: u8::MAX }
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
        let widths = self.natural_widths();
        let left_out = match screen.width {
            Some(width) => self.without_room(&widths, usize::from(width.max(WIDTH_MIN))),
            None => Vec::new(),
        };
        let kept: Vec<usize> = (0..self.columns.len()).filter(|column| !left_out.contains(column)).collect();
        let mut grid = grid(screen);
        let bold = |name: &str| Cell::new(name.to_uppercase()).add_attribute(Attribute::Bold);
        grid.set_header(kept.iter().filter_map(|column| self.columns.get(*column)).map(|column| bold(column.name)));
        for row in &self.rows {
            grid.add_row(kept.iter().filter_map(|column| row.get(*column)).map(cell));
        }
        for (place, column) in kept.iter().enumerate() {
            if self.columns.get(*column).is_some_and(|column| column.is_number)
                && let Some(column) = grid.column_mut(place)
            {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        write_lines(&grid, out)?;
        if !left_out.is_empty() {
            let names: Vec<&str> =
                left_out.iter().filter_map(|column| self.columns.get(*column)).map(|column| column.name).collect();
            writeln!(
                out,
                "({} left out for want of room; a wider terminal, a pipe or --json has all)",
                names.join(", ")
            )?;
        }
        Ok(())
    }

    fn natural_widths(&self) -> Vec<usize> {
        let widest = |index: usize, column: &Column| {
            let cells = self.rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.text.chars().count());
            cells.chain([column.name.chars().count()]).max().unwrap_or(0)
        };
        self.columns.iter().enumerate().map(|(index, column)| widest(index, column)).collect()
    }

    /// The columns to leave out, the least important first, the rightmost of equals first.
    fn without_room(&self, widths: &[usize], room: usize) -> Vec<usize> {
        let mut by_importance: Vec<(u8, usize)> = self
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.importance < u8::MAX)
            .map(|(index, column)| (column.importance, index))
            .collect();
        by_importance.sort_by_key(|(importance, index)| (*importance, usize::MAX - index));
        let mut taken: usize = widths.iter().map(|width| width + GAP).sum::<usize>().saturating_sub(GAP);
        let mut left_out = Vec::new();
        for (_, index) in by_importance {
            if taken <= room {
                break;
            }
            taken = taken.saturating_sub(widths.get(index).copied().unwrap_or(0) + GAP);
            left_out.push(index);
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
            // Each column brings its gap along, the last one too.
            grid.set_width(width.max(WIDTH_MIN).saturating_add(2));
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

fn write_lines(grid: &Grid, out: &mut dyn Write) -> io::Result<()> {
    for line in grid.lines() {
        let line = line.strip_prefix(' ').unwrap_or(&line);
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
        assert!(narrow.ends_with("(reseller left out for want of room; a wider terminal, a pipe or --json has all)\n"));
        let wide = text(&balances(), Screen { width: Some(47), colours: false });
        assert_eq!(wide, text(&balances(), FILE));
    }

    #[test]
    fn no_line_of_the_table_is_wider_than_the_terminal() {
        let mut table = Table::new([Column::new("id"), Column::new("what")]);
        table.row(["a".into(), "word ".repeat(40).into()]);
        let text = text(&table, Screen { width: Some(60), colours: false });
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
        assert_eq!(text.matches("word").count(), 40);
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
