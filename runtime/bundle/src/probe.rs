//! Probing: one look at the parsed tree, before anything is changed, to learn which passes a module needs and which
//! module system it was written for. TypeScript's type-only imports still count as module syntax here.

use swc_common::{DUMMY_SP, Span, SyntaxContext};
use swc_ecma_ast::{
    ArrowExpr, AutoAccessor, AwaitExpr, Class, Decl, Decorator, ForOfStmt, Function, Ident, JSXElement,
    JSXFragment, MetaPropExpr, MetaPropKind, ModuleDecl, ModuleItem, Program, ReturnStmt, Stmt, UsingDecl,
};
use swc_ecma_visit::{Visit, VisitMut, VisitWith, noop_visit_type};

/// What a module contains.
#[derive(Default)]
pub(crate) struct Probe {
    /// `import`, `export` or `import.meta`.
    pub(crate) module_syntax: bool,
    /// `export` or `import.meta`: nothing that CommonJS code can contain.
    pub(crate) exports: bool,
    pub(crate) top_level_await: bool,
    pub(crate) top_level_return: bool,
    pub(crate) top_level_using: bool,
    pub(crate) decorators: bool,
    pub(crate) accessors: bool,
    pub(crate) jsx: bool,
    /// `this` of the module itself: in CommonJS it is `module.exports`.
    pub(crate) top_level_this: bool,
    /// The most functions inside each other.
    pub(crate) scopes_max: u32,
    depth: u32,
    this_depth: u32,
}

impl Probe {
    /// Looks through a whole program.
    pub(crate) fn of(program: &Program) -> Self {
        let mut probe = Self::default();
        let using = |stmt: &Stmt| matches!(stmt, Stmt::Decl(Decl::Using(_)));
        probe.top_level_using = match program {
            Program::Module(module) => {
                module.body.iter().any(|item| matches!(item, ModuleItem::Stmt(stmt) if using(stmt)))
            }
            Program::Script(script) => script.body.iter().any(using),
        };
        program.visit_with(&mut probe);
        probe
    }

    fn inside(&mut self, visit: impl FnOnce(&mut Self)) {
        self.depth += 1;
        self.scopes_max = self.scopes_max.max(self.depth);
        visit(self);
        self.depth -= 1;
    }
}

impl Visit for Probe {
    noop_visit_type!();

    fn visit_expr(&mut self, expr: &swc_ecma_ast::Expr) {
        stacker::maybe_grow(64 * 1024, 1024 * 1024, || expr.visit_children_with(self));
    }

    fn visit_module_decl(&mut self, decl: &ModuleDecl) {
        // `import x = require()` and `export =` are CommonJS in TypeScript's clothes.
        if !matches!(decl, ModuleDecl::TsImportEquals(_) | ModuleDecl::TsExportAssignment(_)) {
            self.module_syntax = true;
            self.exports |= !matches!(decl, ModuleDecl::Import(_));
        }
        if matches!(decl, ModuleDecl::TsImportEquals(import) if import.is_export) {
            (self.module_syntax, self.exports) = (true, true);
        }
        decl.visit_children_with(self);
    }

    fn visit_meta_prop_expr(&mut self, meta: &MetaPropExpr) {
        self.module_syntax |= meta.kind == MetaPropKind::ImportMeta;
        self.exports |= meta.kind == MetaPropKind::ImportMeta;
    }

    fn visit_await_expr(&mut self, expr: &AwaitExpr) {
        self.top_level_await |= self.depth == 0;
        expr.visit_children_with(self);
    }

    fn visit_for_of_stmt(&mut self, stmt: &ForOfStmt) {
        self.top_level_await |= stmt.is_await && self.depth == 0;
        stmt.visit_children_with(self);
    }

    fn visit_using_decl(&mut self, decl: &UsingDecl) {
        self.top_level_await |= decl.is_await && self.depth == 0;
        decl.visit_children_with(self);
    }

    fn visit_return_stmt(&mut self, stmt: &ReturnStmt) {
        self.top_level_return |= self.depth == 0;
        stmt.visit_children_with(self);
    }

    fn visit_decorator(&mut self, decorator: &Decorator) {
        self.decorators = true;
        decorator.visit_children_with(self);
    }

    fn visit_auto_accessor(&mut self, accessor: &AutoAccessor) {
        self.accessors = true;
        accessor.visit_children_with(self);
    }

    fn visit_jsx_element(&mut self, element: &JSXElement) {
        self.jsx = true;
        element.visit_children_with(self);
    }

    fn visit_jsx_fragment(&mut self, fragment: &JSXFragment) {
        self.jsx = true;
        fragment.visit_children_with(self);
    }

    fn visit_this_expr(&mut self, _: &swc_ecma_ast::ThisExpr) {
        self.top_level_this |= self.this_depth == 0;
    }

    fn visit_function(&mut self, function: &Function) {
        self.this_depth += 1;
        self.inside(|this| function.visit_children_with(this));
        self.this_depth -= 1;
    }

    fn visit_constructor(&mut self, constructor: &swc_ecma_ast::Constructor) {
        self.this_depth += 1;
        self.inside(|this| constructor.visit_children_with(this));
        self.this_depth -= 1;
    }

    fn visit_getter_prop(&mut self, getter: &swc_ecma_ast::GetterProp) {
        self.this_depth += 1;
        self.inside(|this| getter.visit_children_with(this));
        self.this_depth -= 1;
    }

    fn visit_setter_prop(&mut self, setter: &swc_ecma_ast::SetterProp) {
        self.this_depth += 1;
        self.inside(|this| setter.visit_children_with(this));
        self.this_depth -= 1;
    }

    fn visit_arrow_expr(&mut self, arrow: &ArrowExpr) {
        self.inside(|this| arrow.visit_children_with(this));
    }

    fn visit_class(&mut self, class: &Class) {
        class.decorators.visit_with(self);
        class.super_class.visit_with(self);
        self.this_depth += 1;
        self.inside(|this| class.body.visit_with(this));
        self.this_depth -= 1;
    }
}

/// Whether the module's own `exports`, `module` or `require` objects are mentioned.
pub(crate) struct CommonJsUse {
    unresolved: SyntaxContext,
    pub(crate) found: bool,
}

impl CommonJsUse {
    pub(crate) fn new(unresolved: SyntaxContext) -> Self {
        Self { unresolved, found: false }
    }
}

impl Visit for CommonJsUse {
    noop_visit_type!();

    fn visit_ident(&mut self, ident: &Ident) {
        self.found |= ident.ctxt == self.unresolved && matches!(&*ident.sym, "exports" | "module");
    }
}

/// Makes a parsed snippet look like generated code: no positions, and names that no scope binds.
pub(crate) struct Generated {
    pub(crate) unresolved: SyntaxContext,
}

impl VisitMut for Generated {
    fn visit_mut_span(&mut self, span: &mut Span) {
        *span = DUMMY_SP;
    }

    fn visit_mut_syntax_context(&mut self, context: &mut SyntaxContext) {
        *context = self.unresolved;
    }
}
