//! Where the parts of a sheet's text are: blocks with the selectors before them, declarations and their values.
//!
//! It reads the text that the parser has accepted and the text that the printer made of it, for the source map only.
//! What it does not understand it leaves out; it then finds fewer places, and refuses nothing.

use std::iter::Peekable;
use std::str::CharIndices;

/// A line and a column in UTF-16, from 0.
pub(crate) type Place = (u32, u32);

/// A block, and what stands before it.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// The beginnings of the selectors, or of the at-rule; never none.
    pub(crate) heads: Vec<Place>,
    /// Its own declarations, before, between and after its inner blocks.
    pub(crate) declarations: Vec<Declaration>,
    /// The numbers of the blocks right within.
    pub(crate) inner: Vec<usize>,
    /// The closing brace.
    pub(crate) end: Option<Place>,
}

/// A declaration of a block.
#[derive(Debug)]
pub(crate) struct Declaration {
    /// In small letters, unless it is a custom property's.
    pub(crate) name: String,
    pub(crate) at: Place,
    pub(crate) value: Place,
}

/// The blocks of a text, in the order of their opening braces.
pub(crate) fn scan(text: &str) -> Vec<Block> {
    let mut scan = Scan {
        text,
        chars: text.char_indices().peekable(),
        place: (0, 0),
        blocks: Vec::new(),
        open: Vec::new(),
        statement: Statement::default(),
    };
    while let Some((index, char, here)) = scan.next() {
        scan.take(index, char, here);
    }
    scan.blocks
}

struct Scan<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
    place: Place,
    blocks: Vec<Block>,
    /// The numbers of the blocks that are open.
    open: Vec<usize>,
    statement: Statement,
}

/// What was read since the last semicolon or brace.
#[derive(Default)]
struct Statement {
    begin: Option<usize>,
    heads: Vec<Place>,
    after_comma: bool,
    /// What stands before the first colon, and where something stands after it.
    name: Option<String>,
    value: Option<Place>,
    parentheses: u32,
    /// Those in the value of a custom property.
    braces: u32,
}

impl Scan<'_> {
    fn next(&mut self) -> Option<(usize, char, Place)> {
        let (index, char) = self.chars.next()?;
        let here = self.place;
        self.place = if char == '\n' { (here.0 + 1, 0) } else { (here.0, here.1 + char.len_utf16() as u32) };
        Some((index, char, here))
    }

    fn take(&mut self, index: usize, char: char, here: Place) {
        if char.is_whitespace() {
            return;
        }
        if char == '/' && self.chars.peek().is_some_and(|(_, next)| *next == '*') {
            return self.skip_comment();
        }
        if !matches!(char, '{' | '}' | ';' | ',' | ':') {
            self.statement.touch(index, here);
        }
        match char {
            '\\' => self.skip(),
            '"' | '\'' => self.skip_string(char),
            '(' if self.is_bare_url(index) => self.skip_string(')'),
            '(' | '[' => self.statement.parentheses += 1,
            ')' | ']' => self.statement.parentheses = self.statement.parentheses.saturating_sub(1),
            _ if self.statement.parentheses > 0 => {}
            ',' => self.statement.after_comma = true,
            ':' => {
                // A selector may begin with one, and what follows the name of a property is its value.
                self.statement.touch(index, here);
                if self.statement.name.is_none() {
                    let name = self.text.get(self.statement.begin.unwrap_or(index)..index);
                    let name = name.unwrap_or_default().trim_end();
                    let is_custom = name.starts_with("--");
                    self.statement.name =
                        Some(if is_custom { name.to_owned() } else { name.to_ascii_lowercase() });
                    self.statement.value = None;
                }
            }
            '{' if self.statement.is_custom() => self.statement.braces += 1,
            '{' => self.open_block(here),
            '}' if self.statement.braces > 0 => self.statement.braces -= 1,
            '}' => self.close_block(here),
            ';' if self.statement.braces == 0 => self.end_statement(),
            _ => {}
        }
    }

    fn open_block(&mut self, here: Place) {
        let mut heads = std::mem::take(&mut self.statement).heads;
        if heads.is_empty() {
            heads.push(here);
        }
        let number = self.blocks.len();
        if let Some(outer) = self.open.last().and_then(|outer| self.blocks.get_mut(*outer)) {
            outer.inner.push(number);
        }
        self.open.push(number);
        self.blocks.push(Block { heads, ..Block::default() });
    }

    fn close_block(&mut self, here: Place) {
        self.end_statement();
        if let Some(block) = self.open.pop().and_then(|number| self.blocks.get_mut(number)) {
            block.end = Some(here);
        }
    }

    fn end_statement(&mut self) {
        let Statement { heads, name, value, .. } = std::mem::take(&mut self.statement);
        let block = self.open.last().and_then(|number| self.blocks.get_mut(*number));
        if let (Some(block), Some(name), Some(at)) = (block, name, heads.first().copied())
            && !name.starts_with('@')
        {
            block.declarations.push(Declaration { name, at, value: value.unwrap_or(at) });
        }
    }

    /// An address without quotes may hold what otherwise begins a string or a comment.
    fn is_bare_url(&self, index: usize) -> bool {
        let before = self.text.get(..index).unwrap_or_default();
        let is_url = before.len() >= 3
            && before.get(before.len() - 3..).is_some_and(|name| name.eq_ignore_ascii_case("url"));
        let after = self.text.get(index + 1..).unwrap_or_default().trim_start();
        is_url && !after.starts_with(['"', '\''])
    }

    fn skip(&mut self) {
        let _skipped = self.next();
    }

    fn skip_string(&mut self, close: char) {
        while let Some((_, char, _)) = self.next() {
            match char {
                '\\' => self.skip(),
                char if char == close => break,
                _ => {}
            }
        }
    }

    fn skip_comment(&mut self) {
        self.skip();
        let mut last = ' ';
        while let Some((_, char, _)) = self.next() {
            if last == '*' && char == '/' {
                break;
            }
            last = char;
        }
    }
}

impl Statement {
    /// Something other than space begins here.
    fn touch(&mut self, index: usize, here: Place) {
        self.begin.get_or_insert(index);
        if self.heads.is_empty() || std::mem::take(&mut self.after_comma) {
            self.heads.push(here);
        }
        self.value.get_or_insert(here);
    }

    fn is_custom(&self) -> bool {
        self.name.as_ref().is_some_and(|name| name.starts_with("--"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(code: &str) -> Vec<Place> {
        scan(code).iter().map(|block| block.heads[0]).collect()
    }

    fn declarations(code: &str) -> Vec<(String, Place, Place)> {
        let blocks = scan(code);
        let all = blocks.iter().flat_map(|block| &block.declarations);
        all.map(|declaration| (declaration.name.clone(), declaration.at, declaration.value)).collect()
    }

    #[test]
    fn blocks_begin_with_their_selectors() {
        let code = "/*! {x} */\n.a {\n  content: \"{\\\"\";\n}\n\n@media print {\n  .b\\{ {\n    color: red;\n  }\n}\n";
        assert_eq!(heads(code), [(1, 0), (5, 0), (6, 2)]);
        assert_eq!(heads(".é{a:b}.c{d:url(x)}@layer x;e{f:g}"), [(0, 0), (0, 7), (0, 28)]);
        assert_eq!(heads("a{b:'\u{1f388}'}c{}"), [(0, 0), (0, 9)], "columns are those of UTF-16");
        assert_eq!(heads(":root{--x: { a: b; };c:d}{e:f}"), [(0, 0), (0, 25)]);
        let blocks = scan("a,\n b:is(c, d) , e{}@media (x: 1px),print{f{}g{}}");
        assert_eq!(blocks[0].heads, [(0, 0), (1, 1), (1, 14)]);
        assert_eq!((blocks[1].heads.len(), &blocks[1].inner, blocks[1].end), (2, &vec![2, 3], Some((1, 45))));
    }

    #[test]
    fn declarations_stand_in_their_block() {
        let found = declarations(
            "a{color : red;b:hover{top:0}/* x: y */margin:\n 1px}@import 'x';c:d;e{@apply f:g;}",
        );
        let named = |name: &str, at, value| (name.to_owned(), at, value);
        assert_eq!(
            found,
            [
                named("color", (0, 2), (0, 10)),
                named("margin", (0, 38), (1, 1)),
                named("top", (0, 22), (0, 26))
            ]
        );
        let found = declarations("a{b:url(data:x;'/*),url( \"y;\" );--c:{d:e;f:[g;h]};i:j}");
        let names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["b", "--c", "i"]);
    }

    #[test]
    fn nonsense_has_places_too() {
        for code in [
            "",
            "}",
            "}}{",
            "{{{",
            "a{",
            "a{b:",
            "a{b:c",
            "\\",
            "/*",
            "'",
            "a{b:url(",
            ":::;{:}",
            "a{--b:{{c}",
            "\u{1f600}{\u{e9}:",
        ] {
            scan(code);
        }
    }
}
