//! Tables for the terminal and for Markdown.

/// How a table is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Text,
    Markdown,
}

/// Rows under a heading, the first column to the left and the others to the right.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    title: String,
    rows: Vec<Vec<String>>,
    left: Vec<usize>,
}

impl Table {
    /// A table with these columns and no rows yet.
    pub(crate) fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        let heading = columns.iter().map(|&column| column.to_owned()).collect();
        Self { title: title.into(), rows: vec![heading], left: vec![0] }
    }

    /// Adds a row; cells that are left out stay empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().collect();
        row.resize(self.rows[0].len(), String::new());
        self.rows.push(row);
    }

    /// Moves one more column to the left.
    pub(crate) fn left(&mut self, column: usize) {
        self.left.push(column);
    }

    /// The table as text, with an empty line behind it.
    pub(crate) fn render(&self, style: Style) -> String {
        let widths = self.widths();
        let mut text = match style {
            Style::Text => format!("{}\n", self.title),
            Style::Markdown => format!("**{}**\n\n", self.title),
        };
        for (number, row) in self.rows.iter().enumerate() {
            text.push_str(&self.line(row, &widths, style));
            if number == 0 {
                text.push_str(&self.rule(&widths, style));
            }
        }
        text.push('\n');
        text
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max();
        (0..self.rows[0].len()).map(|column| width(column).unwrap_or_default()).collect()
    }

    fn line(&self, row: &[String], widths: &[usize], style: Style) -> String {
        let cell = |(column, (cell, &width)): (usize, (&String, &usize))| {
            if self.left.contains(&column) {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        };
        let cells: Vec<String> = row.iter().zip(widths).enumerate().map(cell).collect();
        match style {
            Style::Text => format!("{}\n", cells.join("  ").trim_end()),
            Style::Markdown => format!("| {} |\n", cells.join(" | ")),
        }
    }

    fn rule(&self, widths: &[usize], style: Style) -> String {
        let cell = |(column, &width): (usize, &usize)| {
            let end = if self.left.contains(&column) { "-" } else { ":" };
            format!("{}{end}", "-".repeat(width.saturating_sub(1).max(2)))
        };
        match style {
            Style::Text => {
                let width = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
                format!("{}\n", "-".repeat(width))
            }
            Style::Markdown => {
                let cells: Vec<String> = widths.iter().enumerate().map(cell).collect();
                format!("| {} |\n", cells.join(" | "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Style, Table};

    fn table() -> Table {
        let mut table = Table::new("Fruit", &["kind", "pieces"]);
        table.row(["apple", "12"].map(str::to_owned));
        table.row(["fig".to_owned()]);
        table
    }

    #[test]
    fn prints_text() {
        let expected = "Fruit\nkind   pieces\n-------------\napple      12\nfig\n\n";
        assert_eq!(table().render(Style::Text), expected);
    }

    #[test]
    fn prints_markdown() {
        let expected = "**Fruit**\n\n| kind  | pieces |\n| ----- | -----: |\n\
                        | apple |     12 |\n| fig   |        |\n\n";
        assert_eq!(table().render(Style::Markdown), expected);
    }
}
