//! Lines of Rust code, indented as deep as they are.

/// Code that is being written.
#[derive(Debug, Default)]
pub(crate) struct Code {
    text: String,
    depth: u8,
}

impl Code {
    /// Writes lines at the present depth.
    pub(crate) fn line(&mut self, text: &str) {
        for line in text.lines() {
            self.text.extend((0..self.depth).map(|_| "    "));
            self.text += line;
            self.text.push('\n');
        }
    }

    /// Writes what begins a block; the lines after it are deeper.
    pub(crate) fn open(&mut self, text: &str) {
        self.line(text);
        self.depth += 1;
    }

    /// Writes what ends a block.
    pub(crate) fn close(&mut self, text: &str) {
        self.depth = self.depth.saturating_sub(1);
        self.line(text);
    }

    /// Documents what comes next with a comment of the `.proto` file, or else with this.
    pub(crate) fn document(&mut self, comments: &prost_build::Comments, otherwise: &str) {
        if comments.leading.is_empty() && comments.trailing.is_empty() {
            self.line(&format!("/// {otherwise}"));
            return;
        }
        // Comments that belong to nothing are about the file, and not about what follows.
        let attached = prost_build::Comments { leading_detached: Vec::new(), ..comments.clone() };
        attached.append_with_indent(self.depth, &mut self.text);
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}
