//! Helpers: the functions of `runtime.js` that a bundle really uses, and what they use themselves.

/// Every helper starts at the beginning of a line; the lines until the next one belong to it.
const RUNTIME: &str = include_str!("runtime.js");
const START: &str = "var __pk_";

/// The text of the helpers that `code` mentions, in their order.
pub(super) fn helpers(code: &str) -> String {
    let helpers = split();
    let mut wanted = vec![false; helpers.len()];
    let mut open = vec![code];
    while let Some(text) = open.pop() {
        for name in mentioned(text) {
            let found = helpers.iter().position(|(helper, _)| *helper == name);
            if let Some((index, slot)) = found.and_then(|index| Some((index, wanted.get_mut(index)?)))
                && !std::mem::replace(slot, true)
            {
                open.extend(helpers.get(index).map(|(_, body)| *body));
            }
        }
    }
    let kept = helpers.iter().zip(wanted).filter(|(_, wanted)| *wanted);
    kept.map(|((_, body), _)| *body).collect()
}

/// Names and texts of all helpers.
fn split() -> Vec<(&'static str, &'static str)> {
    let mut starts: Vec<usize> = RUNTIME.match_indices(START).map(|(at, _)| at).collect();
    starts.push(RUNTIME.len());
    let texts = starts.windows(2).filter_map(|pair| match pair {
        [start, end] => RUNTIME.get(*start..*end),
        _ => None,
    });
    texts.filter_map(|text| Some((name(text.get("var ".len()..)?), text))).collect()
}

fn mentioned(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("__pk_").filter_map(|(at, _)| Some(name(text.get(at..)?)))
}

fn name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_is_used_with_its_own_needs() {
        assert_eq!(helpers("let a = 1"), "");
        let text = helpers("x = __pk_toESM(require_x(), 1)");
        for name in ["var __pk_toESM =", "var __pk_copy =", "var __pk_define ="] {
            assert!(text.contains(name), "{name}");
        }
        assert!(!text.contains("__pk_async"));
    }
}
