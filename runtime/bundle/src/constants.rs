//! Constants: refuses assignments to `const` and to imports, in whatever form. The bundle declares them with `var`, so
//! that nothing would refuse them when they run. Looks at the source's own tree, before anything is compiled.

use rustc_hash::FxHashMap;
use swc_common::{Span, SyntaxContext};
use swc_ecma_ast::{
    AssignExpr, AssignPatProp, AssignTarget, ClassDecl, ClassExpr, Expr, ForHead, Ident, ImportDecl,
    ImportSpecifier, ObjectPatProp, Pat, Program, SimpleAssignTarget, TsImportEqualsDecl, UpdateExpr,
    UsingDecl, VarDecl, VarDeclKind,
};
use swc_ecma_utils::find_pat_ids;
use swc_ecma_visit::{Visit, VisitWith, noop_visit_type};

type Id = (swc_atoms::Atom, SyntaxContext);

#[derive(Default)]
struct Constants {
    /// What each name is; every scope has a context of its own.
    names: FxHashMap<Id, &'static str>,
    written: Vec<(Id, Span)>,
    /// Classes around this place, whose names are constants in here only.
    classes: Vec<Id>,
    written_inside: Vec<(Id, Span)>,
}

/// Every assignment to a constant, by its place.
pub(crate) fn written(program: &Program, start: u32) -> Vec<(u32, String)> {
    let mut constants = Constants::default();
    program.visit_with(&mut constants);
    let Constants { names, written, written_inside, .. } = constants;
    let outside = written.into_iter().filter_map(|(id, span)| Some((*names.get(&id)?, id, span)));
    let inside = written_inside.into_iter().map(|(id, span)| ("a constant", id, span));
    let mut problems: Vec<_> = outside
        .chain(inside)
        .map(|(what, (name, _), span)| {
            (span.lo.0.saturating_sub(start), format!("Cannot assign to `{name}`: it is {what}"))
        })
        .collect();
    problems.sort_unstable();
    problems
}

impl Constants {
    fn write(&mut self, ident: &Ident) {
        let id = ident.to_id();
        let list = if self.classes.contains(&id) { &mut self.written_inside } else { &mut self.written };
        list.push((id, ident.span));
    }

    /// A name that is assigned to, below parentheses and casts.
    fn target(&mut self, expr: &Expr) {
        match expr {
            Expr::Ident(ident) => self.write(ident),
            Expr::Paren(inner) => self.target(&inner.expr),
            Expr::TsAs(inner) => self.target(&inner.expr),
            Expr::TsNonNull(inner) => self.target(&inner.expr),
            Expr::TsSatisfies(inner) => self.target(&inner.expr),
            Expr::TsTypeAssertion(inner) => self.target(&inner.expr),
            Expr::TsConstAssertion(inner) => self.target(&inner.expr),
            _ => {}
        }
    }

    fn pattern(&mut self, pattern: &Pat) {
        match pattern {
            Pat::Ident(name) => self.write(&name.id),
            Pat::Expr(expr) => self.target(expr),
            Pat::Assign(assign) => self.pattern(&assign.left),
            Pat::Rest(rest) => self.pattern(&rest.arg),
            Pat::Array(array) => array.elems.iter().flatten().for_each(|element| self.pattern(element)),
            Pat::Object(object) => object.props.iter().for_each(|property| match property {
                ObjectPatProp::Assign(AssignPatProp { key, .. }) => self.write(&key.id),
                ObjectPatProp::KeyValue(pair) => self.pattern(&pair.value),
                ObjectPatProp::Rest(rest) => self.pattern(&rest.arg),
            }),
            Pat::Invalid(_) => {}
        }
    }

    fn simple(&mut self, target: &SimpleAssignTarget) {
        match target {
            SimpleAssignTarget::Ident(name) => self.write(&name.id),
            SimpleAssignTarget::Paren(inner) => self.target(&inner.expr),
            SimpleAssignTarget::TsAs(inner) => self.target(&inner.expr),
            SimpleAssignTarget::TsNonNull(inner) => self.target(&inner.expr),
            SimpleAssignTarget::TsSatisfies(inner) => self.target(&inner.expr),
            SimpleAssignTarget::TsTypeAssertion(inner) => self.target(&inner.expr),
            _ => {}
        }
    }

    fn declare(&mut self, pattern: &Pat) {
        for id in find_pat_ids::<_, Ident>(pattern) {
            self.names.insert(id.to_id(), "a constant");
        }
    }
}

impl Visit for Constants {
    noop_visit_type!();

    fn visit_expr(&mut self, expr: &Expr) {
        stacker::maybe_grow(64 * 1024, 1024 * 1024, || expr.visit_children_with(self));
    }

    fn visit_var_decl(&mut self, var: &VarDecl) {
        if var.kind == VarDeclKind::Const && !var.declare {
            var.decls.iter().for_each(|declarator| self.declare(&declarator.name));
        }
        var.visit_children_with(self);
    }

    fn visit_using_decl(&mut self, using: &UsingDecl) {
        using.decls.iter().for_each(|declarator| self.declare(&declarator.name));
        using.visit_children_with(self);
    }

    fn visit_import_decl(&mut self, import: &ImportDecl) {
        for specifier in &import.specifiers {
            let is_type = matches!(specifier, ImportSpecifier::Named(named) if named.is_type_only);
            if !import.type_only && !is_type {
                self.names.insert(specifier.local().to_id(), "an import");
            }
        }
    }

    fn visit_ts_import_equals_decl(&mut self, import: &TsImportEqualsDecl) {
        if !import.is_type_only {
            self.names.insert(import.id.to_id(), "a constant");
        }
    }

    fn visit_class_decl(&mut self, class: &ClassDecl) {
        self.classes.push(class.ident.to_id());
        class.class.visit_with(self);
        self.classes.pop();
    }

    fn visit_class_expr(&mut self, class: &ClassExpr) {
        self.classes.extend(class.ident.as_ref().map(Ident::to_id));
        class.class.visit_with(self);
        if class.ident.is_some() {
            self.classes.pop();
        }
    }

    fn visit_assign_expr(&mut self, assign: &AssignExpr) {
        match &assign.left {
            AssignTarget::Simple(target) => self.simple(target),
            AssignTarget::Pat(pattern) => self.pattern(&pattern.clone().into()),
        }
        assign.visit_children_with(self);
    }

    fn visit_update_expr(&mut self, update: &UpdateExpr) {
        self.target(&update.arg);
        update.visit_children_with(self);
    }

    fn visit_for_head(&mut self, head: &ForHead) {
        if let ForHead::Pat(pattern) = head {
            self.pattern(pattern);
        }
        head.visit_children_with(self);
    }
}
