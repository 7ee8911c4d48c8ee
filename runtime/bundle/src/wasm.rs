//! WebAssembly files as ES modules: what a file imports and exports, and the module that makes its instance. An import of
//! names, or of the namespace, means the instance (the ESM integration of WebAssembly, which wasm-bindgen's bundler target
//! builds on); `import module from "x.wasm"` alone means the `WebAssembly.Module`, as on the original.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::record::{Binding, ImportName, ModuleRecord, Slot};
use crate::value::quote;

/// The names on the outside of a WebAssembly file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    /// Modules that something is imported from.
    pub(crate) modules: BTreeSet<String>,
    pub(crate) exports: Vec<String>,
}

impl Interface {
    /// Reads it from the bytes of a file. `None` if they are not a module of version 1.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = Reader { bytes: bytes.strip_prefix(b"\0asm\x01\0\0\0")? };
        let mut found = Self::default();
        while !rest.bytes.is_empty() {
            let section = rest.byte()?;
            let length = rest.number()?;
            let mut body = Reader { bytes: rest.take(length)? };
            match section {
                2 => found.read_imports(&mut body)?,
                7 => found.read_exports(&mut body)?,
                _ => {}
            }
        }
        Some(found)
    }

    fn read_imports(&mut self, section: &mut Reader<'_>) -> Option<()> {
        for _ in 0..section.number()? {
            self.modules.insert(section.name()?);
            section.name()?;
            section.skip_description()?;
        }
        Some(())
    }

    fn read_exports(&mut self, section: &mut Reader<'_>) -> Option<()> {
        for _ in 0..section.number()? {
            self.exports.push(section.name()?);
            section.byte()?;
            section.number()?;
        }
        Some(())
    }

    /// The source of the module that makes the instance of `file`, which lies beside it.
    pub(crate) fn instance(&self, file: &str) -> String {
        let mut source = format!("import file from {};\n", quote(&format!("./{file}")));
        let mut imports = String::new();
        // Writing to a String cannot fail.
        for (number, module) in self.modules.iter().enumerate() {
            let name = quote(module);
            let _ = writeln!(source, "import * as import{number} from {name};");
            let _ = write!(imports, "[{name}]: import{number}, ");
        }
        let _ = writeln!(source, "const instance = new WebAssembly.Instance(file, {{ {imports}}});");
        let _ = writeln!(source, "export {{ file as default }};");
        for (number, name) in self.exports.iter().enumerate().filter(|(_, name)| *name != "default") {
            let name = quote(name);
            let _ = writeln!(source, "const export{number} = instance.exports[{name}];");
            let _ = writeln!(source, "export {{ export{number} as {name} }};");
        }
        source
    }
}

/// Whether a module asks the import with this number for more than its default export.
pub(crate) fn is_instance_wanted(record: &ModuleRecord, number: u32) -> bool {
    let is_used = |symbol: u32| {
        let slots = record.parts.iter().flat_map(|part| &part.code.slots);
        let mut mentions = slots.filter_map(|(_, slot)| match slot {
            Slot::Name(found) | Slot::Callee(found) | Slot::Object(found) => Some(*found),
            _ => None,
        });
        mentions.any(|found| found == symbol) || record.exports.iter().any(|export| export.symbol == symbol)
    };
    let mut symbols = (0u32..).zip(&record.symbols);
    symbols.any(|(symbol, found)| match &found.binding {
        Binding::Imported { import, name } if *import == number => match name {
            ImportName::Named(name) => name != "default",
            // As a value. What is read of it has a symbol of its own.
            ImportName::Namespace => is_used(symbol),
        },
        _ => false,
    })
}

/// A place in the bytes.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    /// An unsigned LEB128 number of 32 bits.
    fn number(&mut self) -> Option<u32> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).ok();
            }
        }
        None
    }

    fn take(&mut self, length: u32) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length as usize)?;
        self.bytes = rest;
        Some(taken)
    }

    fn name(&mut self) -> Option<String> {
        let length = self.number()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    /// A number of any width, whose value does not matter.
    fn skip_number(&mut self) -> Option<()> {
        while self.byte()? & 0x80 != 0 {}
        Some(())
    }

    /// Types of references may name another type.
    fn skip_type(&mut self) -> Option<()> {
        if matches!(self.byte()?, 0x63 | 0x64) { self.skip_number() } else { Some(()) }
    }

    fn skip_limits(&mut self) -> Option<()> {
        let flags = self.byte()?;
        // The least; the most, where there is one; the size of a page, where it is another.
        let numbers = 1 + u32::from(flags & 1 != 0) + u32::from(flags & 8 != 0);
        (0..numbers).try_for_each(|_| self.skip_number())
    }

    /// What is imported: a function, a table, a memory, a global or a tag.
    fn skip_description(&mut self) -> Option<()> {
        match self.byte()? {
            0 => self.skip_number(),
            1 => self.skip_type().and_then(|()| self.skip_limits()),
            2 => self.skip_limits(),
            3 => self.skip_type().and_then(|()| self.byte()).map(drop),
            4 => self.byte().and_then(|_| self.skip_number()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // (import "./a.js" "f" (func)), (import "env" "memory" (memory 1 2)), (import "./a.js" "g" (global i32)),
    // (export "run" (func 0)), (export "a-b" (memory 0))
    const MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\
        \x02\x27\x03\x06./a.js\x01f\0\0\x03env\x06memory\x02\x01\x01\x02\x06./a.js\x01g\x03\x7f\0\
        \x07\x0d\x02\x03run\0\0\x03a-b\x02\0";

    #[test]
    fn says_what_a_file_imports_and_exports() {
        let found = Interface::read(MODULE).unwrap();
        assert_eq!(found.modules.iter().collect::<Vec<_>>(), ["./a.js", "env"]);
        assert_eq!(found.exports, ["run", "a-b"]);
        let source = found.instance("x.wasm");
        assert!(source.contains("import * as import0 from \"./a.js\";"), "{source}");
        assert!(source.contains("export { export1 as \"a-b\" };"), "{source}");
    }

    #[test]
    fn broken_files_have_none() {
        for end in 0..MODULE.len() {
            // Cut between sections it is a shorter module.
            let cut = Interface::read(&MODULE[..end]);
            assert!(cut.is_none_or(|cut| cut.exports.is_empty()), "{end}");
        }
        assert_eq!(Interface::read(b"\0asm\x02\0\0\0"), None);
        assert_eq!(Interface::read(b"\0asm\x01\0\0\0\x07\xff\xff\xff\xff\x0f"), None);
    }
}
