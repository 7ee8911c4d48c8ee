//! Class fields as assignments: what `useDefineForClassFields: false` means. Fields become assignments in the
//! constructor, in their order and after the parameter properties, which they may read; static ones become assignments
//! in a static block. A private field stays as a declaration without its value, since it cannot be assigned before it
//! is defined. A computed key is kept in a variable when the class is made. Runs while the types are still there.

use swc_common::{DUMMY_SP, Mark, SyntaxContext, util::take::Take};
use swc_ecma_ast::{
    ArrowExpr, ArrowFunctionBody, AssignExpr, AssignOp, AssignTarget, AwaitExpr, BlockStmt, CallExpr, Callee,
    Class, ClassMember, ClassProp, ComputedPropName, Constructor, EmptyStmt, Expr, ExprOrSpread, ExprStmt,
    FunctionBody, Ident, IdentName, Key, Lit, MemberExpr, MemberProp, ModuleItem, Param, ParamOrTsParamProp,
    Pat, PropName, RestPat, ReturnStmt, SeqExpr, SimpleAssignTarget, StaticBlock, Stmt, Super, ThisExpr,
    TsParamPropParam, VarDecl, VarDeclKind, VarDeclarator, YieldExpr,
};
use swc_ecma_utils::{StmtLike, StmtLikeInjector, prepend_stmt, private_ident};
use swc_ecma_visit::{Visit, VisitMut, VisitMutWith, VisitWith, noop_visit_mut_type, noop_visit_type};

/// The visitor.
#[derive(Default)]
pub(crate) struct AssignFields {
    /// Variables of computed keys that the list of statements around this place has to declare.
    keys: Vec<Ident>,
}

impl AssignFields {
    /// Visits one list of statements and declares what its classes need: each round of a loop has keys of its own.
    fn statements<T: StmtLike + VisitMutWith<Self>>(&mut self, statements: &mut Vec<T>)
    where
        Vec<T>: StmtLikeInjector<T>,
    {
        let outer = std::mem::take(&mut self.keys);
        for statement in statements.iter_mut() {
            statement.visit_mut_with(self);
        }
        let keys = std::mem::replace(&mut self.keys, outer);
        if !keys.is_empty() {
            prepend_stmt(statements, T::from(declare(keys)));
        }
    }

    /// Moves the key of a field into a variable that is set where the key stood: in front of the next computed key,
    /// or in a static block if there is none. Not every key can stand there; such a field keeps its place.
    fn take_key(&mut self, property: &mut ClassProp, rest: &mut [ClassMember]) -> Option<ClassMember> {
        let PropName::Computed(name) = &mut property.key else { return None };
        let next = rest.iter_mut().find_map(computed_key);
        if next.is_none() && is_bound_to_place(&name.expr) {
            return None;
        }
        let key = private_ident!("key");
        let set = AssignExpr {
            span: name.span,
            op: AssignOp::Assign,
            left: AssignTarget::Simple(SimpleAssignTarget::Ident(key.clone().into())),
            right: std::mem::replace(&mut name.expr, Box::new(key.clone().into())),
        };
        self.keys.push(key);
        let set = Box::new(Expr::Assign(set));
        let Some(next) = next else {
            let stmts = vec![Stmt::Expr(ExprStmt { span: name.span, expr: set })];
            let body = BlockStmt { stmts, ..Default::default() };
            return Some(ClassMember::StaticBlock(StaticBlock { span: DUMMY_SP, body }));
        };
        let exprs = vec![set, next.expr.take()];
        *next.expr = Expr::Seq(SeqExpr { span: DUMMY_SP, exprs });
        Some(ClassMember::Empty(EmptyStmt { span: DUMMY_SP }))
    }
}

impl VisitMut for AssignFields {
    noop_visit_mut_type!();

    fn visit_mut_expr(&mut self, expr: &mut Expr) {
        stacker::maybe_grow(64 * 1024, 1024 * 1024, || expr.visit_mut_children_with(self));
    }

    fn visit_mut_module_items(&mut self, items: &mut Vec<ModuleItem>) {
        self.statements(items);
    }

    fn visit_mut_stmts(&mut self, stmts: &mut Vec<Stmt>) {
        self.statements(stmts);
    }

    /// An arrow function without a list of statements gets one if a class in it needs a variable.
    fn visit_mut_arrow_expr(&mut self, arrow: &mut ArrowExpr) {
        arrow.params.visit_mut_with(self);
        let outer = std::mem::take(&mut self.keys);
        arrow.body.visit_mut_with(self);
        let keys = std::mem::replace(&mut self.keys, outer);
        if let ArrowFunctionBody::Expr(value) = &mut *arrow.body
            && !keys.is_empty()
        {
            let result = ReturnStmt { span: DUMMY_SP, arg: Some(value.take()) };
            let stmts = vec![declare(keys), Stmt::Return(result)];
            *arrow.body = ArrowFunctionBody::FunctionBody(FunctionBody { span: arrow.span, stmts });
        }
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
        let mut at_start = Vec::new();
        let mut members = std::mem::take(&mut class.body);
        for at in 0..members.len() {
            let Some((member, rest)) = members.get_mut(at..).and_then(<[_]>::split_first_mut) else { break };
            match std::mem::replace(member, ClassMember::Empty(EmptyStmt { span: DUMMY_SP })) {
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
                ClassMember::ClassProp(mut property) if is_computed(&property) => {
                    match self.take_key(&mut property, rest) {
                        Some(ClassMember::Empty(_)) => assignments.extend(assignment(property)),
                        Some(block) => {
                            at_start.push(block);
                            assignments.extend(assignment(property));
                        }
                        None => body.push(ClassMember::ClassProp(property)),
                    }
                }
                ClassMember::PrivateProp(mut property)
                    if !property.is_static && property.decorators.is_empty() =>
                {
                    let name = MemberProp::PrivateName(property.key.clone());
                    let value = property.value.take();
                    assignments.extend(value.map(|value| assign(property.span, name, value)));
                    body.push(ClassMember::PrivateProp(property));
                }
                other => body.push(other),
            }
        }
        body.splice(0..0, at_start);
        class.body = body;
        insert(class, assignments);
    }
}

/// A field whose key need not be computed when the class is made.
fn is_plain(property: &ClassProp) -> bool {
    !has_computed_key(property) && is_field(property)
}

/// A field of instances whose key is computed when the class is made.
fn is_computed(property: &ClassProp) -> bool {
    has_computed_key(property) && is_field(property) && !property.is_static
}

fn is_field(property: &ClassProp) -> bool {
    !property.declare && !property.is_abstract && property.decorators.is_empty()
}

fn has_computed_key(property: &ClassProp) -> bool {
    is_evaluated(&property.key)
}

/// Whether a key is evaluated when the class is made.
pub(crate) fn is_evaluated(key: &PropName) -> bool {
    matches!(key, PropName::Computed(computed) if !computed.expr.is_lit())
}

fn computed_key(member: &mut ClassMember) -> Option<&mut ComputedPropName> {
    let key = match member {
        ClassMember::Method(method) if method.function.body.is_some() => &mut method.key,
        ClassMember::ClassProp(property) if is_field(property) => &mut property.key,
        ClassMember::AutoAccessor(accessor) => match &mut accessor.key {
            Key::Public(name) => name,
            Key::Private(_) => return None,
        },
        _ => return None,
    };
    key.as_mut_computed()
}

/// Whether an expression means something else, or nothing, inside of a static block.
fn is_bound_to_place(expr: &Expr) -> bool {
    struct Bound(bool);
    impl Visit for Bound {
        noop_visit_type!();
        fn visit_this_expr(&mut self, _: &ThisExpr) {
            self.0 = true;
        }
        fn visit_super(&mut self, _: &Super) {
            self.0 = true;
        }
        fn visit_await_expr(&mut self, _: &AwaitExpr) {
            self.0 = true;
        }
        fn visit_yield_expr(&mut self, _: &YieldExpr) {
            self.0 = true;
        }
        fn visit_ident(&mut self, ident: &Ident) {
            self.0 |= &*ident.sym == "arguments";
        }
    }
    let mut bound = Bound(false);
    expr.visit_with(&mut bound);
    bound.0
}

/// `let key, key2;`
fn declare(keys: Vec<Ident>) -> Stmt {
    let declarator = |key: Ident| VarDeclarator {
        span: DUMMY_SP,
        name: Pat::Ident(key.into()),
        init: None,
        definite: false,
    };
    let decls = keys.into_iter().map(declarator).collect();
    VarDecl { kind: VarDeclKind::Let, decls, ..Default::default() }.into()
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
