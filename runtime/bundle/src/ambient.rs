//! Ambient declarations: `declare const HOST: string` promises that something outside defines the name. It has to go
//! before the scopes are resolved, or the name would seem to be the module's own, and no define would replace it.

use swc_ecma_ast::{Decl, ModuleItem, Program, Stmt};

/// Removes them from the top level.
pub(crate) fn remove(program: &mut Program) {
    match program {
        Program::Module(module) => {
            module.body.retain(|item| !matches!(item, ModuleItem::Stmt(stmt) if is_ambient(stmt)));
        }
        Program::Script(script) => script.body.retain(|stmt| !is_ambient(stmt)),
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
