use super::*;
use crate::desired::findings::Findings;
use crate::model::Problem;

fn parse(text: &str) -> (Option<Node>, Vec<Problem>) {
    let mut findings = Findings::new("x.yaml", text);
    let node = read(text, &mut findings);
    (node, findings.finish(Some(())).problems)
}

fn tree(text: &str) -> Node {
    let (node, problems) = parse(text);
    assert_eq!(problems, [], "{text}");
    node.unwrap()
}

fn only_problem(text: &str) -> Problem {
    let (_, problems) = parse(text);
    assert_eq!(problems.len(), 1, "{text}: {problems:#?}");
    problems.into_iter().next().unwrap()
}

fn span(line: u32, column: u32, length: u32) -> Span {
    Span { line, column, length }
}

#[test]
fn scalars_keep_the_text_that_stands_in_the_file() {
    let node = tree("a: 3.10\nb: 1.0\nc: 010\nd: \"3.10\"\ne: yes\nf: |\n  x\n  y\ng: >-\n  x\n  y\n");
    let expected =
        [("a", "3.10"), ("b", "1.0"), ("c", "010"), ("d", "3.10"), ("e", "yes"), ("f", "x\ny\n"), ("g", "x y")];
    for (key, text) in expected {
        assert_eq!(node.get(key).unwrap().text(), Some(text), "{key}");
    }
    assert_eq!(node.get("a").unwrap().describe(), "a number");
    assert_eq!(node.get("d").unwrap().describe(), "a text");
}

#[test]
fn places_count_from_one_in_characters() {
    let node = tree("# note\nä: \"ö\"\nlist:\n- a\n-   - b\nmap: {x: 1, ü: 22}\n");
    assert_eq!(node.span, span(2, 1, 1));
    assert_eq!(node.get("ä").unwrap().span, span(2, 4, 3));
    assert_eq!(node.get("list").unwrap().span, span(4, 1, 1));
    let Value::Sequence(items) = &node.get("list").unwrap().value else { panic!() };
    assert_eq!(items[0].span, span(4, 3, 1));
    assert_eq!(node.get("map").unwrap().get("ü").unwrap().span, span(6, 16, 2));
}

#[test]
fn a_mapping_is_shown_by_its_first_key_and_a_missing_value_by_its_key() {
    let node = tree("run:\n  command:\n  port: 1\n");
    assert_eq!(node.get("run").unwrap().span, span(2, 3, 7));
    let command = node.get("run").unwrap().get("command").unwrap();
    assert!(command.is_null());
    assert_eq!(command.span, span(2, 3, 7));
}

#[test]
fn line_ends_and_a_byte_order_mark_change_no_place() {
    let unix = tree("a: 1\nb:\n  c: 2\n");
    assert_eq!(tree("a: 1\r\nb:\r\n  c: 2\r\n"), unix);
    assert_eq!(tree("\u{feff}a: 1\nb:\n  c: 2\n"), unix);
    assert_eq!(tree("---\na: 1\n...\n").get("a").unwrap().text(), Some("1"));
}

#[test]
fn aliases_and_merge_keys_are_resolved() {
    let node = tree("base: &b {x: 1, y: 2}\none: *b\ntwo:\n  <<: *b\n  y: 3\nthree:\n  <<: [*b, {z: 4}]\n");
    assert_eq!(node.get("one").unwrap().get("x").unwrap().text(), Some("1"));
    assert_eq!(node.get("two").unwrap().get("x").unwrap().text(), Some("1"));
    assert_eq!(node.get("two").unwrap().get("y").unwrap().text(), Some("3"));
    assert_eq!(node.get("three").unwrap().get("z").unwrap().text(), Some("4"));
    // In quotes it is a name.
    assert_eq!(tree("\"<<\": 1\n").get("<<").unwrap().text(), Some("1"));
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        text += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    let problem = only_problem(&text);
    assert_eq!(problem.class, "limit");
    assert!(problem.message.contains("aliases"), "{}", problem.message);
    assert_eq!(only_problem("a: &a [1, *a]").class, "alias");
    assert_eq!(only_problem("a: *nothing").class, "syntax");
}

#[test]
fn sizes_are_bounded() {
    assert_eq!(only_problem(&"[".repeat(65)).class, "limit");
    assert_eq!(only_problem(&format!("{}1{}", "[".repeat(70), "]".repeat(70))).class, "limit");
    tree(&format!("{}1{}", "[".repeat(60), "]".repeat(60)));
    assert_eq!(only_problem(&"x".repeat(MAX_BYTES + 1)).class, "limit");
    assert_eq!(only_problem(&"- a\n".repeat(MAX_NODES + 1)).class, "limit");
    let keys: String = (0..20_000).map(|n| format!("k{n}: v\n")).collect();
    tree(&keys);
}

#[test]
fn a_duplicate_key_names_both_places() {
    let (node, problems) = parse("a: 1\nb: 2\n  \na: 3\n");
    assert_eq!(problems.len(), 1);
    assert_eq!((problems[0].class.as_str(), problems[0].place.line, problems[0].place.column), ("duplicate-key", 4, 1));
    assert!(problems[0].hint.as_ref().unwrap().contains("line 1, column 1"));
    assert_eq!(node.unwrap().get("a").unwrap().text(), Some("1"));
}

#[test]
fn what_is_empty_is_said_to_be() {
    for text in ["", "\n\n", "# only a comment\n", "---\n", "---\n...\n", "~\n", "\u{feff}"] {
        assert_eq!(only_problem(text).class, "empty", "{text:?}");
    }
}

#[test]
fn further_documents_tags_and_keys_that_are_no_texts_are_refused() {
    assert_eq!(only_problem("a: 1\n---\nb: 2\n").class, "documents");
    assert_eq!(only_problem("a: !Ref x\n").class, "tag");
    assert_eq!(only_problem("[a]: 1\n").class, "type");
    tree("a: !!str 3.10\n");
}

#[test]
fn syntax_errors_say_what_to_do_where_it_is() {
    for (text, line, column, words) in [
        ("a:\n\tb: 1\n", 2, 1, "tab"),
        ("a: b: c\n", 1, 5, "`: `"),
        ("a: \"open\nb: 1\n", 1, 4, "never closed"),
        ("a: [1, 2\nb: 3\n", 2, 2, "`:`"),
        ("a: [1, 2\n", 1, 9, "`]`"),
        ("a:\n  - x\n y: 1\n", 3, 2, "line"),
        ("a: @x\n", 1, 4, "character"),
        ("a: 1\n b: 2\n", 2, 3, "`: `"),
        ("a: \"x\" y\n", 1, 8, "closing quote"),
    ] {
        let problem = only_problem(text);
        assert_eq!(problem.class, "syntax");
        assert!(problem.message.contains(words), "{text:?}: {}", problem.message);
        assert_eq!((problem.place.line, problem.place.column), (line, column), "{text:?}: {}", problem.message);
        assert!(problem.hint.is_some());
    }
}
