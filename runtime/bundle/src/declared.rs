//! Declarations: refuses a name that is declared twice in one scope. The parser does not look for it, and the engine
//! would refuse the whole bundle, without saying which file is meant.

use rustc_hash::FxHashMap;
use swc_common::{Span, SyntaxContext};
use swc_ecma_ast::{
    ClassDecl, FnDecl, Function, Ident, ImportSpecifier, Pat, Program, UsingDecl, VarDecl, VarDeclKind,
};
use swc_ecma_utils::find_pat_ids;
use swc_ecma_visit::{Visit, VisitWith, noop_visit_type};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `let`, `const`, `class`, `import`: the only declaration of its name.
    Lexical,
    /// `var`, functions and parameters: any number.
    Var,
}

struct Declared {
    start: u32,
    /// Every scope has a context of its own, so that names need no scopes here.
    names: FxHashMap<(swc_atoms::Atom, SyntaxContext), Kind>,
    problems: Vec<(u32, String)>,
}

/// Every second declaration.
pub(crate) fn repeated(program: &Program, start: u32) -> Vec<(u32, String)> {
    let mut declared = Declared { start, names: FxHashMap::default(), problems: Vec::new() };
    program.visit_with(&mut declared);
    declared.problems
}

impl Declared {
    fn add(&mut self, id: &Ident, kind: Kind) {
        // Names without a position were made by a transform.
        if id.span.is_dummy() {
            return;
        }
        match self.names.get(&id.to_id()) {
            Some(known) if *known == Kind::Lexical || kind == Kind::Lexical => {
                let Span { lo, .. } = id.span;
                let message = format!("`{}` has already been declared", id.sym);
                self.problems.push((lo.0.saturating_sub(self.start), message));
            }
            _ => drop(self.names.insert(id.to_id(), kind)),
        }
    }

    fn pattern(&mut self, pattern: &Pat, kind: Kind) {
        for id in find_pat_ids::<_, Ident>(pattern) {
            self.add(&id, kind);
        }
    }
}

impl Visit for Declared {
    noop_visit_type!();

    fn visit_expr(&mut self, expr: &swc_ecma_ast::Expr) {
        stacker::maybe_grow(64 * 1024, 1024 * 1024, || expr.visit_children_with(self));
    }

    fn visit_var_decl(&mut self, var: &VarDecl) {
        let kind = if var.kind == VarDeclKind::Var { Kind::Var } else { Kind::Lexical };
        for declarator in &var.decls {
            self.pattern(&declarator.name, kind);
        }
        var.visit_children_with(self);
    }

    fn visit_using_decl(&mut self, using: &UsingDecl) {
        for declarator in &using.decls {
            self.pattern(&declarator.name, Kind::Lexical);
        }
        using.visit_children_with(self);
    }

    fn visit_class_decl(&mut self, class: &ClassDecl) {
        self.add(&class.ident, Kind::Lexical);
        class.visit_children_with(self);
    }

    fn visit_fn_decl(&mut self, function: &FnDecl) {
        self.add(&function.ident, Kind::Var);
        function.visit_children_with(self);
    }

    fn visit_import_specifier(&mut self, specifier: &ImportSpecifier) {
        self.add(specifier.local(), Kind::Lexical);
    }

    fn visit_function(&mut self, function: &Function) {
        // The function of a compiled namespace has the namespace itself as its parameter, which may be a class.
        let ids = function.params.iter().flat_map(|param| find_pat_ids::<_, Ident>(&param.pat));
        let params: Vec<Ident> = ids.filter(|id| !self.names.contains_key(&id.to_id())).collect();
        for id in params {
            self.add(&id, Kind::Var);
        }
        function.visit_children_with(self);
    }
}
