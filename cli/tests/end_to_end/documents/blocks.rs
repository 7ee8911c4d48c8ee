//! The commands and blocks of code of a Markdown page.

/// A block of code, or a line of an indented one.
pub(crate) struct Block {
    /// The language that the fence names; empty for the lines of an indented block, which are commands.
    pub(crate) language: String,
    /// The code, without what is behind ` #` in a command.
    pub(crate) text: String,
}

/// The blocks of a page in their order. Fences in lists are indented; the lines of an indented block stand below an empty line.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    let mut may_begin = true;
    let mut within = false;
    while let Some(line) = lines.next() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            let code: Vec<&str> =
                lines.by_ref().take_while(|line| !line.trim_start().starts_with("```")).collect();
            let language = if language.is_empty() { "none" } else { language };
            found.push(Block { language: language.to_string(), text: code.join("\n") });
        } else if line.starts_with("    ") && (may_begin || within) {
            within = true;
            let command = line.split(" #").next().unwrap_or(line).trim();
            found.push(Block { language: String::new(), text: command.to_string() });
            continue;
        }
        within = false;
        may_begin = line.trim().is_empty();
    }
    found.retain(|block| !block.text.trim().is_empty());
    found
}

#[test]
fn blocks_are_found() {
    let page = "Text\n    no command\n\n    partyrun dev  # runs\n    partyrun check\n\n```ts\n\nlet x;\n```\n- list\n\n  ```sh\n  ls\n  ```\n";
    let found: Vec<_> = blocks(page).into_iter().map(|block| (block.language, block.text)).collect();
    let expected = [("", "partyrun dev"), ("", "partyrun check"), ("ts", "\nlet x;"), ("sh", "  ls")];
    assert_eq!(found, expected.map(|(language, text)| (language.to_string(), text.to_string())));
}
