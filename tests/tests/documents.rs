//! The generated tables of the documents are up to date with the fixtures.

use partyrun_tests::{coverage, documents, fixture};
use std::path::Path;
use std::rc::Rc;

#[test]
fn tables_are_what_the_fixtures_say() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = tests.parent().unwrap();
    let (fixtures, mistakes) = fixture::read_all(&root.join("fixtures")).unwrap();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    let fixtures: Vec<_> = fixtures.into_iter().map(Rc::new).collect();
    let rows = coverage::read_rows(&tests.join("coverage")).unwrap();
    let stale = documents::stale(root, &rows, &fixtures).unwrap();
    assert!(stale.is_empty(), "run target/release/conformance --write-tables:\n{}", stale.join("\n"));
}

#[test]
fn every_row_has_a_case_or_a_reason() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (fixtures, _) = fixture::read_all(&tests.join("../fixtures")).unwrap();
    let fixtures: Vec<_> = fixtures.into_iter().map(Rc::new).collect();
    let rows = coverage::read_rows(&tests.join("coverage")).unwrap();
    let uncovered: Vec<String> = coverage::uncovered(&rows, &fixtures)
        .iter()
        .map(|row| format!("{}: {}", row.id, row.title))
        .collect();
    assert!(uncovered.is_empty(), "rows without a case:\n{}", uncovered.join("\n"));
}
