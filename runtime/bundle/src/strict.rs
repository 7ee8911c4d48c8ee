//! Strictness: the bundle is strict code, old scripts are not. What only sloppy code may say is rewritten to mean the
//! same, or refused where that is not possible: one such file would make the whole bundle unreadable to the engine.

use rustc_hash::FxHashSet;
use swc_common::{Mark, SyntaxContext};
use swc_ecma_ast::{
    AssignPatProp, Expr, Function, Ident, IdentName, KeyValuePatProp, KeyValueProp, Number, ObjectPatProp,
    Param, Pat, Prop, PropName, Str, UnaryExpr, UnaryOp, WithStmt,
};
use swc_ecma_utils::find_pat_ids;
use swc_ecma_visit::{VisitMut, VisitMutWith, noop_visit_mut_type};

/// Words that may name a variable in sloppy code only.
const STRICT_WORDS: [&str; 9] =
    ["implements", "interface", "let", "package", "private", "protected", "public", "static", "yield"];

/// The visitor; runs on scripts, after the scopes are resolved.
pub(crate) struct Strict {
    pub(crate) unresolved: SyntaxContext,
    pub(crate) start: u32,
    pub(crate) errors: Vec<(u32, String)>,
}

impl Strict {
    fn refuse(&mut self, span: swc_common::Span, what: &str) {
        let message = format!("{what} cannot be bundled: a bundle is strict code");
        self.errors.push((span.lo.0.saturating_sub(self.start), message));
    }

    fn is_word(&self, ident: &Ident) -> bool {
        ident.ctxt != self.unresolved && STRICT_WORDS.contains(&&*ident.sym)
    }

    /// Of several parameters with one name the last is meant; the others get names that nobody uses.
    fn parameters(patterns: Vec<&mut Pat>) {
        let mut seen = FxHashSet::default();
        for pattern in patterns.into_iter().rev() {
            let ids: Vec<Ident> = find_pat_ids(&*pattern);
            let is_new = ids.iter().all(|id| seen.insert(id.to_id()));
            if !is_new && let Pat::Ident(binding) = pattern {
                binding.id.ctxt = SyntaxContext::empty().apply_mark(Mark::new());
            }
        }
    }
}

impl VisitMut for Strict {
    noop_visit_mut_type!();

    fn visit_mut_expr(&mut self, expr: &mut Expr) {
        stacker::maybe_grow(64 * 1024, 1024 * 1024, || expr.visit_mut_children_with(self));
    }

    fn visit_mut_with_stmt(&mut self, stmt: &mut WithStmt) {
        self.refuse(stmt.span, "A `with` statement");
    }

    fn visit_mut_unary_expr(&mut self, unary: &mut UnaryExpr) {
        if unary.op == UnaryOp::Delete && unary.arg.is_ident() {
            self.refuse(unary.span, "`delete` of a variable");
        }
        unary.visit_mut_children_with(self);
    }

    /// `010` and `"\07"` are printed from their value.
    fn visit_mut_number(&mut self, number: &mut Number) {
        let is_octal =
            |raw: &str| raw.len() > 1 && raw.starts_with('0') && raw.bytes().all(|b| b.is_ascii_digit());
        if number.raw.as_deref().is_some_and(is_octal) {
            number.raw = None;
        }
    }

    fn visit_mut_str(&mut self, text: &mut Str) {
        let is_octal = |raw: &str| raw.as_bytes().windows(2).any(|pair| matches!(pair, [b'\\', b'0'..=b'9']));
        if text.raw.as_deref().is_some_and(is_octal) {
            text.raw = None;
        }
    }

    fn visit_mut_ident(&mut self, ident: &mut Ident) {
        if self.is_word(ident) {
            ident.sym = format!("{}_", ident.sym).into();
        }
    }

    fn visit_mut_prop(&mut self, prop: &mut Prop) {
        if let Prop::Shorthand(ident) = prop
            && self.is_word(ident)
        {
            let key = PropName::Ident(IdentName::new(ident.sym.clone(), ident.span));
            *prop = Prop::KeyValue(KeyValueProp { key, value: Box::new(Expr::Ident(ident.clone())) });
        }
        prop.visit_mut_children_with(self);
    }

    fn visit_mut_object_pat_prop(&mut self, prop: &mut ObjectPatProp) {
        if let ObjectPatProp::Assign(AssignPatProp { span, key, value }) = prop
            && self.is_word(&key.id)
        {
            let name = PropName::Ident(IdentName::new(key.id.sym.clone(), key.id.span));
            let target = Box::new(Pat::Ident(key.clone()));
            let pattern = match value.take() {
                Some(right) => Pat::Assign(swc_ecma_ast::AssignPat { span: *span, left: target, right }),
                None => *target,
            };
            *prop = ObjectPatProp::KeyValue(KeyValuePatProp { key: name, value: Box::new(pattern) });
        }
        prop.visit_mut_children_with(self);
    }

    fn visit_mut_function(&mut self, function: &mut Function) {
        Self::parameters(function.params.iter_mut().map(|Param { pat, .. }| pat).collect());
        function.visit_mut_children_with(self);
    }

    // Labels live in a namespace of their own, but `let:` and the like are not allowed either.
    fn visit_mut_labeled_stmt(&mut self, stmt: &mut swc_ecma_ast::LabeledStmt) {
        if STRICT_WORDS.contains(&&*stmt.label.sym) {
            self.refuse(stmt.span, "A label with a reserved name");
        }
        stmt.body.visit_mut_with(self);
    }
}
