//! Value modules: files that are not programs (spec 6.4). They become CommonJS modules whose `module.exports` is the
//! value; `graph` makes their records here instead of in `transform`.

use crate::record::{Asset, ModuleForm, ModuleRecord, Part, PartKind, Slot, Text};

/// A JavaScript string literal, pure ASCII.
pub(crate) fn quote(text: &str) -> String {
    use std::fmt::Write;
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            ' '..='~' => quoted.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(quoted, "\\u{unit:04x}");
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

/// A JSON file. It is parsed when it runs, so that a `__proto__` key stays a key.
pub(crate) fn json(source: &str) -> Result<ModuleRecord, (u32, String)> {
    let text = source.strip_prefix('\u{feff}').unwrap_or(source);
    let problem = |error: serde_json::Error| {
        let line_start: usize =
            text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        ((line_start + error.column().saturating_sub(1)) as u32, format!("Invalid JSON: {error}"))
    };
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(problem)?;
    Ok(record(format!("module.exports = JSON.parse({});", quote(text)), Vec::new(), None))
}

/// A text file.
pub(crate) fn text(source: &str) -> ModuleRecord {
    record(format!("module.exports = {};", quote(source)), Vec::new(), None)
}

/// A file whose bytes the host hands out.
pub(crate) fn asset(asset: Asset) -> ModuleRecord {
    let start = "module.exports = ";
    record(format!("{start};"), vec![(start.len() as u32, Slot::Asset)], Some(asset))
}

/// A module that `false` in a `browser` map, or `partykit/server`, stands for.
pub(crate) fn empty() -> ModuleRecord {
    record(String::new(), Vec::new(), None)
}

/// What packages that bring `fetch` to Node.js are replaced with: the runtime's own (spec 6.3).
pub(crate) fn fetch() -> ModuleRecord {
    let code = "const fetch = (...args) => globalThis.fetch(...args);\n\
        const { Headers, Request, Response, FormData, Blob, File, AbortController } = globalThis;\n\
        class FetchError extends Error {}\nclass AbortError extends Error {}\n\
        const isRedirect = (code) => [301, 302, 303, 307, 308].includes(code);\n\
        module.exports = Object.assign(fetch, { fetch, default: fetch, Headers, Request, Response, FormData, Blob, File,\n \
        AbortController, FetchError, AbortError, isRedirect });\n\
        Object.defineProperty(module.exports, \"__esModule\", { value: true });";
    let globals = ["globalThis", "Error", "Object"].map(str::to_string).to_vec();
    ModuleRecord {
        form: ModuleForm::CommonJs,
        global_names: globals,
        ..record(code.into(), Vec::new(), None)
    }
}

fn record(text: String, slots: Vec<(u32, Slot)>, asset: Option<Asset>) -> ModuleRecord {
    let code = Text { text, slots, mappings: Vec::new() };
    let part = Part {
        kind: PartKind::Statement,
        code,
        declares: Vec::new(),
        uses: Vec::new(),
        imports: Vec::new(),
        anonymous: false,
        pure: true,
    };
    ModuleRecord {
        form: ModuleForm::Value,
        imports: Vec::new(),
        symbols: Vec::new(),
        exports: Vec::new(),
        stars: Vec::new(),
        parts: vec![part],
        inner_names: Vec::new(),
        global_names: vec!["JSON".into(), "host".into()],
        top_level_await: false,
        needs_page: false,
        required: Vec::new(),
        asset,
    }
}
