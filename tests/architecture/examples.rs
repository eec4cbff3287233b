//! Each type, trait, function and macro that a crate exports has an example in its doc, or says
//! `For an example see [`X`]`, where `X` has one.
//!
//! Exported is what is `pub` at module level: the lint `unreachable_pub`, which CI denies, sees to it
//! that nothing else is. An example is a code block that rustdoc compiles, and in which there is
//! something to see: neither `text` nor `ignore`, neither empty nor hidden. Methods and modules need
//! none, but may be the `X`: `Type::method`, `module`.

use crate::{code_of, each_file, is_for_tests, is_generated, without_inline_tests, words};
use std::collections::HashMap;
use std::path::Path;

/// What begins the sentence that names another item.
const SEE: &str = "or an example see [`";

/// Something that has a doc.
#[derive(Debug)]
struct Item {
    /// `Type`, `function`, `Type::method` or `module`.
    name: String,
    doc: Doc,
    /// Whether it has to have an example.
    is_exported: bool,
}

#[derive(Debug, PartialEq)]
enum Doc {
    Shows,
    /// Names the item that shows it.
    PointsTo(String),
    Silent,
}

impl Doc {
    /// What a doc says, in which `Self` is `owner`.
    fn read(text: &str, owner: &str) -> Self {
        if shows(text) {
            return Self::Shows;
        }
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let Some((_, target)) = text.split_once(SEE) else { return Self::Silent };
        let path = target.split('`').next().unwrap_or_default();
        let names: Vec<&str> = words(path).collect();
        let mut names = names.into_iter().rev();
        let last = names.next().unwrap_or_default();
        let of = names.next().map(|it| if it == "Self" { owner } else { it });
        let of = of.filter(|it| it.starts_with(char::is_uppercase));
        Self::PointsTo(of.map_or_else(|| last.to_owned(), |it| format!("{it}::{last}")))
    }
}

/// Whether a doc has a code block that is compiled and can be seen.
fn shows(doc: &str) -> bool {
    let mut lines = doc.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let block = lines.by_ref().take_while(|line| !line.starts_with("```"));
        let is_hidden = |line: &str| line.is_empty() || line == "#" || line.starts_with("# ");
        // All of the block is taken, or its end would be the beginning of another.
        let seen = block.filter(|line| !is_hidden(line)).count();
        let compiled = ["", "rust", "no_run", "should_panic", "compile_fail"];
        if seen > 0 && kind.split(',').all(|it| compiled.contains(&it.trim())) {
            return true;
        }
    }
    false
}

/// The items of a file that is the module `module`.
fn items(module: &str, source: &str) -> Vec<Item> {
    let source = without_inline_tests(source);
    let code = code_of(&source);
    let mut found = Vec::new();
    let (mut of_module, mut doc, mut attributes) = (String::new(), String::new(), String::new());
    // What encloses the line: its indentation, and the type of an `impl` or a trait.
    let mut blocks: Vec<(usize, Block)> = Vec::new();
    let mut lines = source.lines().zip(code.lines());
    while let Some((text, line)) = lines.next() {
        let (text, indentation) = (text.trim(), line.len() - line.trim_start().len());
        let mut line = line.trim();
        if line.is_empty() {
            for (mark, into) in [("//!", &mut of_module), ("///", &mut doc)] {
                if let Some(text) = text.strip_prefix(mark) {
                    *into += &format!("{}\n", text.trim());
                }
            }
            continue;
        }
        if line.starts_with("#[") {
            attributes += line;
            while !line.ends_with(']') {
                let Some((_, next)) = lines.next() else { break };
                line = next.trim();
                attributes += line;
            }
            continue;
        }
        if line == "}" {
            while blocks.pop_if(|(of, _)| *of >= indentation).is_some() {}
        }
        let (doc, attributes) = (std::mem::take(&mut doc), std::mem::take(&mut attributes));
        let is_hidden = attributes.contains("doc(hidden)");
        let owner = blocks.iter().rev().find_map(|(_, block)| block.owner());
        if let Some((kind, name)) = declared(line, attributes.contains("macro_export"), owner) {
            let is_method = owner.is_some() && kind == "fn";
            let is_private = blocks.iter().any(|(_, block)| matches!(block, Block::Private));
            if !is_private && !is_hidden {
                let doc = Doc::read(&doc, owner.unwrap_or(&name));
                let name =
                    owner.filter(|_| is_method).map(|of| format!("{of}::{name}")).unwrap_or(name);
                found.push(Item { name, doc, is_exported: !is_method });
            }
        }
        if let Some(block) = Block::begun(line) {
            blocks.push((indentation, block));
        }
    }
    let doc = Doc::read(&of_module, module);
    found.push(Item { name: module.to_owned(), doc, is_exported: false });
    found
}

/// What a line declares to all, or as a function of a trait: its kind and its name.
fn declared(line: &str, is_exported: bool, owner: Option<&str>) -> Option<(&'static str, String)> {
    const KINDS: [&str; 6] = ["struct", "enum", "union", "trait", "type", "fn"];
    if let Some(name) = line.strip_prefix("macro_rules!") {
        return is_exported.then(|| ("macro", words(name).next().unwrap_or_default().to_owned()));
    }
    let public = line.strip_prefix("pub ");
    let line =
        public.or_else(|| line.starts_with("fn ").then_some(line).filter(|_| owner.is_some()));
    let mut names = words(line?).skip_while(|it| matches!(*it, "const" | "async" | "auto"));
    let kind = names.next()?;
    let kind = KINDS.into_iter().find(|it| *it == kind)?;
    Some((kind, names.next()?.to_owned()))
}

/// What encloses others.
#[derive(Debug, PartialEq)]
enum Block {
    /// Of an `impl` or a trait, with the type's name.
    Of(String),
    /// A module that is not exported.
    Private,
}

impl Block {
    fn owner(&self) -> Option<&str> {
        match self {
            Self::Of(name) => Some(name),
            Self::Private => None,
        }
    }

    /// The block that this line begins.
    fn begun(line: &str) -> Option<Self> {
        if line.ends_with('}') || line.ends_with(';') {
            return None;
        }
        let is_module = words(line).any(|it| it == "mod") && line.ends_with('{');
        if is_module && !line.starts_with("pub mod") {
            return Some(Self::Private);
        }
        if let Some(name) = line.strip_prefix("pub trait ") {
            return words(name).next().map(|it| Self::Of(it.to_owned()));
        }
        let rest = line.strip_prefix("impl")?;
        let rest = without_generics(rest.starts_with(['<', ' ']).then_some(rest)?);
        let (_, name) = rest.rsplit_once(" for ").unwrap_or(("", rest));
        let path = name.split(['<', '{']).next()?;
        words(path).last().map(|it| Self::Of(it.to_owned()))
    }
}

/// What follows `<…>`.
fn without_generics(text: &str) -> &str {
    let mut depth = 0;
    let mut previous = ' ';
    for (at, character) in text.char_indices() {
        match character {
            '<' => depth += 1,
            '>' if previous != '-' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return if at == 0 { text } else { &text[at + 1..] };
        }
        previous = character;
    }
    text
}

/// Files that are modules under `cfg(turnstile_bench)`, which no user has.
fn is_for_bench(path: &str) -> bool {
    path.rsplit('/').next() == Some("bench.rs")
}

/// What lacks an example in a crate of these files: their paths below its `src`, and their sources.
fn missing<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> (usize, Vec<String>) {
    let mut all = Vec::new();
    for (path, source) in files {
        if is_for_tests(path) || is_generated(path) || is_for_bench(path) {
            continue;
        }
        let module = path.trim_end_matches(".rs").trim_end_matches("/mod");
        let module = module.rsplit('/').next().unwrap_or_default();
        all.extend(items(module, source).into_iter().map(|item| (path, item)));
    }
    // Of several of one name, each has to show it: which one is meant is not clear.
    let mut shown: HashMap<&str, bool> = HashMap::new();
    for (_, item) in &all {
        *shown.entry(&item.name).or_insert(true) &= item.doc == Doc::Shows;
    }
    let exported = all.iter().filter(|(_, item)| item.is_exported);
    let found = exported.clone().filter_map(|(path, Item { name, doc, .. })| {
        let at = format!("{path}: `{name}`");
        match doc {
            Doc::Shows => None,
            Doc::PointsTo(other) if shown.get(&**other) == Some(&true) => None,
            Doc::PointsTo(other) => Some(format!("{at} points to `{other}`, which has no example")),
            Doc::Silent => {
                Some(format!("{at} has no example; show one, or say \"For an example see [`X`]\""))
            }
        }
    });
    (exported.count(), found.collect())
}

#[test]
fn all_that_is_exported_has_an_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all_missing = Vec::new();
    for (folder, least) in [("src", 60), ("build/src", 5)] {
        let mut files = Vec::new();
        each_file(&root.join(folder), &mut |path, source| {
            let path = path.strip_prefix(root.join(folder)).expect("it is below");
            files.push((path.to_string_lossy().into_owned(), source.to_owned()));
        });
        let (count, found) = missing(files.iter().map(|(path, source)| (&**path, &**source)));
        assert!(count >= least, "{folder}: only {count} items are seen");
        all_missing.extend(found.into_iter().map(|it| format!("{folder}/{it}")));
    }
    assert!(all_missing.is_empty(), "\n{}", all_missing.join("\n"));
}

const SHOWN: &str = "/// Shown.\n///\n/// ```\n/// f();\n/// ```\n";

#[test]
fn what_has_no_example_is_found() {
    let found = |source: &str| {
        let (count, found) = missing([("a.rs", source)]);
        assert!(count > 0, "{source}");
        found
    };
    let silent = [
        "/// A doc.\npub struct A;\n",
        "pub fn a() {}\n",
        "/// A doc.\npub const fn a() {}\n",
        "/// A doc.\n#[derive(\n    Debug,\n)]\npub enum A {}\n",
        "/// A doc.\n#[macro_export]\nmacro_rules! a {\n    () => {};\n}\n",
        "/// A doc.\npub trait A {\n    /// ```\n    /// f();\n    /// ```\n    fn f();\n}\n",
        "macro_rules! a {\n    () => {\n        pub type A = u8;\n    };\n}\n",
        "/// ```text\n/// f();\n/// ```\npub struct A;\n",
        "/// ```ignore\n/// f();\n/// ```\npub struct A;\n",
        "/// ```no_run,ignore\n/// f();\n/// ```\npub struct A;\n",
        "/// ```\n/// # f();\n///\n/// ```\npub struct A;\n",
        "/// ```\n/// ```\n/// Words.\npub struct A;\n",
        "/// See [`B`].\npub struct A;\n",
        "/// ```\n/// f();\n/// ```\nfn private() {}\n/// A doc.\npub struct A;\n",
        "#[cfg(test)]\nmod tests {\n    /// ```\n    /// f();\n    /// ```\n}\npub struct A;\n",
    ];
    for source in silent {
        let found = found(source);
        assert!(found.len() == 1 && found[0].contains("has no example; show"), "{source}{found:?}");
    }
    let lost = [
        "/// For an example see [`B`].\npub struct A;\n".to_owned(),
        "/// For an example see [`B`].\npub struct A;\nstruct B;\n".to_owned(),
        format!("{SHOWN}pub struct C;\n/// For an example see [`C::b`].\npub struct A;\n"),
        // `C` shows it, and there is another one.
        format!(
            "{SHOWN}pub struct C;\n/// For an example see [`C`].\npub struct A;\npub mod b {{\n    \
             /// For an example see [`A`].\n    pub struct C;\n}}\n",
        ),
    ];
    for source in lost {
        let found = found(&source);
        assert!(found.iter().any(|it| it.contains("`A` points to")), "{source}{found:?}");
    }
}

#[test]
fn what_has_an_example_somewhere_is_not_found() {
    let method = "    /// ```no_run\n    /// f();\n    /// ```\n    pub fn b(&self) {}\n";
    let sources = [
        format!("{SHOWN}#[derive(Debug)]\npub struct A;\n"),
        format!("{SHOWN}pub struct B;\n/// Or for an\n/// example see [`B`].\npub struct A;\n"),
        format!(
            "impl<F: Fn() -> u8> crate::C<F> {{\n{method}}}\n/// For an example see [`c::C::b`].\npub struct A;\n"
        ),
        format!(
            "/// For an example see [`Self::b`].\npub trait A {{\n{}}}\n",
            method.replace("pub ", "")
        ),
        "//! ```\n//! f();\n//! ```\n\n/// For an example see [`a`](crate::a).\npub struct A;\n"
            .to_owned(),
        "pub(crate) struct A;\nstruct B;\nfn c() {}\nmacro_rules! d {\n    () => {};\n}\n"
            .to_owned(),
        "mod sealed {\n    pub trait A {}\n}\n".to_owned(),
        "#[doc(hidden)]\npub struct A;\n".to_owned(),
        "impl A {\n    pub fn b() {}\n}\n".to_owned(),
        "const A: &str = \"\npub struct B;\n\";\n".to_owned(),
    ];
    for source in sources {
        let (_, found) = missing([("a.rs", &*source)]);
        assert_eq!(found, Vec::<String>::new(), "{source}");
    }
}
