//! Several parties in one bundle: each party's modules are evaluated when it is asked for, in their own order.

mod common;

use common::{Outcome, Project};
use partyrun_bundle::{BundleOptions, Bundler};

const FILES: &[(&str, &str)] = &[
    ("main.js", "import { shared } from './shared.js'; import './cycle.js'; print('main', ++shared.n); export default class Main {}"),
    ("shared.js", "print('shared'); export const shared = { n: 0 }"),
    ("cycle.js", "import Main from './main.js'; print('cycle', typeof Main); export const late = () => Main.name"),
    (
        "a.mjs",
        "import { late } from './cycle.js'; import old from './old.cjs'; print('a', late(), old.n); export default class A {};
         print(typeof (await import('./b.js')).default)",
    ),
    ("b.js", "import { shared } from './shared.js'; print('b', ++shared.n); export default () => require('./old.cjs').n"),
    ("old.cjs", "print('old'); exports.n = 7"),
    ("party.cjs", "print('party', require('./old.cjs').n); module.exports = class Party {}"),
    ("bad.js", "print('bad'); throw new Error('of bad')"),
];

fn bundle(parties: &[(&str, &str)]) -> Outcome<String> {
    let project = Project::new(FILES)?;
    let parties = parties.iter().map(|(name, file)| (name.to_string(), file.into())).collect();
    let options = BundleOptions { parties, ..project.options("main.js") };
    project.log_of(&Bundler::new(options).build()?)
}

#[test]
fn entries_are_evaluated_in_turn() -> Outcome<()> {
    let parties = [("a", "a.mjs"), ("b", "b.js"), ("c", "party.cjs")];
    let expected = "shared\ncycle undefined\nmain 1\nold\na Main 7\nb 2\nfunction\nparty 7";
    assert_eq!(bundle(&parties)?, expected);
    // The order of the parties changes what is first, and nothing else.
    let parties = [("c", "party.cjs"), ("again", "main.js"), ("b", "b.js"), ("a", "a.mjs")];
    let expected = "shared\ncycle undefined\nmain 1\nold\nparty 7\nb 2\na Main 7\nfunction";
    assert_eq!(bundle(&parties)?, expected);
    assert_eq!(bundle(&[("again", "main.js")])?, "shared\ncycle undefined\nmain 1");
    Ok(())
}

#[test]
fn an_entry_that_throws_leaves_the_others() -> Outcome<()> {
    let log = bundle(&[("b", "b.js"), ("bad", "bad.js")])?;
    assert!(log.starts_with("shared\ncycle undefined\nmain 1\nb 2\nbad\nthrew Error: of bad"), "{log}");
    Ok(())
}
