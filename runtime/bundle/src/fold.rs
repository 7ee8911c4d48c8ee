//! Defines and dead branches: replaces what the configuration defines (spec 6.2), then removes the branches that are
//! thereby known not to run, so that nothing in them is resolved or bundled. It runs after the types are stripped.

use rustc_hash::FxHashMap;
use swc_common::{DUMMY_SP, SyntaxContext, util::take::Take};
use swc_ecma_ast::{
    BinExpr, BinaryOp, BindingIdent, Bool, Decl, Expr, IdentName, KeyValueProp, Lit, MemberExpr, MemberProp,
    Number, Pat, Prop, PropName, Stmt, Str, UnaryOp, VarDecl, VarDeclKind, VarDeclarator,
};
use swc_ecma_visit::{Visit, VisitMut, VisitMutWith, VisitWith, noop_visit_mut_type, noop_visit_type};

/// Longer member chains are not looked up: each link of a chain asks, so the cost would grow with its square.
const DEFINE_SEGMENTS_MAX: u32 = 16;

/// Parsed defines by dotted name.
pub(crate) type Defines = FxHashMap<String, Box<Expr>>;

/// The visitor; `unresolved` marks names that no scope of the module binds.
pub(crate) struct Fold<'a> {
    pub(crate) defines: &'a Defines,
    pub(crate) unresolved: SyntaxContext,
}

/// The value of an expression, as far as a branch can depend on it.
#[derive(Clone, PartialEq)]
enum Known {
    Text(String),
    Number(f64),
    Bool(bool),
    Null,
    Undefined,
}

impl Known {
    fn truthy(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::Bool(value) => *value,
            Self::Null | Self::Undefined => false,
        }
    }

    fn nullish(&self) -> bool {
        matches!(self, Self::Null | Self::Undefined)
    }
}

impl Fold<'_> {
    fn define_for(&self, expr: &Expr) -> Option<Box<Expr>> {
        if self.defines.is_empty() {
            return None;
        }
        let name = match expr {
            Expr::Ident(ident) if ident.ctxt == self.unresolved => ident.sym.to_string(),
            Expr::Member(member) => self.dotted(member, DEFINE_SEGMENTS_MAX)?,
            _ => return None,
        };
        self.defines.get(&name).cloned()
    }

    fn dotted(&self, member: &MemberExpr, segments: u32) -> Option<String> {
        let segments = segments.checked_sub(1)?;
        let property = match &member.prop {
            MemberProp::Ident(IdentName { sym, .. }) => sym.to_string(),
            MemberProp::Computed(computed) => match &*computed.expr {
                Expr::Lit(Lit::Str(text)) => text.value.as_str()?.to_string(),
                _ => return None,
            },
            MemberProp::PrivateName(_) => return None,
        };
        let object = match &*member.obj {
            Expr::Ident(ident) if ident.ctxt == self.unresolved => ident.sym.to_string(),
            Expr::Member(inner) => self.dotted(inner, segments)?,
            Expr::MetaProp(_) => "import.meta".to_string(),
            _ => return None,
        };
        Some(format!("{object}.{property}"))
    }

    fn known(&self, expr: &Expr) -> Option<Known> {
        match expr {
            Expr::Paren(paren) => self.known(&paren.expr),
            Expr::Lit(Lit::Str(text)) => Some(Known::Text(text.value.as_str()?.to_string())),
            Expr::Lit(Lit::Num(number)) => Some(Known::Number(number.value)),
            Expr::Lit(Lit::Bool(value)) => Some(Known::Bool(value.value)),
            Expr::Lit(Lit::Null(_)) => Some(Known::Null),
            Expr::Ident(ident) if ident.ctxt == self.unresolved && &*ident.sym == "undefined" => {
                Some(Known::Undefined)
            }
            Expr::Unary(unary) if unary.op == UnaryOp::Void && matches!(&*unary.arg, Expr::Lit(_)) => {
                Some(Known::Undefined)
            }
            Expr::Unary(unary) if unary.op == UnaryOp::TypeOf => self.type_of(&unary.arg),
            _ => None,
        }
    }

    /// `require` exists for every bundled module, so `typeof require` is decided here.
    fn type_of(&self, expr: &Expr) -> Option<Known> {
        match expr {
            Expr::Ident(ident) if ident.ctxt == self.unresolved && &*ident.sym == "require" => {
                Some(Known::Text("function".into()))
            }
            Expr::Lit(Lit::Str(_)) => Some(Known::Text("string".into())),
            Expr::Lit(Lit::Num(_)) => Some(Known::Text("number".into())),
            Expr::Lit(Lit::Bool(_)) => Some(Known::Text("boolean".into())),
            _ => None,
        }
    }

    fn fold_binary(&self, binary: &mut BinExpr) -> Option<Expr> {
        let left = self.known(&binary.left)?;
        match binary.op {
            BinaryOp::LogicalAnd if left.truthy() => return Some(*binary.right.take()),
            BinaryOp::LogicalAnd => return Some(*binary.left.take()),
            BinaryOp::LogicalOr if left.truthy() => return Some(*binary.left.take()),
            BinaryOp::LogicalOr => return Some(*binary.right.take()),
            BinaryOp::NullishCoalescing if left.nullish() => return Some(*binary.right.take()),
            BinaryOp::NullishCoalescing => return Some(*binary.left.take()),
            _ => {}
        }
        let right = self.known(&binary.right)?;
        let same_kind = std::mem::discriminant(&left) == std::mem::discriminant(&right);
        let value = match binary.op {
            BinaryOp::EqEqEq => left == right,
            BinaryOp::NotEqEq => left != right,
            BinaryOp::EqEq if same_kind => left == right,
            BinaryOp::NotEq if same_kind => left != right,
            _ => return None,
        };
        Some(Expr::Lit(Lit::Bool(Bool { span: binary.span, value })))
    }

    fn fold(&self, expr: &mut Expr) -> Option<Expr> {
        match expr {
            Expr::Bin(binary) => self.fold_binary(binary),
            Expr::Unary(unary) if unary.op == UnaryOp::Bang => {
                let value = !self.known(&unary.arg)?.truthy();
                Some(Expr::Lit(Lit::Bool(Bool { span: unary.span, value })))
            }
            Expr::Unary(unary) if unary.op == UnaryOp::TypeOf => match self.type_of(&unary.arg)? {
                Known::Text(text) => {
                    Some(Expr::Lit(Lit::Str(Str { span: unary.span, value: text.into(), raw: None })))
                }
                _ => None,
            },
            Expr::Cond(cond) => {
                let test = self.known(&cond.test)?.truthy();
                Some(if test { *cond.cons.take() } else { *cond.alt.take() })
            }
            Expr::Paren(paren) if matches!(&*paren.expr, Expr::Lit(_)) => Some(*paren.expr.take()),
            _ => None,
        }
    }
}

/// A function value taken out of a member or call keeps no receiver when a branch is folded away:
/// `(true && a.b)()` must not become `a.b()`. Such callees are left alone.
fn is_callee_like(expr: &Expr) -> bool {
    matches!(expr, Expr::Member(_) | Expr::OptChain(_) | Expr::SuperProp(_))
        || matches!(expr, Expr::Ident(ident) if &*ident.sym == "eval")
}

impl VisitMut for Fold<'_> {
    noop_visit_mut_type!();

    fn visit_mut_expr(&mut self, expr: &mut Expr) {
        stacker::maybe_grow(64 * 1024, 1024 * 1024, || {
            if let Some(value) = self.define_for(expr) {
                *expr = *value;
                return;
            }
            expr.visit_mut_children_with(self);
            if let Some(folded) = self.fold(expr) {
                *expr = if is_callee_like(&folded) {
                    Expr::Seq(swc_ecma_ast::SeqExpr {
                        span: DUMMY_SP,
                        exprs: vec![
                            Box::new(Expr::Lit(Lit::Num(Number { span: DUMMY_SP, value: 0.0, raw: None }))),
                            Box::new(folded),
                        ],
                    })
                } else {
                    folded
                };
            }
        });
    }

    fn visit_mut_prop(&mut self, prop: &mut Prop) {
        // `{ NAME }`
        if let Prop::Shorthand(ident) = prop
            && let Some(value) = self.define_for(&Expr::Ident(ident.clone()))
        {
            *prop = Prop::KeyValue(KeyValueProp { key: PropName::Ident(ident.clone().into()), value });
            return;
        }
        prop.visit_mut_children_with(self);
    }

    fn visit_mut_stmt(&mut self, stmt: &mut Stmt) {
        let Stmt::If(branch) = stmt else {
            stmt.visit_mut_children_with(self);
            return;
        };
        branch.test.visit_mut_with(self);
        let Some(test) = self.known(&branch.test).map(|value| value.truthy()) else {
            branch.cons.visit_mut_with(self);
            branch.alt.visit_mut_with(self);
            return;
        };
        let alternative = branch.alt.take();
        let consequence = branch.cons.take();
        let (kept, dropped) =
            if test { (Some(consequence), alternative) } else { (alternative, Some(consequence)) };
        let mut kept = kept.map_or_else(Stmt::dummy, |stmt| *stmt);
        kept.visit_mut_with(self);
        let names = dropped.map(|stmt| var_names(&stmt)).unwrap_or_default();
        *stmt = if names.is_empty() {
            kept
        } else {
            let hoisted = VarDecl { kind: VarDeclKind::Var, decls: names, ..Default::default() };
            Stmt::Block(swc_ecma_ast::BlockStmt {
                stmts: vec![Stmt::Decl(Decl::Var(Box::new(hoisted))), kept],
                ..Default::default()
            })
        };
    }
}

/// The `var` names that a dropped statement would have declared for its function.
fn var_names(stmt: &Stmt) -> Vec<VarDeclarator> {
    struct Names(Vec<VarDeclarator>);
    impl Visit for Names {
        noop_visit_type!();
        fn visit_function(&mut self, _: &swc_ecma_ast::Function) {}
        fn visit_arrow_expr(&mut self, _: &swc_ecma_ast::ArrowExpr) {}
        fn visit_class(&mut self, _: &swc_ecma_ast::Class) {}
        fn visit_expr(&mut self, _: &Expr) {}
        fn visit_var_decl(&mut self, decl: &VarDecl) {
            if decl.kind != VarDeclKind::Var {
                return;
            }
            for id in swc_ecma_utils::find_pat_ids::<_, swc_ecma_ast::Ident>(&decl.decls) {
                let name = Pat::Ident(BindingIdent { id, type_ann: None });
                self.0.push(VarDeclarator { span: DUMMY_SP, name, init: None, definite: false });
            }
        }
    }
    let mut names = Names(Vec::new());
    stmt.visit_with(&mut names);
    names.0
}
