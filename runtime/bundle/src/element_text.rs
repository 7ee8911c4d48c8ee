//! The text between the tags of an element, as esbuild and TypeScript read it: lines are joined first, and references such as
//! `&#10;` are decoded then. The compiler decodes first, so that it would take such a character for one of the source, join the
//! lines around it, and lose a text that is nothing else. It also takes only blanks and tabs for white space.

use swc_atoms::wtf8::{CodePoint, Wtf8, Wtf8Buf};
use swc_common::DUMMY_SP;
use swc_ecma_ast::{Expr, JSXElementChild, JSXExpr, JSXExprContainer, JSXText, Str};
use swc_ecma_visit::{VisitMut, VisitMutWith};

/// Replaces texts with references, or with characters beyond ASCII, by strings.
pub(crate) struct ElementText;

impl VisitMut for ElementText {
    fn visit_mut_jsx_element_childs(&mut self, children: &mut Vec<JSXElementChild>) {
        children.retain_mut(|child| {
            let JSXElementChild::JSXText(text) = child else { return true };
            let Some(read) = read(text) else { return true };
            let kept = !read.is_empty();
            *child = JSXElementChild::JSXExprContainer(JSXExprContainer {
                span: text.span,
                expr: JSXExpr::Expr(Box::new(Expr::Lit(
                    Str { span: DUMMY_SP, value: read.into(), raw: None }.into(),
                ))),
            });
            kept
        });
        children.visit_mut_children_with(self);
    }
}

// The text as a string, or `None` where the compiler reads it in the same way.
fn read(text: &JSXText) -> Option<Wtf8Buf> {
    // Most texts have neither references nor white space that the compiler does not know.
    if text.raw.is_ascii() && !text.raw.contains(['&', '\u{b}', '\u{c}']) {
        return None;
    }
    let characters = characters(&text.raw, &text.value)?;
    let lines: Vec<&[Character]> =
        characters.split(|character| !character.referred && ends_line(character.value)).collect();
    let mut joined = Wtf8Buf::new();
    for (at, line) in lines.iter().enumerate() {
        let kept = kept_of(line, at == 0, at + 1 == lines.len());
        if !kept.is_empty() && !joined.is_empty() {
            joined.push_char(' ');
        }
        kept.iter().for_each(|character| joined.push(character.value));
    }
    Some(joined)
}

// What is left of a line: white space of the source goes where the line was broken.
fn kept_of(line: &[Character], first: bool, last: bool) -> &[Character] {
    let blank = |character: &&Character| !character.referred && is_blank(character.value);
    let before = if first { 0 } else { line.iter().take_while(blank).count() };
    let rest = line.get(before..).unwrap_or_default();
    let after = if last { 0 } else { rest.iter().rev().take_while(blank).count() };
    rest.get(..rest.len() - after).unwrap_or_default()
}

fn is_blank(point: CodePoint) -> bool {
    point.to_char().is_some_and(|character| character.is_whitespace() || character == '\u{feff}')
}

fn ends_line(point: CodePoint) -> bool {
    matches!(point.to_char(), Some('\n' | '\r' | '\u{2028}' | '\u{2029}'))
}

struct Character {
    value: CodePoint,
    // It was written as a reference.
    referred: bool,
}

// Lays the decoded text beside the source. A reference is one character of the text, unless the text has its `&` there:
// then it was none. `None` where the two do not fit.
fn characters(raw: &str, decoded: &Wtf8) -> Option<Vec<Character>> {
    let mut rest = raw;
    let mut characters = Vec::with_capacity(raw.len());
    for value in decoded.code_points() {
        let ampersand = value.to_char() == Some('&');
        let reference = rest.strip_prefix('&').and_then(|name| name.split_once(';'));
        let referred = reference.filter(|(name, _)| !ampersand || is_ampersand(name));
        rest = match referred {
            Some((_, after)) => after,
            None => rest.strip_prefix(value.to_char()?)?,
        };
        characters.push(Character { value, referred: referred.is_some() });
    }
    rest.is_empty().then_some(characters)
}

fn is_ampersand(name: &str) -> bool {
    let number = name.strip_prefix('#');
    let hex = number.and_then(|number| number.strip_prefix(['x', 'X']));
    match (number, hex) {
        (_, Some(digits)) => u32::from_str_radix(digits, 16) == Ok(0x26),
        (Some(digits), None) => digits.parse() == Ok(0x26_u32),
        (None, None) => name == "amp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(raw: &str, decoded: &str) -> Option<String> {
        let read = read(&JSXText { span: DUMMY_SP, value: decoded.into(), raw: raw.into() })?;
        Some(read.to_string_lossy().into_owned())
    }

    #[test]
    fn line_breaks_of_the_source_are_joined_and_those_of_references_are_kept() {
        assert_eq!(text("a\n  b", "a\n  b"), None);
        assert_eq!(text("a&lt;b", "a<b").as_deref(), Some("a<b"));
        assert_eq!(text("a\u{a0}\n\u{3000}b", "a\u{a0}\n\u{3000}b").as_deref(), Some("a b"));
        assert_eq!(text("a&#10;  b", "a\n  b").as_deref(), Some("a\n  b"));
        assert_eq!(text("&#xa;", "\n").as_deref(), Some("\n"));
        assert_eq!(text("\n a&#32;\n &amp;b &#9;\n", "\n a \n &b \t\n").as_deref(), Some("a  &b \t"));
        assert_eq!(text("&#13;&no;& \n x", "\r&no;& \n x").as_deref(), Some("\r&no;& x"));
    }
}
