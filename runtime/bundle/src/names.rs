//! Names: gives everything that lives in the script's outer scope a name of its own. A name must not be free anywhere
//! in the bundle (it would capture a global), nor be bound inside a module that uses it (it would be captured there).

use rustc_hash::{FxHashMap, FxHashSet};

/// Words that cannot name a variable in a strict script, and what the linker itself writes.
const RESERVED: &str = "arguments as async await break case catch class const continue debugger default delete do else \
enum eval export extends false finally for from function get if implements import in instanceof interface let new null \
of package private protected public return set static super switch this throw true try typeof undefined var void while \
with yield host exports module require Object Symbol WeakMap Map String Error Promise JSON NaN Infinity globalThis RegExp";

/// The names given so far.
pub(crate) struct Names {
    taken: FxHashSet<String>,
    counters: FxHashMap<String, u32>,
}

impl Names {
    /// `globals` are the names that some module reads without binding them.
    pub(crate) fn new<'a>(globals: impl Iterator<Item = &'a String>) -> Self {
        let reserved = RESERVED.split_ascii_whitespace().map(str::to_string);
        Self { taken: reserved.chain(globals.cloned()).collect(), counters: FxHashMap::default() }
    }

    /// A new name like `wanted`, for which `is_captured` is false.
    pub(crate) fn give(&mut self, wanted: &str, is_captured: impl Fn(&str) -> bool) -> String {
        let base = identifier(wanted);
        let mut name = base.clone();
        let mut counter = self.counters.get(&base).copied().unwrap_or(1);
        while name.starts_with("__pk_") || self.taken.contains(&name) || is_captured(&name) {
            counter += 1;
            // Without the two underscores that ours begin with, where a name is left.
            let stem =
                base.strip_prefix("__").filter(|stem| stem.starts_with(|c: char| c.is_ascii_alphabetic()));
            name = format!("{}{counter}", stem.unwrap_or(&base));
        }
        self.counters.insert(base, counter);
        self.taken.insert(name.clone());
        name
    }
}

/// The nearest ASCII identifier.
pub(crate) fn identifier(text: &str) -> String {
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    let mut name: String = text.chars().map(|c| if valid(c) { c } else { '_' }).collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

/// `object.name` or `object["name"]`.
pub(crate) fn member(object: &str, name: &str) -> String {
    if identifier(name) == name {
        format!("{object}.{name}")
    } else {
        format!("{object}[{}]", crate::value::quote(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one() {
        let mut names = Names::new(std::iter::empty());
        let wanted = [
            "\u{65e5}\u{672c}",
            "\u{4e2d}\u{56fd}",
            "__",
            "\u{65e5}\u{672c}1",
            "\u{4e2d}\u{56fd}1",
            "__pk_x",
            "__x",
            "__x",
            "a",
            "a",
        ];
        let given = wanted.map(|wanted| names.give(wanted, |_| false));
        assert_eq!(given, ["__", "__2", "__3", "__1", "__12", "pk_x2", "__x", "x2", "a", "a2"]);
        assert!(given.iter().all(|name| identifier(name) == *name));
    }
}
