//! What comments become.

use super::cleaned;

/// Compares what prost-build will write, without the space before each line.
fn check(comment: &str, expected: &str) {
    let written = cleaned(comment);
    let lines = written.lines().map(|line| {
        let is_moved = line.starts_with("  ");
        let line = if is_moved { line } else { line.strip_prefix(' ').unwrap_or(line) };
        format!("{line}\n")
    });
    assert_eq!(lines.collect::<String>(), expected, "of:\n{comment}");
}

#[test]
fn plain_text_stays_as_it_is() {
    check(" One line.\n", "One line.\n");
    check(
        " One.\n\n Two,\n   deeper.\n - a\n - b\n   c\n",
        "One.\n\nTwo,\n  deeper.\n- a\n- b\n  c\n",
    );
    check("No space.\n", "No space.\n");
    check("", "");
    check(" Ü\u{a0}é\n", "Ü\u{a0}é\n");
}

#[test]
fn the_margin_of_a_block_comment_goes() {
    check("\n      One.\n\n      Two.\n", "\nOne.\n\nTwo.\n");
    check("\t\tOne.\n\t\t  Two.\n", "One.\n  Two.\n");
}

#[test]
fn fenced_blocks_become_text() {
    check(" ```\n let x;\n ```\n", "```text\nlet x;\n```\n");
    check(" ```rust,no_run\n let x;\n ```\n And.\n", "```text\nlet x;\n```\nAnd.\n");
    check(" So:\n ~~~~proto\n ```\n ~~~~\n", "So:\n~~~~text\n```\n~~~~\n");
    check(" - ```\n   let x;\n   ```\n", "```text\nlet x;\n```\n");
    check(" > ```\n > let x;\n > ```\n", "```text\nlet x;\n```\n");
}

#[test]
fn a_fence_that_is_left_open_is_closed() {
    check(" ```\n let x;\n", "```text\nlet x;\n```\n");
    // The item ends, and so does the block in it.
    check(" - ```\n   x\n y\n", "```text\nx\n```\ny\n");
    check(" > ```\n >   x\n y\n", "```text\n  x\n```\ny\n");
    // This one ends although the item has ended before.
    check(" - ```\n   x\n ```\n y\n", "```text\nx\n```\ny\n");
}

#[test]
fn html_is_text() {
    check(" <p>\n ```\n x\n ```\n", "\\<p>\n```text\nx\n```\n");
    check(" <http://grpc.io>, a < b.\n", "<http://grpc.io>, a < b.\n");
}

#[test]
fn code_within_a_line_opens_no_block() {
    check(" ```x``` is code.\n\n     y\n", "```x``` is code.\n\n```text\n    y\n```\n");
}

#[test]
fn indented_code_gets_a_fence() {
    check(
        " So:\n\n     let x;\n\n       y\n Then.\n",
        "So:\n\n```text\n    let x;\n\n      y\n```\nThen.\n",
    );
    check(" So:\n\n \t let x;\n", "So:\n\n```text\n    let x;\n```\n");
    check(" # So\n     let x;\n", "# So\n```text\n    let x;\n```\n");
    check(" So\n ---\n     let x;\n", "So\n---\n```text\n    let x;\n```\n");
}

#[test]
fn a_paragraph_goes_on_however_deep() {
    check(" So\n     it goes\n     - on.\n", "So\nit goes\n\\- on.\n");
}

#[test]
fn code_in_a_list_is_deeper_than_its_text() {
    check(" - a\n\n     b\n\n       c\n\n d\n", "- a\n\n    b\n\n```text\n    c\n```\n\nd\n");
    check(" 1. a\n 2. b\n\n        c\n", "1. a\n2. b\n\n```text\n    c\n```\n");
    check(" -      a\n", "- a\n");
    check(" >      a\n", "> a\n");
}

#[test]
fn what_only_looks_like_a_list_makes_nothing_deeper() {
    for text in ["* * *", "Since\n 1986. a", "> - a", "- - -", "*a*"] {
        let expected = format!("{}\n\n```text\n    x\n```\n", text.replace("\n ", "\n"));
        check(&format!(" {text}\n\n     x\n"), &expected);
    }
}
