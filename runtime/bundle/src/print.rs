//! Printing: turns rewritten statements into text with slots and mappings, using swc's printer. Comments are not
//! printed: the bundle is not read by people, and the source map shows them the original.

use swc_common::{BytePos, LineCol, SourceMap, sync::Lrc};
use swc_ecma_ast::{Module, ModuleItem};
use swc_ecma_codegen::{Config, Emitter};

use crate::marker::{Printed, SlotWriter};
use crate::record::Text;

/// What the printer needs to know about a module.
pub(crate) struct Printer {
    pub(crate) source_map: Lrc<SourceMap>,
    pub(crate) start: BytePos,
    pub(crate) end: BytePos,
    pub(crate) minify: bool,
}

impl Printer {
    /// Prints the statements, in order.
    pub(crate) fn print(&self, body: Vec<ModuleItem>) -> std::io::Result<Text> {
        let (printed, mappings) = self.emit(body)?;
        Ok(printed.cut(0, printed.text.trim_end().len(), &mappings))
    }

    /// Prints one `var` statement without its keyword and semicolon.
    pub(crate) fn print_declarators(&self, item: ModuleItem) -> std::io::Result<Text> {
        let (printed, mappings) = self.emit(vec![item])?;
        let text = printed.text.trim_end().trim_end_matches(';');
        let body = text.strip_prefix("var").unwrap_or(text).trim_start();
        Ok(printed.cut(text.len() - body.len(), text.len(), &mappings))
    }

    fn emit(&self, body: Vec<ModuleItem>) -> std::io::Result<(Printed, Vec<(u32, u32)>)> {
        let mut positions: Vec<(BytePos, LineCol)> = Vec::new();
        let mut writer = SlotWriter::new(self.source_map.clone(), &mut positions, !self.minify);
        let module = Module { body, ..Default::default() };
        let mut emitter = Emitter {
            cfg: Config::default()
                .with_ascii_only(true)
                .with_minify(self.minify)
                .with_reduce_escaped_newline(false),
            cm: self.source_map.clone(),
            comments: None,
            wr: &mut writer,
        };
        emitter.emit_module(&module)?;
        // Dropping a deep tree recurses, but the thread's stack was enough to print it.
        drop(module);
        let printed = writer.finish()?;
        let mappings = self.offsets(&printed.text, &positions);
        Ok((printed, mappings))
    }

    /// Line and column in the printed text become one offset; positions outside the file (generated code) go.
    fn offsets(&self, printed: &str, positions: &[(BytePos, LineCol)]) -> Vec<(u32, u32)> {
        let mut starts = vec![0u32];
        starts.extend(
            printed.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at as u32 + 1),
        );
        let mut mappings: Vec<(u32, u32)> = Vec::with_capacity(positions.len());
        for (source, generated) in positions {
            if *source < self.start || *source > self.end {
                continue;
            }
            let Some(line) = starts.get(generated.line as usize) else { continue };
            let offset = line + generated.col;
            match mappings.last_mut() {
                Some(last) if last.0 > offset => {}
                Some(last) if last.0 == offset => last.1 = (*source - self.start).0,
                _ => mappings.push((offset, (*source - self.start).0)),
            }
        }
        mappings
    }
}
