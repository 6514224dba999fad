//! Results as a table or as JSON.

/// Rows of equal length under a header.
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these columns.
    pub fn new(header: impl IntoIterator<Item = impl Into<String>>) -> Table {
        Table { header: header.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints it, the first column to the left and numbers to the right.
    pub fn print(&self) {
        let lines = || std::iter::once(&self.header).chain(&self.rows);
        let width = |column: usize| {
            lines().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max()
        };
        for line in lines() {
            for (column, cell) in line.iter().enumerate() {
                let width = width(column).unwrap_or_default();
                match column {
                    0 => print!("{cell:<width$}"),
                    _ => print!("  {cell:>width$}"),
                }
            }
            println!();
        }
    }
}

/// Milliseconds with three digits.
pub fn ms(value: f64) -> String {
    format!("{value:.3}")
}

/// Bytes as MiB.
pub fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
