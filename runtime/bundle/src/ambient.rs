//! Ambient declarations: `declare const HOST: string` promises that something outside defines the name. It has to go
//! before the scopes are resolved, or the name would seem to be the module's own, and no define would replace it.
//! `import {} from "./types"` names nothing that runs either.

use swc_ecma_ast::{Decl, ImportDecl, ModuleDecl, ModuleItem, Program, Stmt};

/// Removes them from the top level.
pub(crate) fn remove(program: &mut Program) {
    match program {
        Program::Module(module) => {
            module.body.retain(|item| !matches!(item, ModuleItem::Stmt(stmt) if is_ambient(stmt)));
        }
        Program::Script(script) => script.body.retain(|stmt| !is_ambient(stmt)),
    }
}

/// Removes the imports with an empty list of names. Their tree is that of `import "./x"`, only the text tells them apart.
pub(crate) fn remove_empty_imports(program: &mut Program, source: &str, start: u32) {
    let has_list = |import: &ImportDecl| {
        let offset = |at: swc_common::BytePos| at.0.saturating_sub(start) as usize;
        let text = source.get(offset(import.span.lo)..offset(import.src.span.lo));
        import.specifiers.is_empty() && text.is_some_and(|text| text.contains('{'))
    };
    if let Program::Module(module) = program {
        module.body.retain(
            |item| !matches!(item, ModuleItem::ModuleDecl(ModuleDecl::Import(import)) if has_list(import)),
        );
    }
}

fn is_ambient(stmt: &Stmt) -> bool {
    match stmt {
        Stmt::Decl(Decl::Var(var)) => var.declare,
        Stmt::Decl(Decl::Fn(function)) => function.declare,
        Stmt::Decl(Decl::Class(class)) => class.declare,
        Stmt::Decl(Decl::TsEnum(declared)) => declared.declare,
        Stmt::Decl(Decl::TsModule(module)) => module.declare,
        _ => false,
    }
}
