//! Hoisting: a `var` inside a block of module code belongs to the module. Such declarations become assignments here and
//! their names move to the top level, so that a wrapped module can declare them outside of its wrapper.

use swc_common::{DUMMY_SP, util::take::Take};
use swc_ecma_ast::{
    AssignExpr, AssignOp, AssignTarget, BindingIdent, Decl, EmptyStmt, Expr, ExprStmt, ForHead, Ident, Pat,
    SeqExpr, Stmt, VarDecl, VarDeclKind, VarDeclOrExpr, VarDeclarator,
};
use swc_ecma_utils::find_pat_ids;
use swc_ecma_visit::{VisitMut, VisitMutWith, noop_visit_mut_type};

/// Rewrites the nested `var` declarations of a statement and returns their names as declarators.
pub(crate) fn lift_vars(stmt: &mut Stmt) -> Vec<VarDeclarator> {
    let mut lift = Lift { names: Vec::new() };
    stmt.visit_mut_with(&mut lift);
    let mut seen = rustc_hash::FxHashSet::default();
    let names = lift.names.into_iter().filter(|id| seen.insert(id.to_id()));
    names
        .map(|id| VarDeclarator {
            span: DUMMY_SP,
            name: Pat::Ident(BindingIdent { id, type_ann: None }),
            init: None,
            definite: false,
        })
        .collect()
}

struct Lift {
    names: Vec<Ident>,
}

impl Lift {
    /// The assignments that a declaration makes, if it makes any.
    fn assignments(&mut self, var: &mut VarDecl) -> Option<Box<Expr>> {
        self.names.extend(find_pat_ids::<_, Ident>(&var.decls));
        let mut exprs = Vec::new();
        for declarator in std::mem::take(&mut var.decls) {
            let Some(right) = declarator.init else { continue };
            let Ok(left) = AssignTarget::try_from(declarator.name) else { continue };
            exprs.push(Box::new(Expr::Assign(AssignExpr {
                span: declarator.span,
                op: AssignOp::Assign,
                left,
                right,
            })));
        }
        match exprs.len() {
            0 => None,
            1 => exprs.pop(),
            _ => Some(Box::new(Expr::Seq(SeqExpr { span: var.span, exprs }))),
        }
    }
}

impl VisitMut for Lift {
    noop_visit_mut_type!();

    // `var` does not leave functions and classes, and cannot be inside other expressions.
    fn visit_mut_expr(&mut self, _: &mut Expr) {}
    fn visit_mut_function(&mut self, _: &mut swc_ecma_ast::Function) {}
    fn visit_mut_class(&mut self, _: &mut swc_ecma_ast::Class) {}

    fn visit_mut_stmt(&mut self, stmt: &mut Stmt) {
        if let Stmt::Decl(Decl::Var(var)) = stmt
            && var.kind == VarDeclKind::Var
        {
            let span = var.span;
            *stmt = match self.assignments(var) {
                Some(expr) => Stmt::Expr(ExprStmt { span, expr }),
                None => Stmt::Empty(EmptyStmt { span }),
            };
            return;
        }
        stacker::maybe_grow(64 * 1024, 1024 * 1024, || stmt.visit_mut_children_with(self));
    }

    fn visit_mut_var_decl_or_expr(&mut self, head: &mut VarDeclOrExpr) {
        if let VarDeclOrExpr::VarDecl(var) = head
            && var.kind == VarDeclKind::Var
        {
            // An empty head: `for (var i; ...)` has nothing to assign.
            let nothing = || Box::new(Expr::Lit(swc_ecma_ast::Lit::Num(0.0.into())));
            *head = VarDeclOrExpr::Expr(self.assignments(var).unwrap_or_else(nothing));
        }
    }

    fn visit_mut_for_head(&mut self, head: &mut ForHead) {
        if let ForHead::VarDecl(var) = head
            && var.kind == VarDeclKind::Var
        {
            self.names.extend(find_pat_ids::<_, Ident>(&var.decls));
            if let Some(declarator) = var.decls.first_mut() {
                *head = ForHead::Pat(Box::new(declarator.name.take()));
            }
        }
    }
}
