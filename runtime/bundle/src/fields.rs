//! Class fields as assignments: what `useDefineForClassFields: false` means. Public fields become assignments in the
//! constructor, after the parameter properties, which they may read; static ones become assignments in a static block.
//! Private fields stay: they cannot be assigned before they are defined. Runs while the types are still there.

use swc_common::{DUMMY_SP, Mark, SyntaxContext, util::take::Take};
use swc_ecma_ast::{
    AssignExpr, AssignOp, AssignTarget, BlockStmt, CallExpr, Callee, Class, ClassMember, ClassProp,
    ComputedPropName, Constructor, Expr, ExprOrSpread, ExprStmt, FunctionBody, Ident, IdentName, Lit,
    MemberExpr, MemberProp, Param, ParamOrTsParamProp, Pat, PropName, RestPat, SimpleAssignTarget,
    StaticBlock, Stmt, Super, ThisExpr, TsParamPropParam,
};
use swc_ecma_visit::{VisitMut, VisitMutWith, noop_visit_mut_type};

/// The visitor.
pub(crate) struct AssignFields;

impl VisitMut for AssignFields {
    noop_visit_mut_type!();

    fn visit_mut_expr(&mut self, expr: &mut Expr) {
        stacker::maybe_grow(64 * 1024, 1024 * 1024, || expr.visit_mut_children_with(self));
    }

    fn visit_mut_class(&mut self, class: &mut Class) {
        class.visit_mut_children_with(self);
        let place = class.body.iter().find_map(|member| match member {
            ClassMember::Constructor(constructor) if constructor.body.is_some() => {
                Some(after_super(constructor))
            }
            _ => None,
        });
        // `super()` inside of an expression: there is no place for the assignments.
        if place == Some(None) && class.super_class.is_some() {
            return;
        }
        let mut assignments = Vec::new();
        let mut body = Vec::with_capacity(class.body.len());
        for member in std::mem::take(&mut class.body) {
            match member {
                ClassMember::ClassProp(property) if is_plain(&property) => {
                    let is_static = property.is_static;
                    let Some(statement) = assignment(property) else { continue };
                    if is_static {
                        let block = BlockStmt { stmts: vec![statement], ..Default::default() };
                        body.push(ClassMember::StaticBlock(StaticBlock { span: DUMMY_SP, body: block }));
                    } else {
                        assignments.push(statement);
                    }
                }
                other => body.push(other),
            }
        }
        class.body = body;
        insert(class, assignments);
    }
}

/// A field whose key need not be computed when the class is made.
fn is_plain(property: &ClassProp) -> bool {
    let key = match &property.key {
        PropName::Computed(computed) => matches!(&*computed.expr, Expr::Lit(_)),
        _ => true,
    };
    key && !property.declare && !property.is_abstract && property.decorators.is_empty()
}

/// `this.key = value;`, if there is a value.
fn assignment(property: ClassProp) -> Option<Stmt> {
    let right = property.value?;
    let prop = match property.key {
        PropName::Ident(name) => MemberProp::Ident(name),
        PropName::Str(text) => computed(Lit::Str(text)),
        PropName::Num(number) => computed(Lit::Num(number)),
        PropName::BigInt(number) => computed(Lit::BigInt(number)),
        PropName::Computed(name) => MemberProp::Computed(name),
    };
    Some(assign(property.span, prop, right))
}

fn computed(literal: Lit) -> MemberProp {
    MemberProp::Computed(ComputedPropName { span: DUMMY_SP, expr: Box::new(Expr::Lit(literal)) })
}

fn assign(span: swc_common::Span, prop: MemberProp, right: Box<Expr>) -> Stmt {
    let this = Box::new(Expr::This(ThisExpr { span: DUMMY_SP }));
    let member = MemberExpr { span: DUMMY_SP, obj: this, prop };
    let left = AssignTarget::Simple(SimpleAssignTarget::Member(member));
    let expr = Box::new(Expr::Assign(AssignExpr { span, op: AssignOp::Assign, left, right }));
    Stmt::Expr(ExprStmt { span, expr })
}

/// The statement behind `super(...)`.
fn after_super(constructor: &Constructor) -> Option<usize> {
    let body = constructor.body.as_ref()?;
    let is_super = |stmt: &Stmt| {
        let Stmt::Expr(stmt) = stmt else { return false };
        matches!(&*stmt.expr, Expr::Call(CallExpr { callee: Callee::Super(_), .. }))
    };
    body.stmts.iter().position(is_super).map(|at| at + 1)
}

fn insert(class: &mut Class, assignments: Vec<Stmt>) {
    let found = class.body.iter_mut().find_map(|member| match member {
        ClassMember::Constructor(constructor) if constructor.body.is_some() => Some(constructor),
        _ => None,
    });
    let Some(constructor) = found else {
        if !assignments.is_empty() {
            let made = constructor(class.super_class.is_some(), assignments);
            class.body.insert(0, ClassMember::Constructor(made));
        }
        return;
    };
    let at = after_super(constructor).unwrap_or_else(|| directives(constructor));
    let mut statements = parameter_properties(constructor);
    statements.extend(assignments);
    if let Some(body) = &mut constructor.body {
        body.stmts.splice(at..at, statements);
    }
}

fn directives(constructor: &Constructor) -> usize {
    let statements = constructor.body.iter().flat_map(|body| &body.stmts);
    statements
        .take_while(|stmt| matches!(stmt, Stmt::Expr(stmt) if matches!(&*stmt.expr, Expr::Lit(Lit::Str(_)))))
        .count()
}

/// `constructor(private x = 1)` becomes `constructor(x = 1)`; gives `this.x = x`.
fn parameter_properties(constructor: &mut Constructor) -> Vec<Stmt> {
    let mut statements = Vec::new();
    for param in &mut constructor.params {
        let ParamOrTsParamProp::TsParamProp(property) = param else { continue };
        let pattern = match &mut property.param {
            TsParamPropParam::Ident(ident) => Pat::Ident(ident.take()),
            TsParamPropParam::Assign(assign) => Pat::Assign(assign.clone()),
        };
        let id = match &pattern {
            Pat::Ident(ident) => Some(ident.id.clone()),
            Pat::Assign(assign) => assign.left.as_ident().map(|ident| ident.id.clone()),
            _ => None,
        };
        if let Some(id) = id {
            let name = MemberProp::Ident(IdentName::new(id.sym.clone(), DUMMY_SP));
            statements.push(assign(
                id.span,
                name,
                Box::new(Expr::Ident(Ident::new(id.sym, id.span, id.ctxt))),
            ));
        }
        let decorators = std::mem::take(&mut property.decorators);
        *param = ParamOrTsParamProp::Param(Param { span: property.span, decorators, pat: pattern });
    }
    statements
}

fn constructor(is_derived: bool, assignments: Vec<Stmt>) -> Constructor {
    let mut params = Vec::new();
    let mut stmts = Vec::new();
    if is_derived {
        let context = SyntaxContext::empty().apply_mark(Mark::new());
        let args = || Ident::new("args".into(), DUMMY_SP, context);
        let rest =
            RestPat { span: DUMMY_SP, dot3_token: DUMMY_SP, arg: Box::new(args().into()), type_ann: None };
        params.push(ParamOrTsParamProp::Param(Param::from(Pat::Rest(rest))));
        let spread = ExprOrSpread { spread: Some(DUMMY_SP), expr: Box::new(args().into()) };
        let call = CallExpr {
            callee: Callee::Super(Super { span: DUMMY_SP }),
            args: vec![spread],
            ..Default::default()
        };
        stmts.push(Stmt::Expr(ExprStmt { span: DUMMY_SP, expr: Box::new(Expr::Call(call)) }));
    }
    stmts.extend(assignments);
    Constructor {
        span: DUMMY_SP,
        key: PropName::Ident(IdentName::new("constructor".into(), DUMMY_SP)),
        params,
        body: Some(FunctionBody { stmts, ..Default::default() }),
        ..Default::default()
    }
}
