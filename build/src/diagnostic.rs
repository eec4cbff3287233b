//! Errors of `.proto` files: where they are, and the line itself.

use std::fmt::{Display, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use prost_types::FileDescriptorProto;
use protox::Compiler;

use crate::{Error, resolver};

/// What there is instead of editions.
pub(crate) const EDITIONS: &str =
    "editions are not supported; write syntax = \"proto3\" (or \"proto2\") instead";

/// Where the files of a compilation are.
#[derive(Debug)]
pub(crate) struct Sources {
    includes: Vec<PathBuf>,
}

/// A stretch of a file, in bytes.
struct Span {
    start: usize,
    length: usize,
}

impl Sources {
    /// Looks for files in these folders.
    pub(crate) fn new(includes: Vec<PathBuf>) -> Self {
        Self { includes }
    }

    pub(crate) fn includes(&self) -> &[PathBuf] {
        &self.includes
    }

    /// An error about the thing in a file to which `path` leads through the descriptor.
    pub(crate) fn error_at(&self, file: &FileDescriptorProto, path: &[i32], what: &str) -> Error {
        /// The number of the name in the descriptors of all that has one.
        const NAME: i32 = 1;
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        let location = locations.into_iter().find(|it| it.path.split_last() == Some((&NAME, path)));
        let (path, source) = self.read(file.name());
        let span = location.zip(source.as_ref()).and_then(|(location, source)| {
            let span = location.span.iter().map(|it| usize::try_from(*it).unwrap_or_default());
            // Line, column, and the column after it.
            let [line, start, end] = span.collect::<Vec<_>>()[..] else {
                return None;
            };
            let before: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
            Some(Span { start: before + start, length: end.saturating_sub(start) })
        });
        Error::new(match span {
            Some(span) => excerpt(&path, &source.unwrap_or_default(), &span, &what, None),
            None => format!("{path}: {what}"),
        })
    }

    /// What protox says, with the places that it has labelled.
    pub(crate) fn error_of(&self, error: protox::Error, compiler: &Compiler) -> Error {
        let mut text = match error.file() {
            Some(name) => {
                let (path, source) = self.read(name);
                let source = source.as_deref().unwrap_or_default();
                let mut text = of_diagnostic(&path, source, &error);
                for related in error.related().into_iter().flatten() {
                    text += "\n";
                    text += &of_diagnostic(&path, source, related);
                }
                text
            }
            None => error.to_string(),
        };
        if error.is_io() {
            let cause = std::error::Error::source(&error);
            text += &cause.map(|cause| format!(": {cause}")).unwrap_or_default();
        }
        if error.is_file_not_found() {
            text += &format!("\n{}", self.searched());
        }
        if let Some((first, second)) = error.file().and_then(|name| self.alias(name, compiler)) {
            text += &format!(
                "\nthe same file is known as {second:?} and as {first:?}: name the folder that \
                 imports start from with `Config::includes`"
            );
        }
        Error::new(text).with_source(error)
    }

    /// The folders that were searched, and what to do.
    pub(crate) fn searched(&self) -> String {
        let folders = self.includes.iter().map(|folder| {
            let is_there = if folder.is_dir() { "" } else { " (no such folder)" };
            format!("`{}`{is_there}", folder.display())
        });
        let folders: Vec<_> = folders.collect();
        format!("looked in {}; `Config::includes` names other folders", folders.join(", "))
    }

    /// A name that has been given already to the file that is also called `name`.
    fn alias<'a>(&self, name: &'a str, compiler: &'a Compiler) -> Option<(&'a str, &'a str)> {
        let path = fs::canonicalize(self.find(name)?).ok()?;
        let mut others = compiler.files().filter(|file| file.name() != name);
        let other = others.find(|file| {
            let other = self.find(file.name()).and_then(|path| fs::canonicalize(path).ok());
            other.is_some_and(|other| other == path)
        })?;
        Some((name, other.name()))
    }

    /// The path of a file by its name in imports.
    pub(crate) fn find(&self, name: &str) -> Option<PathBuf> {
        self.includes.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
    }

    /// The path to show, and the text if there is one.
    fn read(&self, name: &str) -> (String, Option<String>) {
        match self.find(name) {
            Some(path) => {
                let source = fs::read_to_string(&path).ok();
                let source = source.map(|text| resolver::without_mark(&text).to_owned());
                let path = path.strip_prefix(".").unwrap_or(&path);
                (path.display().to_string(), source)
            }
            None => (name.to_owned(), None),
        }
    }
}

fn of_diagnostic(path: &str, source: &str, diagnostic: &dyn Diagnostic) -> String {
    let labels: Vec<_> = diagnostic.labels().into_iter().flatten().collect();
    // An error of two places names that last which is at fault, since the other was there before.
    let mut text = match labels.split_last() {
        Some((label, _)) if is_edition(source, &span(label)) => {
            excerpt(path, source, &span(label), &EDITIONS, None)
        }
        Some((label, others)) => {
            let mut text = excerpt(path, source, &span(label), diagnostic, label.label());
            for other in others {
                let what = other.label().unwrap_or("see here");
                text += "\n";
                text += &excerpt(path, source, &span(other), &what, None);
            }
            text
        }
        None => format!("{path}: {diagnostic}"),
    };
    if let Some(help) = diagnostic.help() {
        text += &format!("\nhelp: {help}");
    }
    text
}

/// Whether what is wrong is `edition = "2023";`, of which protox says that it knows no such word.
fn is_edition(source: &str, span: &Span) -> bool {
    let rest = source.get(span.start..).and_then(|it| it.strip_prefix("edition"));
    let value = rest.and_then(|it| it.trim_start().strip_prefix('='));
    value.is_some_and(|it| it.trim_start().starts_with(['"', '\'']))
}

fn span(label: &miette::LabeledSpan) -> Span {
    Span { start: label.offset(), length: label.len() }
}

/// `path:line:column: what`, the line, and carets below what is meant.
fn excerpt(
    path: &str,
    source: &str,
    span: &Span,
    what: &dyn Display,
    label: Option<&str>,
) -> String {
    let Some((before, rest)) = source.split_at_checked(span.start) else {
        return format!("{path}: {what}");
    };
    let number = before.matches('\n').count() + 1;
    let before = before.rsplit('\n').next().unwrap_or_default();
    let column = before.chars().count() + 1;
    let rest = rest.lines().next().unwrap_or_default();
    let marked = rest.get(..span.length).unwrap_or(rest).chars().count().max(1);
    let margin = " ".repeat(number.to_string().len());
    // Tabs stay, so that the carets are below.
    let indent: String = before.chars().map(|it| if it == '\t' { it } else { ' ' }).collect();
    let carets = "^".repeat(marked);
    let label = label.map(|label| format!(" {label}")).unwrap_or_default();
    let mut text = format!("{path}:{number}:{column}: {what}\n");
    let _ =
        write!(text, "{margin} |\n{number} | {before}{rest}\n{margin} | {indent}{carets}{label}");
    text
}

/// The folder of a path, as an include folder.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
