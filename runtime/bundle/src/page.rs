//! Pages: whether a file is sure to fail when it is loaded outside of one, because a statement of its top level uses
//! `window`, `document` or another thing that only pages have, without asking first whether it is there, or refuses to go on
//! without it. Such a file, and one that loads it in any case, is not the right one of its package for a room; `graph::pages`
//! looks for another.

use rustc_hash::FxHashMap;
use swc_common::SyntaxContext;
use swc_ecma_ast::{
    ArrowExpr, BinExpr, BinaryOp, CallExpr, Callee, Class, CondExpr, Decl, ExportDecl, Expr, FnDecl,
    Function, Ident, IfStmt, Lit, ModuleDecl, ModuleItem, OptChainBase, OptChainExpr, Program, Stmt,
    SwitchStmt, TryStmt, UnaryExpr, UnaryOp,
};
use swc_ecma_visit::{Visit, VisitWith, noop_visit_type};

use crate::rewrite::Id;

/// Global names of pages that no room has.
const NAMES: [&str; 24] = [
    "alert",
    "Audio",
    "customElements",
    "document",
    "DOMParser",
    "Element",
    "FileReader",
    "getComputedStyle",
    "history",
    "HTMLElement",
    "Image",
    "indexedDB",
    "localStorage",
    "location",
    "matchMedia",
    "MutationObserver",
    "Node",
    "requestAnimationFrame",
    "screen",
    "sessionStorage",
    "window",
    "Worker",
    "XMLHttpRequest",
    "XMLSerializer",
];

/// What loading a program does in any case. It looks not into branches and `try`, and into functions only where they are
/// declared in the file and called in any case.
pub(crate) struct Certain<'a> {
    unresolved: SyntaxContext,
    functions: FxHashMap<Id, &'a Function>,
    /// It takes for granted that there is a page.
    pub(crate) needs_page: bool,
    /// What it requires.
    pub(crate) required: Vec<String>,
}

impl<'a> Certain<'a> {
    /// Looks through a program whose scopes are resolved.
    pub(crate) fn of(program: &'a Program, unresolved: SyntaxContext) -> Self {
        let functions = declared(program).map(|found| (found.ident.to_id(), &*found.function)).collect();
        let mut certain = Self { unresolved, functions, needs_page: false, required: Vec::new() };
        program.visit_with(&mut certain);
        certain
    }

    /// The statements of a function that is called, as far as all of them run.
    fn enter(&mut self, function: &Function) {
        let statements = function.body.iter().filter(|_| !function.is_async && !function.is_generator);
        for stmt in statements.flat_map(|body| &body.stmts) {
            stmt.visit_with(self);
            let goes_on = match stmt {
                Stmt::Expr(_) | Stmt::Decl(_) => true,
                Stmt::If(found) => found.alt.is_none() && is_throw(&found.cons),
                _ => false,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Whether a test finds that something of pages is not there.
    fn is_absence(&self, test: &Expr) -> bool {
        let Expr::Bin(BinExpr { op, left, right, .. }) = test else { return false };
        let wanted: &[&str] = match op {
            BinaryOp::LogicalOr => return self.is_absence(left) || self.is_absence(right),
            BinaryOp::EqEq | BinaryOp::EqEqEq => &["undefined"],
            BinaryOp::NotEq | BinaryOp::NotEqEq => &["function", "object"],
            _ => return false,
        };
        let Expr::Unary(UnaryExpr { op: UnaryOp::TypeOf, arg, .. }) = &**left else { return false };
        let Expr::Lit(Lit::Str(text)) = &**right else { return false };
        matches!(&**arg, Expr::Ident(ident) if self.is_page(ident))
            && text.value.as_str().is_some_and(|text| wanted.contains(&text))
    }

    fn is_page(&self, ident: &Ident) -> bool {
        self.is_free(ident) && NAMES.contains(&&*ident.sym)
    }

    fn is_free(&self, ident: &Ident) -> bool {
        ident.ctxt == self.unresolved
    }
}

/// The functions that a program declares at its top level.
fn declared(program: &Program) -> impl Iterator<Item = &FnDecl> {
    let (items, stmts) = match program {
        Program::Module(module) => (module.body.as_slice(), [].as_slice()),
        Program::Script(script) => ([].as_slice(), script.body.as_slice()),
    };
    let of_items = items.iter().filter_map(|item| match item {
        ModuleItem::Stmt(Stmt::Decl(Decl::Fn(found))) => Some(found),
        ModuleItem::ModuleDecl(ModuleDecl::ExportDecl(ExportDecl { decl: Decl::Fn(found), .. })) => {
            Some(found)
        }
        _ => None,
    });
    let of_stmts = stmts.iter().filter_map(|stmt| match stmt {
        Stmt::Decl(Decl::Fn(found)) => Some(found),
        _ => None,
    });
    of_items.chain(of_stmts)
}

fn is_throw(stmt: &Stmt) -> bool {
    match stmt {
        Stmt::Throw(_) => true,
        Stmt::Block(block) => matches!(block.stmts.as_slice(), [Stmt::Throw(_)]),
        _ => false,
    }
}

impl Visit for Certain<'_> {
    noop_visit_type!();

    fn visit_expr(&mut self, expr: &Expr) {
        if let Expr::Ident(ident) = expr {
            self.needs_page |= self.is_page(ident);
            return;
        }
        stacker::maybe_grow(64 * 1024, 1024 * 1024, || expr.visit_children_with(self));
    }

    fn visit_call_expr(&mut self, call: &CallExpr) {
        let called = match &call.callee {
            Callee::Expr(callee) => callee.as_ident(),
            _ => None,
        };
        // Once each, so that functions which call each other have an end.
        if let Some(function) = called.and_then(|ident| self.functions.remove(&ident.to_id())) {
            self.enter(function);
        }
        if let Some(ident) = called
            && self.is_free(ident)
            && &*ident.sym == "require"
            && let Some(Expr::Lit(Lit::Str(specifier))) = call.args.first().map(|argument| &*argument.expr)
        {
            self.required.extend(specifier.value.as_str().map(str::to_string));
        }
        call.visit_children_with(self);
    }

    fn visit_stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Expr(_)
            | Stmt::Decl(_)
            | Stmt::Block(_)
            | Stmt::If(_)
            | Stmt::Switch(_)
            | Stmt::Throw(_)
            | Stmt::Return(_) => stmt.visit_children_with(self),
            _ => {}
        }
    }

    fn visit_if_stmt(&mut self, stmt: &IfStmt) {
        self.needs_page |= is_throw(&stmt.cons) && self.is_absence(&stmt.test);
        stmt.test.visit_with(self);
    }

    fn visit_switch_stmt(&mut self, stmt: &SwitchStmt) {
        stmt.discriminant.visit_with(self);
    }

    fn visit_cond_expr(&mut self, expr: &CondExpr) {
        expr.test.visit_with(self);
    }

    fn visit_bin_expr(&mut self, expr: &BinExpr) {
        expr.left.visit_with(self);
        let is_branch =
            [BinaryOp::LogicalAnd, BinaryOp::LogicalOr, BinaryOp::NullishCoalescing].contains(&expr.op);
        if !is_branch {
            expr.right.visit_with(self);
        }
    }

    fn visit_unary_expr(&mut self, expr: &UnaryExpr) {
        if expr.op != UnaryOp::TypeOf || !expr.arg.is_ident() {
            expr.arg.visit_with(self);
        }
    }

    fn visit_opt_chain_expr(&mut self, expr: &OptChainExpr) {
        match &*expr.base {
            OptChainBase::Member(member) => member.obj.visit_with(self),
            OptChainBase::Call(call) => call.callee.visit_with(self),
        }
    }

    fn visit_class(&mut self, class: &Class) {
        class.super_class.visit_with(self);
    }

    fn visit_function(&mut self, _: &Function) {}
    fn visit_arrow_expr(&mut self, _: &ArrowExpr) {}
    fn visit_try_stmt(&mut self, _: &TryStmt) {}
    fn visit_getter_prop(&mut self, _: &swc_ecma_ast::GetterProp) {}
    fn visit_setter_prop(&mut self, _: &swc_ecma_ast::SetterProp) {}
}

#[cfg(test)]
mod tests {
    use swc_common::{FileName, GLOBALS, Globals, Mark, SourceMap, sync::Lrc};
    use swc_ecma_ast::{EsVersion, Pass};
    use swc_ecma_parser::{Syntax, parse_file_as_program};
    use swc_ecma_transforms_base::resolver;

    use super::*;

    fn certain(source: &str) -> (bool, Vec<String>) {
        GLOBALS.set(&Globals::new(), || {
            let map: Lrc<SourceMap> = Lrc::default();
            let file = map.new_source_file(FileName::Anon.into(), source.to_string());
            let parsed =
                parse_file_as_program(&file, Syntax::default(), EsVersion::EsNext, None, &mut Vec::new());
            let mut program = parsed.unwrap();
            let (unresolved, top) = (Mark::new(), Mark::new());
            resolver(unresolved, top, false).process(&mut program);
            let found = Certain::of(&program, SyntaxContext::empty().apply_mark(unresolved));
            (found.needs_page, found.required)
        })
    }

    fn needs(source: &str) -> bool {
        certain(source).0
    }

    #[test]
    fn what_is_required_in_any_case_is_told_from_the_rest() {
        let source =
            "const a = require('a'); require('b').c(); if (x) require('d'); try { require('e'); } catch {}
            function f() { require('g'); } (function (require) { require('h'); })();";
        assert_eq!(certain(source).1, ["a", "b"]);
    }

    #[test]
    fn what_is_taken_for_granted_needs_a_page() {
        for source in [
            "const parser = new DOMParser();",
            "export const root = document.body;",
            "(function (w) { w.x = 1; })(window);",
            "class X extends HTMLElement {}",
            "if (window.x) { y(); }",
            "const x = window?.x, y = 1;",
            "if (typeof document === 'undefined') throw new Error('no page');",
            "function load() { if (typeof XMLHttpRequest !== 'function') { throw x; } return 1; } run(load());",
            "export function a() { return b(); } function b() { a(); x(); return window.y; } a();",
        ] {
            assert!(needs(source), "{source}");
        }
    }

    #[test]
    fn what_is_asked_for_first_does_not() {
        for source in [
            "const isPage = typeof window !== 'undefined' && window.document !== undefined;",
            "export function parse(text) { return new DOMParser().parse(text); }",
            "try { window.x = 1; } catch {}",
            "const root = typeof document === 'object' ? document.body : null;",
            "const window = {}; window.x = 1;",
            "globalThis.window; self.document; x.location; ({ document: 1, screen() {} });",
            "function load() { if (!x) return; window.y(); } load(); async function later() { window.x; } later();",
            "if (typeof document === 'undefined') { x = 1; } else { y = document.body; }",
            "const load = () => localStorage.x; class Store { get = window; }",
        ] {
            assert!(!needs(source), "{source}");
        }
    }
}
