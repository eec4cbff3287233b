//! The rules of the source's layers, and of its docs, checked on its text.

mod architecture {
    mod conformance;
    pub(crate) mod examples;
}

use std::fs;
use std::path::Path;

/// Shared vocabulary, which every layer may use and which uses no layer.
const SHARED: &[&str] =
    &["sync", "forked", "panics", "random", "status", "metadata", "compression", "codec", "error"];

/// Each layer, and the layers that it may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("iomgr", &[]),
    ("stats", &["iomgr"]),
    ("monitor", &["iomgr"]),
    ("cq", &["iomgr"]),
    ("transport", &["iomgr", "monitor"]),
    ("call", &["iomgr", "stats", "cq", "transport"]),
    ("service", &["iomgr", "cq", "call"]),
    ("client", &["iomgr", "cq", "transport", "call", "service"]),
    ("generated", &[]),
    ("error_details", &["generated"]),
    ("reflection", &["service", "generated"]),
    ("health", &["service", "generated"]),
    ("channelz", &["iomgr", "monitor", "service", "generated"]),
    ("server", &["iomgr", "stats", "monitor", "cq", "transport", "call", "service", "client"]),
];

const MAX_CODE_LINES: usize = 500;

/// What breaks the rules in a file of `src`, of which this is the path below it.
fn violations(path: &str, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let code = code_of(source);
    let lines = code.lines().filter(|line| !line.trim().is_empty()).count();
    if lines > MAX_CODE_LINES && !is_generated(path) {
        found.push(format!("{lines} lines of code, over {MAX_CODE_LINES}"));
    }
    let has_word = |code: &str, word: &str| words(code).any(|it| it == word);
    let is_system = path.starts_with("iomgr/") && path.contains("/sys/");
    for word in ["unsafe", "libc"] {
        if !is_system && has_word(&code, word) {
            found.push(format!("`{word}` outside of iomgr/**/sys"));
        }
    }
    if path != "transport/h2/io.rs" && has_word(&code, "tokio") {
        found.push("`tokio` outside of transport/h2/io.rs".to_owned());
    }
    if is_for_tests(path) || is_generated(path) {
        return found;
    }
    if !source.starts_with("//!") {
        found.push("no `//!` doc at the beginning".to_owned());
    }
    found.extend(silent_locks(&without_inline_tests(source)));
    let code = without_inline_tests(&code);
    if ["thread::spawn", "thread::Builder"].iter().any(|it| code.contains(it)) {
        found.push("a thread is made".to_owned());
    }
    let own = path.split(['/', '.']).next().unwrap_or_default();
    let layer = LAYERS.iter().find(|(name, _)| *name == own);
    let may_use = match layer {
        Some((_, may_use)) => *may_use,
        None if SHARED.contains(&own) => &[],
        None => return found,
    };
    for used in uses(path, &code) {
        let is_allowed = used == own || SHARED.contains(&&*used) || may_use.contains(&&*used);
        if !is_allowed {
            found.push(format!("{own} uses `crate::{used}`"));
        }
    }
    found
}

/// The fields that are locks, and have no doc that says when they are locked.
fn silent_locks(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut doc = String::new();
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc += &text.to_lowercase();
        } else if !line.starts_with("#[") {
            let doc = std::mem::take(&mut doc);
            let Some((name, kind)) = line.strip_suffix(',').and_then(|it| it.split_once(": "))
            else {
                continue;
            };
            let is_lock = kind.contains("Mutex<") && !kind.starts_with('&');
            if is_lock && words(name).count() > 0 && !doc.contains("lock") {
                found.push(format!("the lock `{name}` does not say when it is locked"));
            }
        }
    }
    found
}

/// Code that `turnstile-build` writes as for any user, by the crate's public names.
fn is_generated(path: &str) -> bool {
    path.starts_with("generated/") && path != "generated/mod.rs"
}

/// Files that are modules under `cfg(test)`.
fn is_for_tests(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_in = |folder| path.contains(folder);
    matches!(name, "tests.rs" | "loom_models.rs" | "testing.rs")
        || is_in("/tests/")
        || is_in("/loom_models/")
}

/// What follows `crate::`, or as many `super::` as lead there; each name of a group in braces.
fn uses(path: &str, code: &str) -> Vec<String> {
    let file = path.trim_end_matches(".rs").trim_end_matches("/mod");
    let to_root = "super::".repeat(file.split('/').count());
    let mut found = Vec::new();
    for root in ["crate::", &to_root] {
        for (at, _) in code.match_indices(root) {
            let is_word = code[..at].ends_with(|it: char| it.is_alphanumeric() || it == '_');
            if is_word || (root == to_root && code[at + root.len()..].starts_with("super::")) {
                continue;
            }
            let mut names = first_names(&code[at + root.len()..]);
            if root == to_root {
                // In a module inside the file, the same path leads to the file itself.
                names.retain(|name| LAYERS.iter().any(|(layer, _)| layer == name));
            }
            found.extend(names);
        }
    }
    found
}

/// `a` of `a::b`, and `a` and `c` of `{a::b, c}`.
fn first_names(path: &str) -> Vec<String> {
    let Some(group) = path.strip_prefix('{') else {
        return words(path).next().map(str::to_owned).into_iter().collect();
    };
    let mut depth = 0;
    let mut parts = vec![String::new()];
    for character in group.chars() {
        match character {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => parts.push(String::new()),
            _ => {}
        }
        parts.last_mut().expect("never empty").push(character);
    }
    parts.iter().filter_map(|part| words(part).next().map(str::to_owned)).collect()
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|it: char| !(it.is_alphanumeric() || it == '_')).filter(|it| !it.is_empty())
}

/// The code without modules under `cfg(test)`: rustfmt ends each with a `}` in the first column.
fn without_inline_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let is_for_tests = line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test");
        if is_for_tests {
            let next = lines.next().unwrap_or_default();
            if next.ends_with('{') {
                lines.by_ref().find(|line| *line == "}");
            }
        } else {
            kept += line;
            kept.push('\n');
        }
    }
    kept
}

/// The source without comments, and with strings empty.
fn code_of(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let raw = raw_string(rest).filter(|_| !ends_in_word(&code));
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if let Some(length) = raw {
            length
        } else if first == '"' {
            string(rest)
        } else if let Some(length) = character(rest) {
            length
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        // Lines are counted, those of a string too.
        code.extend(rest[..skipped].chars().filter(|it| *it == '\n'));
        rest = &rest[skipped..];
    }
    code
}

fn ends_in_word(code: &str) -> bool {
    code.ends_with(|it: char| it.is_alphanumeric() || it == '_')
}

fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.strip_prefix('r')?.chars().take_while(|it| *it == '#').count();
    let start = 2 + hashes;
    text[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()))
}

fn string(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character in quotes, and not a lifetime.
fn character(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('\'')?;
    if inner.starts_with('\\') {
        return inner[2..].find('\'').map(|at| at + 4);
    }
    let first = inner.chars().next()?;
    inner[first.len_utf8()..].starts_with('\'').then_some(first.len_utf8() + 2)
}

fn each_file(folder: &Path, look: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() {
            each_file(&path, look);
        } else if path.extension().is_some_and(|it| it == "rs") {
            look(&path, &fs::read_to_string(&path).expect("sources are text"));
        }
    }
}

#[test]
fn every_source_file_obeys_the_rules_of_its_layer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut files = 0;
    each_file(&root, &mut |path, source| {
        files += 1;
        let path = path.strip_prefix(&root).expect("it is below").to_string_lossy();
        let violations = violations(&path, source);
        found.extend(violations.into_iter().map(|it| format!("src/{path}: {it}")));
    });
    assert!(files > 30, "only {files} files");
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_rule_finds_what_breaks_it() {
    let long = format!("//! A doc.\n{}", "fn f() {}\n".repeat(MAX_CODE_LINES + 1));
    let cases = [
        ("iomgr/a.rs", "//! A doc.\nuse crate::cq::Core;\n", "iomgr uses `crate::cq`"),
        (
            "cq/a.rs",
            "//! A doc.\nuse crate::{\n    sync::Mutex,\n    call::{Call},\n};\n",
            "`crate::call`",
        ),
        ("cq/mod.rs", "//! A doc.\nuse super::transport::Stream;\n", "`crate::transport`"),
        (
            "transport/h2/a.rs",
            "//! A doc.\nuse super::super::super::server::X;\n",
            "`crate::server`",
        ),
        (
            "call/a.rs",
            "//! A doc.\nfn f(it: &crate::server::Server) {}\n",
            "call uses `crate::server`",
        ),
        ("call/a.rs", "//! A doc.\nuse crate::Server;\n", "call uses `crate::Server`"),
        ("status.rs", "//! A doc.\nuse crate::call::Call;\n", "status uses `crate::call`"),
        ("iomgr/a.rs", "//! A doc.\nfn f() { unsafe { g() } }\n", "`unsafe`"),
        ("cq/a.rs", "//! A doc.\nuse libc::c_int;\n", "`libc`"),
        ("transport/h2/a.rs", "//! A doc.\nuse tokio::io::AsyncRead;\n", "`tokio`"),
        ("cq/a.rs", "//! A doc.\nfn f() { std::thread::spawn(g); }\n", "a thread"),
        ("cq/a.rs", "use crate::iomgr::Fd;\n", "no `//!` doc"),
        (
            "cq/a.rs",
            "//! A doc.\nstruct A {\n    /// A field.\n    state: Mutex<State>,\n}\n",
            "the lock `state`",
        ),
        (
            "cq/a.rs",
            "//! A doc.\nstruct A {\n    /// A lock.\n    a: u8,\n    pub b: Box<[Mutex<u8>]>,\n}\n",
            "the lock `pub b`",
        ),
        ("cq/a.rs", &long, "501 lines"),
    ];
    for (path, source, expected) in cases {
        let found = violations(path, source);
        assert!(found.len() == 1 && found[0].contains(expected), "{path}: {source}: {found:?}");
    }
}

#[test]
fn what_is_allowed_or_only_mentioned_is_no_violation() {
    let cases = [
        ("server/a.rs", "//! A doc.\nuse crate::{call, cq, iomgr, transport, sync, status};\n"),
        ("iomgr/posix/sys/a.rs", "//! A doc.\nfn f() { unsafe { libc::close(0) }; }\n"),
        ("transport/h2/io.rs", "//! A doc.\nuse tokio::io::AsyncRead;\n"),
        ("cq/a.rs", "//! See [`Call`](crate::call::Call), unsafe /* here */.\n/* libc */\n"),
        ("cq/a.rs", "//! A doc.\nconst A: &str = \"unsafe \\\" tokio\";\nconst B: char = '\"';\n"),
        (
            "cq/a.rs",
            "//! A doc.\nfn f<'a>() {}\n#[cfg(test)]\nmod tests {\n    use crate::call;\n    use std::thread::spawn;\n}\n",
        ),
        (
            "cq/a.rs",
            "//! A doc.\nstruct A {\n    /// A leaf lock.\n    #[cfg(x)]\n    state: Mutex<State>,\n}\nfn f(\n    it: &Mutex<u8>,\n) {}\n",
        ),
        ("cq/tests.rs", "use std::thread;\nfn f() { thread::spawn(g); }\n"),
    ];
    for (path, source) in cases {
        assert_eq!(violations(path, source), Vec::<String>::new(), "{path}: {source}");
    }
}
