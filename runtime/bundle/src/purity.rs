//! Purity: which top-level statements may be left out when nothing uses what they declare. The rules are the ones that
//! bundlers agree on: functions, classes without surprises, literals, and calls marked `/* @__PURE__ */`.

use swc_common::{SyntaxContext, comments::Comments, comments::SingleThreadedComments};
use swc_ecma_ast::{
    ArrayPat, BinaryOp, Class, ClassMember, Decl, Expr, Lit, ModuleItem, ObjectLit, ObjectPatProp, Pat, Prop,
    PropName, PropOrSpread, Stmt, UnaryOp, VarDecl,
};

/// Decides about one module.
pub(crate) struct Purity<'a> {
    pub(crate) comments: &'a SingleThreadedComments,
    pub(crate) unresolved: SyntaxContext,
}

/// Constructors of the standard library that only make an object when they get nothing, or an array of plain values.
const PURE_CONSTRUCTORS: [&str; 4] = ["Map", "Set", "WeakMap", "WeakSet"];

/// Standard names whose reading cannot throw.
const PURE_GLOBALS: [&str; 40] = [
    "undefined",
    "NaN",
    "Infinity",
    "Array",
    "ArrayBuffer",
    "BigInt",
    "BigInt64Array",
    "BigUint64Array",
    "Boolean",
    "DataView",
    "Date",
    "Error",
    "EvalError",
    "Float32Array",
    "Float64Array",
    "Function",
    "Int16Array",
    "Int32Array",
    "Int8Array",
    "JSON",
    "Map",
    "Math",
    "Number",
    "Object",
    "Promise",
    "Proxy",
    "RangeError",
    "ReferenceError",
    "Reflect",
    "RegExp",
    "Set",
    "String",
    "Symbol",
    "SyntaxError",
    "TypeError",
    "Uint8Array",
    "WeakMap",
    "WeakSet",
    "globalThis",
    "console",
];

impl Purity<'_> {
    /// Whether the statement's evaluation cannot be noticed, apart from its declarations.
    pub(crate) fn item(&self, item: &ModuleItem) -> bool {
        match item {
            ModuleItem::Stmt(stmt) => self.statement(stmt),
            ModuleItem::ModuleDecl(_) => false,
        }
    }

    fn statement(&self, stmt: &Stmt) -> bool {
        match stmt {
            Stmt::Empty(_) | Stmt::Decl(Decl::Fn(_)) => true,
            Stmt::Decl(Decl::Class(class)) => self.class(&class.class),
            Stmt::Decl(Decl::Var(var)) => self.var(var),
            Stmt::Expr(statement) => self.expr(&statement.expr),
            Stmt::Block(block) => block.stmts.iter().all(|stmt| self.statement(stmt)),
            _ => false,
        }
    }

    fn var(&self, var: &VarDecl) -> bool {
        var.decls.iter().all(|declarator| match (&declarator.name, &declarator.init) {
            (_, None) => true,
            (Pat::Ident(_), Some(init)) => self.expr(init),
            (Pat::Array(pattern), Some(init)) => {
                matches!(&**init, Expr::Array(_)) && self.expr(init) && self.array_pattern(pattern)
            }
            (Pat::Object(pattern), Some(init)) => matches!(&**init, Expr::Object(_))
                && self.expr(init)
                && pattern.props.iter().all(
                    |property| matches!(property, ObjectPatProp::Assign(assign) if assign.value.is_none()),
                ),
            _ => false,
        })
    }

    fn array_pattern(&self, pattern: &ArrayPat) -> bool {
        pattern.elems.iter().flatten().all(|element| matches!(element, Pat::Ident(_)))
    }

    fn class(&self, class: &Class) -> bool {
        class.decorators.is_empty()
            && class
                .super_class
                .as_deref()
                .is_none_or(|base| matches!(base, Expr::Ident(_)) && self.expr(base))
            && class.body.iter().all(|member| match member {
                ClassMember::Method(method) => self.key(&method.key) && method.function.decorators.is_empty(),
                ClassMember::ClassProp(property) => {
                    self.key(&property.key)
                        && property.decorators.is_empty()
                        && (!property.is_static
                            || property.value.as_deref().is_none_or(|value| self.expr(value)))
                }
                ClassMember::PrivateProp(property) => {
                    property.decorators.is_empty()
                        && (!property.is_static
                            || property.value.as_deref().is_none_or(|value| self.expr(value)))
                }
                ClassMember::PrivateMethod(method) => method.function.decorators.is_empty(),
                ClassMember::Constructor(_) | ClassMember::Empty(_) | ClassMember::TsIndexSignature(_) => {
                    true
                }
                ClassMember::StaticBlock(block) => block.body.stmts.iter().all(|stmt| self.statement(stmt)),
                ClassMember::AutoAccessor(_) => false,
            })
    }

    fn key(&self, key: &PropName) -> bool {
        match key {
            PropName::Computed(computed) => {
                matches!(&*computed.expr, Expr::Lit(Lit::Str(_) | Lit::Num(_)))
                    || is_well_known_symbol(&computed.expr, self.unresolved)
            }
            _ => true,
        }
    }

    pub(crate) fn expr(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Lit(_) | Expr::Fn(_) | Expr::Arrow(_) | Expr::This(_) => true,
            Expr::Ident(ident) => ident.ctxt != self.unresolved || PURE_GLOBALS.contains(&&*ident.sym),
            Expr::Class(class) => self.class(&class.class),
            Expr::Paren(paren) => self.expr(&paren.expr),
            Expr::Tpl(template) => template.exprs.iter().all(|part| matches!(&**part, Expr::Lit(_))),
            Expr::Array(array) => array
                .elems
                .iter()
                .flatten()
                .all(|element| element.spread.is_none() && self.expr(&element.expr)),
            Expr::Object(object) => self.object(object),
            Expr::Cond(cond) => self.expr(&cond.test) && self.expr(&cond.cons) && self.expr(&cond.alt),
            Expr::Seq(sequence) => sequence.exprs.iter().all(|part| self.expr(part)),
            Expr::Unary(unary) => match unary.op {
                UnaryOp::TypeOf => self.expr(&unary.arg) || matches!(&*unary.arg, Expr::Ident(_)),
                UnaryOp::Void | UnaryOp::Bang => self.expr(&unary.arg),
                UnaryOp::Minus | UnaryOp::Plus | UnaryOp::Tilde => {
                    matches!(&*unary.arg, Expr::Lit(Lit::Num(_)))
                }
                UnaryOp::Delete => false,
            },
            Expr::Bin(binary) => match binary.op {
                BinaryOp::EqEqEq
                | BinaryOp::NotEqEq
                | BinaryOp::LogicalAnd
                | BinaryOp::LogicalOr
                | BinaryOp::NullishCoalescing => self.guarded_pair(&binary.left, &binary.right, binary.op),
                BinaryOp::In | BinaryOp::InstanceOf => false,
                _ => is_primitive(&binary.left) && is_primitive(&binary.right),
            },
            Expr::Call(call) => {
                self.is_marked(call.span)
                    && call.args.iter().all(|arg| arg.spread.is_none() && self.expr(&arg.expr))
            }
            Expr::New(new) => self.new_expr(new),
            Expr::Member(_) => is_well_known_symbol(expr, self.unresolved),
            _ => false,
        }
    }

    /// `typeof x !== "undefined" && x` reads a global only when it exists.
    fn guarded_pair(&self, left: &Expr, right: &Expr, op: BinaryOp) -> bool {
        if !self.expr(left) {
            return false;
        }
        let guarded = matches!(op, BinaryOp::LogicalAnd | BinaryOp::LogicalOr)
            && matches!(right, Expr::Ident(_))
            && matches!(left, Expr::Bin(test) if matches!(&*test.left, Expr::Unary(unary) if unary.op == UnaryOp::TypeOf));
        guarded || self.expr(right)
    }

    fn new_expr(&self, new: &swc_ecma_ast::NewExpr) -> bool {
        let args = new.args.as_deref().unwrap_or_default();
        if self.is_marked(new.span) {
            return args.iter().all(|arg| arg.spread.is_none() && self.expr(&arg.expr));
        }
        let Expr::Ident(callee) = &*new.callee else { return false };
        if callee.ctxt != self.unresolved || !PURE_CONSTRUCTORS.contains(&&*callee.sym) {
            return false;
        }
        match args {
            [] => true,
            [only] => match &*only.expr {
                Expr::Lit(Lit::Null(_)) => true,
                Expr::Array(array) => {
                    let keyed = &*callee.sym == "Map" || &*callee.sym == "WeakMap";
                    only.spread.is_none()
                        && self.expr(&only.expr)
                        && array
                            .elems
                            .iter()
                            .flatten()
                            .all(|element| !keyed || matches!(&*element.expr, Expr::Array(_)))
                }
                _ => false,
            },
            _ => false,
        }
    }

    fn object(&self, object: &ObjectLit) -> bool {
        object.props.iter().all(|property| match property {
            PropOrSpread::Spread(_) => false,
            PropOrSpread::Prop(property) => match &**property {
                Prop::Shorthand(ident) => self.expr(&Expr::Ident(ident.clone())),
                Prop::KeyValue(pair) => self.key(&pair.key) && self.expr(&pair.value),
                Prop::Method(method) => self.key(&method.key),
                Prop::Getter(getter) => self.key(&getter.key),
                Prop::Setter(setter) => self.key(&setter.key),
                Prop::Assign(_) => false,
            },
        })
    }

    fn is_marked(&self, span: swc_common::Span) -> bool {
        !span.is_dummy() && self.comments.has_flag(span.lo(), "PURE") || span.is_pure()
    }
}

fn is_primitive(expr: &Expr) -> bool {
    match expr {
        Expr::Lit(Lit::Str(_) | Lit::Num(_) | Lit::Bool(_) | Lit::Null(_)) => true,
        Expr::Paren(paren) => is_primitive(&paren.expr),
        Expr::Unary(unary) => {
            matches!(unary.op, UnaryOp::TypeOf)
                || matches!(unary.op, UnaryOp::Minus) && is_primitive(&unary.arg)
        }
        Expr::Bin(binary) => {
            !matches!(binary.op, BinaryOp::In | BinaryOp::InstanceOf)
                && is_primitive(&binary.left)
                && is_primitive(&binary.right)
        }
        Expr::Tpl(template) => template.exprs.iter().all(|part| is_primitive(part)),
        _ => false,
    }
}

fn is_well_known_symbol(expr: &Expr, unresolved: SyntaxContext) -> bool {
    let Expr::Member(member) = expr else { return false };
    matches!(&*member.obj, Expr::Ident(ident) if ident.ctxt == unresolved && &*ident.sym == "Symbol")
        && member.prop.is_ident()
}
