//! The output text together with its source map. `link` writes text piece by piece; the positions of the pieces are
//! turned into the mappings of a version 3 source map (ECMA-426) at the end.

/// Text written so far, and where its pieces came from.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) code: String,
    /// Offset in `code`, module, byte offset in the module's source.
    mappings: Vec<(usize, usize, u32)>,
}

/// One source of the map.
pub(crate) struct Source<'a> {
    pub(crate) name: String,
    pub(crate) text: &'a str,
}

impl Output {
    pub(crate) fn push(&mut self, text: &str) {
        self.code.push_str(text);
    }

    /// Whatever is written next comes from this place.
    pub(crate) fn map(&mut self, module: usize, source: u32) {
        self.mappings.push((self.code.len(), module, source));
    }

    /// The map as JSON. `code` is ASCII, so its bytes are its columns.
    pub(crate) fn source_map(&self, sources: &[Source<'_>]) -> Vec<u8> {
        let starts: Vec<Vec<u32>> = sources.iter().map(|source| line_starts(source.text)).collect();
        let mut mappings = String::new();
        let (mut line_start, mut at) = (0, 0);
        let mut last = (0i64, 0i64, 0i64, 0i64);
        let mut first = true;
        for (offset, module, source) in &self.mappings {
            let between = self.code.as_bytes().get(at..*offset).unwrap_or_default();
            for (index, _) in between.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
                mappings.push(';');
                line_start = at + index + 1;
                last.0 = 0;
                first = true;
            }
            at = *offset;
            let (Some(lines), Some(text)) = (starts.get(*module), sources.get(*module)) else { continue };
            let line = lines.partition_point(|start| start <= source).saturating_sub(1);
            let start = lines.get(line).copied().unwrap_or(0);
            let before = text.text.get(start as usize..*source as usize).unwrap_or_default();
            let column = if before.is_ascii() { before.len() } else { before.encode_utf16().count() };
            let now = ((offset - line_start) as i64, *module as i64, line as i64, column as i64);
            if !first {
                mappings.push(',');
            }
            first = false;
            for value in [now.0 - last.0, now.1 - last.1, now.2 - last.2, now.3 - last.3] {
                vlq(value, &mut mappings);
            }
            last = now;
        }
        let map = serde_json::json!({
            "version": 3,
            "sources": sources.iter().map(|source| &source.name).collect::<Vec<_>>(),
            "sourcesContent": sources.iter().map(|source| source.text).collect::<Vec<_>>(),
            "names": [],
            "mappings": mappings,
        });
        map.to_string().into_bytes()
    }
}

fn line_starts(text: &str) -> Vec<u32> {
    let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
    std::iter::once(0).chain(ends.map(|(at, _)| at as u32 + 1)).collect()
}

fn vlq(value: i64, out: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut rest = value.unsigned_abs() << 1 | u64::from(value < 0);
    loop {
        let digit = (rest & 31) as usize;
        rest >>= 5;
        let digit = if rest > 0 { digit | 32 } else { digit };
        out.push(char::from(DIGITS.get(digit).copied().unwrap_or(b'A')));
        if rest == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_lines_and_columns() {
        let mut output = Output::default();
        output.push("x\n ");
        output.map(0, 5);
        output.push("y");
        let map = output.source_map(&[Source { name: "a".into(), text: "\u{e9}\n\u{e9}b" }]);
        let map: serde_json::Value = serde_json::from_slice(&map).expect("valid JSON");
        assert_eq!(map["mappings"], ";CACC");
    }
}
