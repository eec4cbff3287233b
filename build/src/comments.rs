//! Comments of `.proto` files, made safe as documentation.
//!
//! A comment is Markdown to rustdoc, which takes a code block without a language, or indented code,
//! for a Rust test. Here each block becomes one of the language `text`, at the margin: there it is
//! in no list and no quote, so that nobody has to know how long those last.

use prost_types::FileDescriptorProto;

/// So much deeper than what is around it, a line is code.
const CODE_INDENT: usize = 4;

/// Cleans the comments of a file that become documentation.
pub(crate) fn clean(file: &mut FileDescriptorProto) {
    let locations = file.source_code_info.iter_mut().flat_map(|info| &mut info.location);
    for location in locations {
        let comments = [&mut location.leading_comments, &mut location.trailing_comments];
        for comment in comments.into_iter().flatten() {
            *comment = cleaned(comment);
        }
    }
}

/// A comment with all its code blocks marked as text.
fn cleaned(comment: &str) -> String {
    let lines: Vec<_> = comment.lines().map(Line::new).collect();
    let margin = lines.iter().filter(|line| !line.text.is_empty()).map(|line| line.indent).min();
    let mut cleaner = Cleaner::default();
    for line in lines {
        let indent = line.indent.saturating_sub(margin.unwrap_or_default());
        // One column cannot be written (see `write`), and means nothing.
        let indent = if indent == 1 { 0 } else { indent };
        cleaner.add(Line { indent, text: line.text });
    }
    cleaner.finish()
}

#[derive(Clone, Copy)]
struct Line<'a> {
    /// In columns.
    indent: usize,
    /// Without the indent, and what is blank at the end.
    text: &'a str,
}

/// Code, which is written at the margin between fences.
struct Block {
    /// Of the list item that it was in.
    indent: usize,
    /// How it was marked, if not by being deep.
    fence: Option<Fence>,
}

#[derive(Clone, Copy)]
struct Fence {
    mark: char,
    length: usize,
    is_quoted: bool,
}

/// Reads the lines of one comment.
#[derive(Default)]
struct Cleaner {
    output: String,
    block: Option<Block>,
    /// How deep the text is in each list item that is open.
    items: Vec<usize>,
    is_in_paragraph: bool,
    /// Blank lines that may still belong to indented code.
    blanks: usize,
}

impl<'a> Line<'a> {
    fn new(line: &'a str) -> Self {
        let text = line.trim_start_matches([' ', '\t']);
        let blank = line[..line.len() - text.len()].chars();
        let indent = blank.fold(0, |column, it| match it {
            '\t' => column / 4 * 4 + 4,
            _ => column + 1,
        });
        Self { indent, text: text.trim_end() }
    }

    /// The marks of quotes and list items in front of a line, and the rest of it, with no more than
    /// one space between: else it might be code. Few items may interrupt a paragraph.
    fn containers(self, interrupts: bool) -> (String, &'a str) {
        let mut marks = String::new();
        let mut rest = self.text;
        while let Some(mark) = mark_of(rest) {
            let text = rest[mark.len()..].trim_start_matches([' ', '\t']);
            let is_number = mark.len() > 1 && mark.trim_end_matches(['.', ')']) != "1";
            if interrupts && marks.is_empty() && mark != ">" && (is_number || text.is_empty()) {
                break;
            }
            marks += mark;
            if !text.is_empty() {
                marks.push(' ');
            }
            rest = text;
        }
        (marks, rest)
    }
}

impl Cleaner {
    fn add(&mut self, line: Line<'_>) {
        if line.text.is_empty() {
            self.blanks += 1;
            self.is_in_paragraph = false;
            return;
        }
        if let Some(block) = &self.block {
            if block.fence.is_some_and(|fence| fence.is_closed_by(line.text)) {
                self.write_blanks();
                self.close_block();
                return;
            }
            if let Some(code) = block.code_of(line) {
                self.write_blanks();
                self.write(code.indent, code.text);
                return;
            }
            self.close_block();
        }
        self.write_blanks();
        self.add_outside_of_code(line);
    }

    fn add_outside_of_code(&mut self, line: Line<'_>) {
        let is_less_deep = self.items.last().is_some_and(|item| line.indent < *item);
        let (marks, text) = line.containers(self.is_in_paragraph && !is_less_deep);
        let fence = Fence::open(text, &marks);
        let is_rule = line.text.chars().all(|it| "-=*_ ".contains(it));
        let is_heading = text.starts_with('#');
        // Plain text goes on with a paragraph, whatever that is in.
        let is_lazy =
            self.is_in_paragraph && !(is_rule || is_heading || fence.is_some()) && marks.is_empty();
        if !is_lazy {
            self.items.retain(|item| line.indent >= *item);
        }
        let around = self.items.last().copied().unwrap_or_default();
        if line.indent >= around + CODE_INDENT {
            if self.is_in_paragraph {
                self.write(around, &literal(line.text));
            } else {
                self.open_block(Block { indent: around, fence: None });
                self.write(line.indent - around, line.text);
            }
            return;
        }
        if fence.is_some() {
            self.open_block(Block { indent: line.indent + marks.len(), fence });
            return;
        }
        if is_rule {
            self.write(line.indent, line.text);
            self.is_in_paragraph = false;
            return;
        }
        // What is HTML has rules of its own for where it ends, and for what is code in it.
        let escape = if is_html(text) { "\\" } else { "" };
        self.write(line.indent, &format!("{marks}{escape}{text}"));
        self.is_in_paragraph = !text.is_empty() && !is_heading;
        // Within a quote all is as deep as its mark, so that items there need not be remembered.
        let items = marks.split('>').next().unwrap_or_default();
        let depths = items.match_indices(' ').map(|(at, _)| line.indent + at + 1);
        self.items.extend(depths);
        if !items.is_empty() && text.is_empty() {
            self.items.push(line.indent + items.len() + 1);
        }
    }

    fn write_blanks(&mut self) {
        for _ in 0..std::mem::take(&mut self.blanks) {
            self.output.push('\n');
        }
    }

    /// Writes a line so that it has this indent when prost-build has written it, which puts a space
    /// before all lines but those that begin with one space.
    fn write(&mut self, indent: usize, text: &str) {
        self.output.extend((0..indent.max(1)).map(|_| ' '));
        self.output += text;
        self.output.push('\n');
    }

    fn open_block(&mut self, block: Block) {
        self.write(0, &format!("{}text", block.marks()));
        self.block = Some(block);
        self.items.clear();
        self.is_in_paragraph = false;
    }

    fn close_block(&mut self) {
        if let Some(block) = self.block.take() {
            self.write(0, &block.marks());
        }
    }

    fn finish(mut self) -> String {
        self.close_block();
        self.output
    }
}

impl Block {
    /// A line of the block, without what it was in; nothing if it is no more of the block.
    fn code_of<'a>(&self, line: Line<'a>) -> Option<Line<'a>> {
        let Line { indent, text } = line;
        match self.fence {
            None => {
                let is_code = indent >= self.indent + CODE_INDENT;
                is_code.then(|| Line { indent: indent - self.indent, text })
            }
            Some(Fence { is_quoted: true, .. }) => {
                text.strip_prefix('>').map(Line::new).map(|it| {
                    // The space after the mark.
                    Line { indent: it.indent.saturating_sub(1), text: it.text }
                })
            }
            Some(_) => {
                let is_code = indent >= self.indent;
                is_code.then(|| Line { indent: indent - self.indent, text })
            }
        }
    }

    fn marks(&self) -> String {
        match self.fence {
            Some(Fence { mark, length, .. }) => std::iter::repeat_n(mark, length).collect(),
            None => "```".to_owned(),
        }
    }
}

impl Fence {
    /// The fence that this text is, behind the marks of what it is in.
    fn open(text: &str, marks: &str) -> Option<Self> {
        let mark = text.chars().next().filter(|it| matches!(it, '`' | '~'))?;
        let length = text.chars().take_while(|it| *it == mark).count();
        // Between backticks on one line there is code within the text.
        if length < 3 || (mark == '`' && text[length..].contains('`')) {
            return None;
        }
        Some(Self { mark, length, is_quoted: marks.contains('>') })
    }

    fn is_closed_by(self, text: &str) -> bool {
        let text = if self.is_quoted { text.trim_start_matches(['>', ' ']) } else { text };
        text.chars().count() >= self.length && text.chars().all(|it| it == self.mark)
    }
}

/// The text as a paragraph has it, and not as what begins something else.
fn literal(text: &str) -> String {
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let is_mark = text[digits..].starts_with(|it: char| it.is_ascii_punctuation() && it != '\\');
    let escape = if is_mark { "\\" } else { "" };
    format!("{}{escape}{}", &text[..digits], &text[digits..])
}

/// The mark that begins a quote or a list item: `>`, `-`, `*`, `+`, `1.`, `1)`.
fn mark_of(text: &str) -> Option<&str> {
    if text.starts_with('>') {
        return Some(&text[..1]);
    }
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let marks: &[char] = if digits == 0 { &['-', '*', '+'] } else { &['.', ')'] };
    let rest = text[digits..].strip_prefix(marks)?;
    let is_item = digits < 10 && (rest.is_empty() || rest.starts_with([' ', '\t']));
    is_item.then(|| &text[..=digits])
}

/// Whether this is the beginning of a line of HTML, and not of a link.
fn is_html(text: &str) -> bool {
    text.strip_prefix('<').is_some_and(|rest| {
        rest.starts_with(|it: char| it.is_alphabetic() || "/!?".contains(it))
            && !rest.starts_with("http")
    })
}

#[cfg(test)]
mod tests;
