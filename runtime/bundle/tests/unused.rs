//! What is left out: files that nothing is used of, and what of a namespace that is passed on nothing reads.

mod common;

use common::{Outcome, Project, prints};

const PURE: (&str, &str) = ("node_modules/p/package.json", r#"{ "sideEffects": false, "type": "module" }"#);

/// A package of the shape that validators and component libraries have.
const NAMESPACE: [(&str, &str); 5] = [
    PURE,
    (
        "node_modules/p/index.js",
        "import * as p from './all.js'; export * from './all.js'; export { p, p as default }",
    ),
    ("node_modules/p/all.js", "export * from './shapes.js'; export * as locales from './locales.js'"),
    ("node_modules/p/shapes.js", "export function box(n) { return 'box ' + n }\nexport class Round {}"),
    ("node_modules/p/locales.js", "export const en = 'english'; export const de = 'german'"),
];

fn with<'a>(main: &'a str, package: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    std::iter::once(("main.js", main)).chain(package.iter().copied()).collect()
}

#[test]
fn a_namespace_that_is_passed_on_is_known_by_its_names() -> Outcome<()> {
    for import in ["import { p } from 'p'", "import p from 'p'", "import * as p from 'p'"] {
        let main =
            format!("{import}; print(p.box(1), new p.Round() instanceof p.Round, p.locales.de, p.none)");
        let project = Project::new(&with(&main, &NAMESPACE))?;
        let bundle = project.build("main.js")?;
        assert_eq!(project.log_of(&bundle)?, "box 1 true german ", "{import}");
        assert!(!bundle.code.contains("english"), "{}", bundle.code);
    }
    Ok(())
}

#[test]
fn a_namespace_that_is_used_as_a_value_is_whole() -> Outcome<()> {
    let main = "import { p } from 'p'; const { box } = p; print(box(2), Object.keys(p), p['locales'].en);
        try { delete p.box } catch (error) { print(error.name) }
        try { p.box = 1 } catch (error) { print(error.name) }";
    prints(&with(main, &NAMESPACE), "box 2 Round,box,locales english\nTypeError\nTypeError")
}

#[test]
fn properties_of_what_is_no_namespace_stay_as_they_are() -> Outcome<()> {
    prints(
        &[
            (
                "main.js",
                "import { counter, list, text } from './lib.js'; import { api } from './old.cjs'; import './fill.js';
                counter.add(); counter.add(); counter.deep.count++; print(counter.count, counter.deep.count);
                counter.more = 1; print(counter.more, delete counter.more, counter?.deep?.count);
                print(counter.deep.self().count, list.items.map((item) => item.name).join(), text.raw`x`);
                [counter.first] = [7]; for (counter.each of [1, 2]); print(counter.first, counter.each);
                print(api.inner.call(), api.inner.value, class extends api.Base {}.name === '')",
            ),
            (
                "lib.js",
                "export const counter = { count: 0, add() { this.count++ }, deep: { count: 5, self() { return this } } };
                export const list = { items: [] }; export const text = { raw(t) { return this === text && t[0] } }",
            ),
            ("fill.js", "import { list } from './lib.js'; list.items.push({ name: 'a' }, { name: 'b' })"),
            (
                "old.cjs",
                "exports.api = { Base: class {}, inner: { value: 3, call() { return this.value } } }",
            ),
        ],
        "2 6\n1 true 6\n6 a,b x\n7 2\n3 3 true",
    )
}

#[test]
fn a_frame_names_the_property_that_failed() -> Outcome<()> {
    let files = [
        ("main.js", "import { lib } from './lib.js';\nlib\n  .inner\n  .missing();"),
        ("lib.js", "export const lib = { inner: {} }"),
    ];
    let log = Project::new(&files)?.log("main.js")?;
    assert!(log.contains("main.js:4:4"), "{log}");
    Ok(())
}

#[test]
fn files_that_nothing_is_used_of_are_not_read() -> Outcome<()> {
    let mut files = with(
        "import { used } from 'p'; print(used)",
        &[
            PURE,
            (
                "node_modules/p/index.js",
                "export { used } from './used.js'; export { a } from './broken.js'; export * as b from './broken.js'",
            ),
            ("node_modules/p/used.js", "export const used = 'used'"),
            ("node_modules/p/broken.js", "export const a = ]"),
        ],
    );
    let project = Project::new(&files)?;
    let bundle = project.build("main.js")?;
    assert_eq!(project.log_of(&bundle)?, "used");
    assert!(!bundle.inputs.iter().any(|input| input.ends_with("broken.js")), "{:?}", bundle.inputs);
    for main in ["import { a } from 'p'; print(a)", "import * as p from 'p'; print(p)", "import('p')"] {
        files.first_mut().ok_or("no entry")?.1 = main;
        let errors = Project::new(&files)?.errors("main.js")?.to_string();
        assert!(errors.contains("broken.js"), "{main}: {errors}");
    }
    Ok(())
}

#[test]
fn what_export_star_leads_to_is_found() -> Outcome<()> {
    prints(
        &with(
            "import { a, b, c, late } from 'p'; import * as q from 'p/two.js'; print(a, b, c, late, q.twice)",
            &[
                PURE,
                (
                    "node_modules/p/index.js",
                    "export * from './one.js'; export * from './two.js'; export * from './old.cjs'; export * from './none.js'",
                ),
                ("node_modules/p/one.js", "export * from './deep.js'; export const a = 'a'"),
                (
                    "node_modules/p/two.js",
                    "export * from './deep.js'; export { a as twice } from './one.js'; export const c = 'c'",
                ),
                ("node_modules/p/deep.js", "import './index.js'; export const b = 'b'"),
                ("node_modules/p/old.cjs", "exports.late = 'late'"),
                ("node_modules/p/none.js", "export const none = 'none'"),
            ],
        ),
        "a b c late a",
    )
}

#[test]
fn side_effects_of_what_is_used_are_kept_in_their_order() -> Outcome<()> {
    prints(
        &with(
            "import { first } from 'p'; import { second } from 'p/second.js'; print('main', first, second)",
            &[
                PURE,
                (
                    "node_modules/p/index.js",
                    "export { first } from './first.js'; export { second } from './second.js'",
                ),
                (
                    "node_modules/p/first.js",
                    "import './second.js'; import 'loud'; print('first'); export const first = 1",
                ),
                ("node_modules/p/second.js", "print('second'); export const second = 2"),
                ("node_modules/loud/index.js", "import 'p/silent.js'; print('loud')"),
                ("node_modules/p/silent.js", "print('never')"),
            ],
        ),
        "second\nloud\nfirst\nmain 1 2",
    )
}
