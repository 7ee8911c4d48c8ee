//! Loops whose variable is called `of`, in TypeScript: `for (const of of list)`. swc takes the first `of` for the word of the loop
//! and reports a declaration without a variable. Such a variable gets another name of the same length before the file is parsed
//! again, and its own name back in the tree, so that nothing after the parser knows of it.

use std::collections::BTreeSet;

use swc_ecma_ast::Ident;
use swc_ecma_visit::{VisitMut, noop_visit_mut_type};

/// Any other name of two letters: the tree has it nowhere in the end.
const OTHER: &str = "_o";

/// Where variables were given another name, as byte offsets.
#[derive(Default)]
pub(crate) struct Variables(BTreeSet<usize>);

impl Variables {
    /// Adds the variables called `of` that the parser found no names in: `offsets` are the ends of `const`, `let` and `var`.
    /// False if there is none.
    pub(crate) fn add(&mut self, source: &str, offsets: impl Iterator<Item = usize>) -> bool {
        let known = self.0.len();
        self.0.extend(offsets.filter_map(|offset| variable(source, offset)));
        self.0.len() > known
    }

    /// The source with the other names.
    pub(crate) fn renamed(&self, source: &str) -> String {
        let mut renamed = String::with_capacity(source.len());
        let mut from = 0;
        for &at in &self.0 {
            renamed.push_str(source.get(from..at).unwrap_or_default());
            renamed.push_str(OTHER);
            from = at + OTHER.len();
        }
        renamed.push_str(source.get(from..).unwrap_or_default());
        renamed
    }

    /// Gives the variables of a tree their name back; `start` is the position of the source.
    pub(crate) fn named(&self, start: u32) -> Named<'_> {
        Named { variables: &self.0, start }
    }
}

// `of of` after what declares the variable.
fn variable(source: &str, offset: usize) -> Option<usize> {
    let rest = source.get(offset..)?;
    let at = offset + (rest.len() - rest.trim_start().len());
    let after = source.get(at..)?.strip_prefix("of")?;
    let next = after.trim_start();
    (next.len() < after.len() && next.starts_with("of")).then_some(at)
}

/// See [`Variables::named`].
pub(crate) struct Named<'a> {
    variables: &'a BTreeSet<usize>,
    start: u32,
}

impl VisitMut for Named<'_> {
    noop_visit_mut_type!();

    fn visit_mut_ident(&mut self, ident: &mut Ident) {
        let offset = ident.span.lo.0.saturating_sub(self.start) as usize;
        if ident.sym == OTHER && self.variables.contains(&offset) {
            ident.sym = "of".into();
        }
    }
}
