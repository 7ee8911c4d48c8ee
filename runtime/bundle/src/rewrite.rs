//! Rewriting: replaces every name of the module scope by a marker, and every `require`, `import()` and `import.meta`
//! by what the linker will fill in. It runs once per module, after all other transforms, and records what it saw.

use rustc_hash::FxHashMap;
use swc_atoms::Wtf8Atom;
use swc_common::{DUMMY_SP, Span, SyntaxContext, util::take::Take};
use swc_ecma_ast::{
    ArrayLit, AssignPatProp, BinExpr, BinaryOp, CallExpr, Callee, Expr, ExprOrSpread, Ident, IdentName,
    KeyValuePatProp, KeyValueProp, Lit, MemberExpr, MemberProp, MetaPropExpr, MetaPropKind, ObjectPatProp,
    Pat, Prop, PropName, Regex, ReturnStmt, Stmt, Str, TaggedTpl, TryStmt, UnaryExpr, UnaryOp,
};
use swc_ecma_visit::{VisitMut, VisitMutWith, noop_visit_mut_type};

use crate::marker::marker;
use crate::record::{Binding, Import, ImportKind, ImportName, Slot, Symbol};

/// An identifier of swc: the name and its scope.
pub(crate) type Id = (swc_atoms::Atom, SyntaxContext);

/// The module scope, as it is collected.
#[derive(Default)]
pub(crate) struct Scope {
    pub(crate) ids: FxHashMap<Id, u32>,
    pub(crate) symbols: Vec<Symbol>,
    pub(crate) imports: Vec<Import>,
    /// Properties by what they are read of.
    members: FxHashMap<(u32, String), u32>,
}

impl Scope {
    /// A new symbol that no identifier of the source names.
    pub(crate) fn add(&mut self, name: &str, binding: Binding) -> u32 {
        self.symbols.push(Symbol { name: name.to_string(), binding });
        self.symbols.len() as u32 - 1
    }

    /// The symbol of an identifier, made when it is first seen.
    pub(crate) fn declare(&mut self, id: &Ident) -> u32 {
        if let Some(symbol) = self.ids.get(&id.to_id()) {
            return *symbol;
        }
        let symbol = self.add(&id.sym, Binding::Local);
        self.ids.insert(id.to_id(), symbol);
        symbol
    }

    /// A symbol for `import { name as local } from`.
    pub(crate) fn import(&mut self, local: &Ident, import: u32, name: ImportName) {
        let symbol = self.add(&local.sym, Binding::Imported { import, name });
        self.ids.insert(local.to_id(), symbol);
    }

    /// One entry per specifier and kind.
    pub(crate) fn specifier(&mut self, import: Import) -> u32 {
        let same = |other: &Import| {
            other.specifier == import.specifier
                && other.kind == import.kind
                && other.guarded == import.guarded
                && other.pattern == import.pattern
        };
        if import.kind != ImportKind::Static
            && let Some(index) = self.imports.iter().position(same)
        {
            return index as u32;
        }
        self.imports.push(import);
        self.imports.len() as u32 - 1
    }

    /// `ns.property`, where `ns` is an imported namespace: the same as importing `property`.
    fn member(&mut self, namespace: u32, property: &str) -> Option<u32> {
        let Binding::Imported { import, name: ImportName::Namespace } =
            self.symbols.get(namespace as usize)?.binding
        else {
            return None;
        };
        let name = ImportName::Named(property.to_string());
        Some(self.member_of(namespace, property, Binding::Imported { import, name }))
    }

    /// `imported.property`, where `imported` may be a namespace that the other module passes on.
    fn property(&mut self, of: u32, property: &str) -> u32 {
        self.member_of(of, property, Binding::Property { of, name: property.to_string() })
    }

    fn member_of(&mut self, of: u32, property: &str, binding: Binding) -> u32 {
        let key = (of, property.to_string());
        if let Some(symbol) = self.members.get(&key) {
            return *symbol;
        }
        let symbol = self.add(property, binding);
        self.members.insert(key, symbol);
        symbol
    }

    fn is_imported(&self, symbol: u32) -> bool {
        self.symbols.get(symbol as usize).is_some_and(|symbol| symbol.binding != Binding::Local)
    }
}

/// The visitor. `scope` is empty for CommonJS modules, whose names stay inside their wrapper.
pub(crate) struct Rewriter<'a> {
    pub(crate) scope: &'a mut Scope,
    pub(crate) unresolved: SyntaxContext,
    pub(crate) start: u32,
    pub(crate) common_js: bool,
    /// The symbol of `import.meta`, once it was needed.
    pub(crate) meta: Option<u32>,
    /// Functions around this place that bind `this`.
    pub(crate) this_depth: u32,
    /// `try` blocks around this place, in this function.
    pub(crate) try_depth: u32,
}

impl Rewriter<'_> {
    fn marker(&self, slot: Slot, span: Span) -> Ident {
        Ident::new(marker(slot).into(), span, SyntaxContext::empty())
    }

    fn offset(&self, span: Span) -> u32 {
        span.lo.0.saturating_sub(self.start)
    }

    fn symbol(&self, ident: &Ident) -> Option<u32> {
        self.scope.ids.get(&ident.to_id()).copied()
    }

    fn is_free(&self, ident: &Ident, name: &str) -> bool {
        ident.ctxt == self.unresolved && &*ident.sym == name
    }

    /// The imported symbol that an expression reads, through a namespace or directly.
    fn imported(&mut self, expr: &Expr) -> Option<u32> {
        match expr {
            Expr::Ident(ident) => self.symbol(ident).filter(|symbol| self.scope.is_imported(*symbol)),
            Expr::Member(member) => self.namespace_member(member),
            _ => None,
        }
    }

    fn namespace_member(&mut self, member: &MemberExpr) -> Option<u32> {
        let Expr::Ident(object) = &*member.obj else { return None };
        let namespace = self.symbol(object)?;
        match &member.prop {
            MemberProp::Ident(IdentName { sym, .. }) => self.scope.member(namespace, sym),
            MemberProp::Computed(computed) => match &*computed.expr {
                Expr::Lit(Lit::Str(text)) => {
                    let name = text.value.as_str()?.to_string();
                    self.scope.member(namespace, &name)
                }
                _ => None,
            },
            MemberProp::PrivateName(_) => None,
        }
    }

    /// What `imported.a.b` reads: the symbol of the whole chain. The text keeps the properties, for the case that what
    /// was imported is no namespace, so that a call keeps its receiver and each of them its place in the source.
    fn property_chain(&mut self, member: &MemberExpr) -> Option<u32> {
        let MemberProp::Ident(IdentName { sym, .. }) = &member.prop else { return None };
        if !sym.is_ascii() {
            return None;
        }
        let of = match &*member.obj {
            Expr::Member(inner) => match self.namespace_member(inner) {
                Some(symbol) => symbol,
                None => self.property_chain(inner)?,
            },
            object => self.imported(object)?,
        };
        Some(self.scope.property(of, sym))
    }

    /// Puts the marker of a chain in place of what it begins with.
    fn mark_chain(&mut self, member: &mut MemberExpr, chain: u32) {
        match &mut *member.obj {
            Expr::Member(inner) if self.namespace_member(inner).is_none() => self.mark_chain(inner, chain),
            object => {
                let span = swc_common::Spanned::span(object);
                *object = Expr::Ident(self.marker(Slot::Object(chain), span));
            }
        }
    }

    fn import_entry(&mut self, specifier: &str, kind: ImportKind, span: Span) -> u32 {
        self.scope.specifier(Import {
            specifier: specifier.to_string(),
            kind,
            guarded: self.try_depth > 0,
            start: self.offset(span),
            pattern: None,
        })
    }

    /// `require("x")`, `require.resolve("x")` and `import("x")` become a call of a marker without arguments.
    fn rewrite_call(&mut self, call: &mut CallExpr) -> bool {
        match &call.callee {
            Callee::Import(_) => self.rewrite_dynamic(call),
            Callee::Expr(callee) => match &**callee {
                Expr::Ident(ident) if self.is_free(ident, "require") => {
                    let Some(specifier) = literal_argument(&call.args) else { return false };
                    let import = self.import_entry(&specifier, ImportKind::Require, call.span);
                    self.replace_callee(call, Slot::Require(import));
                    true
                }
                _ => false,
            },
            Callee::Super(_) => false,
        }
    }

    fn rewrite_dynamic(&mut self, call: &mut CallExpr) -> bool {
        let import = if let Some(specifier) = literal_argument(&call.args) {
            self.import_entry(&specifier, ImportKind::Dynamic, call.span)
        } else if let Some(pattern) = pattern_argument(&call.args) {
            self.scope.specifier(Import {
                specifier: pattern.join("*"),
                kind: ImportKind::Dynamic,
                guarded: self.try_depth > 0,
                start: self.offset(call.span),
                pattern: Some(pattern),
            })
        } else {
            // Nothing is known about the argument: it throws when it runs, as nothing else was bundled.
            call.callee =
                Callee::Expr(Box::new(Ident::new("__pk_dynamic".into(), call.span, self.unresolved).into()));
            call.args.truncate(1);
            return false;
        };
        let keep_argument =
            self.scope.imports.get(import as usize).is_some_and(|import| import.pattern.is_some());
        self.replace_callee(call, Slot::Dynamic(import));
        if keep_argument {
            if let Some(first) = original_argument(call) {
                first.visit_mut_with(self);
            }
            return true;
        }
        call.args.clear();
        true
    }

    fn replace_callee(&self, call: &mut CallExpr, slot: Slot) {
        call.callee = Callee::Expr(Box::new(Expr::Ident(self.marker(slot, call.span))));
        if matches!(slot, Slot::Require(_)) {
            call.args.clear();
        } else {
            call.args.truncate(1);
        }
    }

    /// A tag can see the raw text of its template, where an escape is not the character that it stands for. So a
    /// template with other characters than ASCII becomes a call with the same strings.
    fn ascii_template(&self, tagged: &mut TaggedTpl) -> Option<Expr> {
        if tagged.tpl.quasis.iter().all(|quasi| quasi.raw.is_ascii()) {
            return None;
        }
        let text = |value: Wtf8Atom| {
            Some(Box::new(Expr::Lit(Lit::Str(Str { span: DUMMY_SP, value, raw: None }))).into())
        };
        let list = |elems: Vec<Option<ExprOrSpread>>| {
            ExprOrSpread::from(Box::new(Expr::Array(ArrayLit { elems, ..Default::default() })))
        };
        let quasis = &tagged.tpl.quasis;
        // An invalid escape has no value: a hole reads as `undefined`.
        let cooked = quasis.iter().map(|quasi| text(quasi.cooked.clone()?)).collect();
        // An end of line is a line feed, however the file writes it.
        let line_feeds = |raw: &str| raw.replace("\r\n", "\n").replace('\r', "\n");
        let raw = quasis.iter().map(|quasi| text(line_feeds(&quasi.raw).as_str().into())).collect();
        let helper = Ident::new("__pk_template".into(), DUMMY_SP, self.unresolved);
        let strings = CallExpr {
            callee: Callee::Expr(Box::new(helper.into())),
            args: vec![list(cooked), list(raw)],
            ..Default::default()
        };
        let values = std::mem::take(&mut tagged.tpl.exprs).into_iter().map(ExprOrSpread::from);
        Some(Expr::Call(CallExpr {
            span: tagged.span,
            callee: Callee::Expr(tagged.tag.take()),
            args: std::iter::once(Box::new(Expr::Call(strings)).into()).chain(values).collect(),
            ..Default::default()
        }))
    }

    /// What a regular expression reads is seen in its `source`, and behind a backslash an escape would mean something else.
    /// So one with other characters than ASCII is made from a string.
    fn ascii_regex(&self, regex: &Regex) -> Expr {
        let text =
            |value: &swc_atoms::Atom| ExprOrSpread::from(Box::new(Expr::Lit(Lit::Str((&**value).into()))));
        let helper = Ident::new("__pk_regexp".into(), DUMMY_SP, self.unresolved);
        Expr::Call(CallExpr {
            span: regex.span,
            callee: Callee::Expr(Box::new(helper.into())),
            args: vec![text(&regex.exp), text(&regex.flags)],
            ..Default::default()
        })
    }

    fn rewrite_meta(&mut self, expr: &mut Expr) -> bool {
        let is_meta =
            |expr: &Expr| matches!(expr, Expr::MetaProp(MetaPropExpr { kind: MetaPropKind::ImportMeta, .. }));
        let span = match &*expr {
            Expr::Member(member) if is_meta(&member.obj) => match &member.prop {
                MemberProp::Ident(name) => match &*name.sym {
                    "url" => member.span,
                    "filename" => {
                        *expr = self.of_file("__pk_filename", member.span);
                        return true;
                    }
                    "dirname" => {
                        *expr = self.of_file("__pk_dirname", member.span);
                        return true;
                    }
                    _ => return false,
                },
                _ => return false,
            },
            Expr::MetaProp(meta) if meta.kind == MetaPropKind::ImportMeta => {
                let span = meta.span;
                let symbol = match self.meta {
                    Some(symbol) => symbol,
                    None => self.scope.add("import_meta", Binding::Local),
                };
                self.meta = Some(symbol);
                *expr = Expr::Ident(self.marker(Slot::Name(symbol), span));
                return true;
            }
            _ => return false,
        };
        *expr = Expr::Ident(self.marker(Slot::Url, span));
        true
    }

    /// What only modules of Node have, and what only pages have, where a program takes it for granted. Asking whether it is
    /// there (`typeof`) finds that it is not, as on the original.
    fn rewrite_surroundings(&mut self, expr: &mut Expr) -> bool {
        match expr {
            Expr::Ident(ident) if self.is_place(ident) => {
                let helper = if &*ident.sym == "__filename" { "__pk_filename" } else { "__pk_dirname" };
                let span = ident.span;
                *expr = self.of_file(helper, span);
            }
            Expr::Unary(UnaryExpr { op: UnaryOp::TypeOf, arg, .. }) => {
                return matches!(&**arg, Expr::Ident(ident) if self.is_place(ident));
            }
            Expr::Member(member) if self.try_depth == 0 && self.is_location(&member.obj) => {
                let location = Ident::new("__pk_location".into(), DUMMY_SP, self.unresolved);
                let left = member.obj.take();
                *member.obj = Expr::Bin(BinExpr {
                    op: BinaryOp::NullishCoalescing,
                    left,
                    right: Box::new(location.into()),
                    span: DUMMY_SP,
                });
                return false;
            }
            Expr::Call(call) if self.is_old_global(call) => {
                *expr = Expr::Ident(Ident::new("globalThis".into(), DUMMY_SP, self.unresolved));
            }
            _ => return false,
        }
        true
    }

    fn is_place(&self, ident: &Ident) -> bool {
        self.is_free(ident, "__filename") || self.is_free(ident, "__dirname")
    }

    /// The call of a helper with the URL of the file.
    fn of_file(&self, helper: &str, span: Span) -> Expr {
        let url = Box::new(Expr::Ident(self.marker(Slot::Url, span)));
        let helper = Ident::new(helper.into(), span, self.unresolved);
        Expr::Call(CallExpr {
            span,
            callee: Callee::Expr(Box::new(helper.into())),
            args: vec![url.into()],
            ..Default::default()
        })
    }

    /// How old programs ask for the global object: with `this` of a function that nobody calls as a method, which strict code
    /// does not bind, or by compiling a text, which no room may do.
    fn is_old_global(&self, call: &CallExpr) -> bool {
        let Callee::Expr(callee) = &call.callee else { return false };
        let mut callee = &**callee;
        while let Expr::Paren(inner) = callee {
            callee = &inner.expr;
        }
        let compiled = |made: &Expr, args: &[ExprOrSpread]| {
            matches!(made, Expr::Ident(ident) if self.is_free(ident, "Function"))
                && args.len() == 1
                && literal_argument(args).is_some_and(|text| text.trim_end_matches(';') == "return this")
        };
        call.args.is_empty()
            && match callee {
                Expr::Fn(found) => self.common_js && returns_this(&found.function),
                Expr::New(made) => compiled(&made.callee, made.args.as_deref().unwrap_or_default()),
                Expr::Call(CallExpr { callee: Callee::Expr(made), args, .. }) => compiled(made, args),
                _ => false,
            }
    }

    /// `self.location` or `globalThis.location`.
    fn is_location(&self, expr: &Expr) -> bool {
        let Expr::Member(MemberExpr { obj, prop: MemberProp::Ident(name), .. }) = expr else { return false };
        let is_global = |ident: &Ident| self.is_free(ident, "self") || self.is_free(ident, "globalThis");
        &*name.sym == "location" && matches!(&**obj, Expr::Ident(ident) if is_global(ident))
    }

    fn in_function(&mut self, visit: impl FnOnce(&mut Self)) {
        let tries = std::mem::take(&mut self.try_depth);
        self.this_depth += 1;
        visit(self);
        self.this_depth -= 1;
        self.try_depth = tries;
    }

    fn callee(&mut self, callee: &mut Box<Expr>) {
        if let Some(symbol) = self.imported(callee) {
            let span = swc_common::Spanned::span(callee);
            **callee = Expr::Ident(self.marker(Slot::Callee(symbol), span));
        } else {
            callee.visit_mut_with(self);
        }
    }
}

impl VisitMut for Rewriter<'_> {
    noop_visit_mut_type!();

    fn visit_mut_expr(&mut self, expr: &mut Expr) {
        if self.rewrite_meta(expr) || self.rewrite_surroundings(expr) {
            return;
        }
        match expr {
            Expr::Ident(ident) if self.is_free(ident, "require") => ident.sym = "__pk_require".into(),
            Expr::Call(call) => {
                if self.rewrite_call(call) {
                    return;
                }
                // `import("x").catch(...)` is as good as `try`.
                let guarded = u32::from(handles_rejection(call));
                self.try_depth += guarded;
                if let Callee::Expr(callee) = &mut call.callee {
                    self.callee(callee);
                }
                self.try_depth -= guarded;
                call.args.visit_mut_with(self);
            }
            Expr::TaggedTpl(tagged) => {
                self.callee(&mut tagged.tag);
                tagged.tpl.visit_mut_with(self);
                if let Some(call) = self.ascii_template(tagged) {
                    *expr = call;
                }
            }
            Expr::Lit(Lit::Regex(regex)) if !regex.exp.is_ascii() => *expr = self.ascii_regex(regex),
            // Neither works on a binding: the namespace object has to refuse them when they run.
            Expr::Unary(UnaryExpr { op: UnaryOp::Delete, arg, .. }) if arg.is_member() => {
                arg.visit_mut_children_with(self);
            }
            Expr::Update(update) if update.arg.is_member() => update.arg.visit_mut_children_with(self),
            Expr::Member(member) => match self.namespace_member(member) {
                Some(symbol) => *expr = Expr::Ident(self.marker(Slot::Name(symbol), member.span)),
                None => match self.property_chain(member) {
                    Some(chain) => self.mark_chain(member, chain),
                    None => expr.visit_mut_children_with(self),
                },
            },
            Expr::This(this) if self.this_depth == 0 => {
                let span = this.span;
                *expr = if self.common_js {
                    Expr::Ident(Ident::new("exports".into(), span, self.unresolved))
                } else {
                    let zero = Expr::Lit(Lit::Num(0.0.into()));
                    Expr::Unary(UnaryExpr { span, op: UnaryOp::Void, arg: Box::new(zero) })
                };
            }
            _ => stacker::maybe_grow(64 * 1024, 1024 * 1024, || expr.visit_mut_children_with(self)),
        }
    }

    fn visit_mut_opt_call(&mut self, call: &mut swc_ecma_ast::OptCall) {
        self.callee(&mut call.callee);
        call.args.visit_mut_with(self);
    }

    fn visit_mut_ident(&mut self, ident: &mut Ident) {
        if let Some(symbol) = self.symbol(ident) {
            ident.sym = marker(Slot::Name(symbol)).into();
        } else if self.is_free(ident, "require") {
            ident.sym = "__pk_require".into();
        }
    }

    fn visit_mut_prop(&mut self, prop: &mut Prop) {
        if let Prop::Shorthand(ident) = prop
            && (self.symbol(ident).is_some() || self.is_free(ident, "require") || self.is_place(ident))
        {
            let key = PropName::Ident(IdentName::new(ident.sym.clone(), ident.span));
            let mut value = Box::new(Expr::Ident(ident.clone()));
            value.visit_mut_with(self);
            *prop = Prop::KeyValue(KeyValueProp { key, value });
            return;
        }
        prop.visit_mut_children_with(self);
    }

    fn visit_mut_object_pat_prop(&mut self, prop: &mut ObjectPatProp) {
        if let ObjectPatProp::Assign(AssignPatProp { span, key, value }) = prop
            && self.symbol(&key.id).is_some()
        {
            let name = PropName::Ident(IdentName::new(key.id.sym.clone(), key.id.span));
            let target = Pat::Ident(key.take());
            let mut pattern = match value.take() {
                Some(right) => {
                    Pat::Assign(swc_ecma_ast::AssignPat { span: *span, left: Box::new(target), right })
                }
                None => target,
            };
            pattern.visit_mut_with(self);
            *prop = ObjectPatProp::KeyValue(KeyValuePatProp { key: name, value: Box::new(pattern) });
            return;
        }
        prop.visit_mut_children_with(self);
    }

    fn visit_mut_pat(&mut self, pattern: &mut Pat) {
        match pattern {
            Pat::Expr(expr) if expr.is_member() => expr.visit_mut_children_with(self),
            _ => pattern.visit_mut_children_with(self),
        }
    }

    fn visit_mut_try_stmt(&mut self, stmt: &mut TryStmt) {
        self.try_depth += 1;
        stmt.block.visit_mut_with(self);
        self.try_depth -= 1;
        stmt.handler.visit_mut_with(self);
        stmt.finalizer.visit_mut_with(self);
    }

    fn visit_mut_function(&mut self, function: &mut swc_ecma_ast::Function) {
        self.in_function(|this| function.visit_mut_children_with(this));
    }

    fn visit_mut_constructor(&mut self, constructor: &mut swc_ecma_ast::Constructor) {
        self.in_function(|this| constructor.visit_mut_children_with(this));
    }

    fn visit_mut_getter_prop(&mut self, getter: &mut swc_ecma_ast::GetterProp) {
        self.in_function(|this| getter.visit_mut_children_with(this));
    }

    fn visit_mut_setter_prop(&mut self, setter: &mut swc_ecma_ast::SetterProp) {
        self.in_function(|this| setter.visit_mut_children_with(this));
    }

    fn visit_mut_class(&mut self, class: &mut swc_ecma_ast::Class) {
        class.super_class.visit_mut_with(self);
        class.decorators.visit_mut_with(self);
        self.in_function(|this| class.body.visit_mut_with(this));
    }

    fn visit_mut_arrow_expr(&mut self, arrow: &mut swc_ecma_ast::ArrowExpr) {
        let tries = std::mem::take(&mut self.try_depth);
        arrow.visit_mut_children_with(self);
        self.try_depth = tries;
    }

    // Labels live in a namespace of their own.
    fn visit_mut_labeled_stmt(&mut self, stmt: &mut swc_ecma_ast::LabeledStmt) {
        stmt.body.visit_mut_with(self);
    }
    fn visit_mut_break_stmt(&mut self, _: &mut swc_ecma_ast::BreakStmt) {}
    fn visit_mut_continue_stmt(&mut self, _: &mut swc_ecma_ast::ContinueStmt) {}
}

/// Whether a call is `x.catch(...)` or `x.then(a, b)`.
fn handles_rejection(call: &CallExpr) -> bool {
    let Callee::Expr(callee) = &call.callee else { return false };
    let Expr::Member(MemberExpr { prop: MemberProp::Ident(name), .. }) = &**callee else { return false };
    match &*name.sym {
        "catch" => true,
        "then" => call.args.len() > 1,
        _ => false,
    }
}

/// Whether a function does nothing but `return this`.
fn returns_this(function: &swc_ecma_ast::Function) -> bool {
    let is_plain = function.params.is_empty() && !function.is_async && !function.is_generator;
    let statements = function.body.as_ref().map(|body| body.stmts.as_slice());
    let Some([Stmt::Return(ReturnStmt { arg: Some(value), .. })]) = statements else { return false };
    is_plain && value.is_this()
}

fn original_argument(call: &mut CallExpr) -> Option<&mut ExprOrSpread> {
    call.args.first_mut()
}

fn literal_argument(args: &[ExprOrSpread]) -> Option<String> {
    let first = args.first().filter(|arg| arg.spread.is_none())?;
    match &*first.expr {
        Expr::Lit(Lit::Str(Str { value, .. })) => value.as_str().map(str::to_string),
        Expr::Tpl(template) if template.exprs.is_empty() => {
            template.quasis.first()?.cooked.as_ref()?.as_str().map(str::to_string)
        }
        _ => None,
    }
}

/// The literal pieces of `` `./a/${x}.js` `` or `"./a/" + x`; a pattern must start with `./` or `../`.
fn pattern_argument(args: &[ExprOrSpread]) -> Option<Vec<String>> {
    let first = args.first().filter(|arg| arg.spread.is_none())?;
    let mut pieces = vec![String::new()];
    collect_pieces(&first.expr, &mut pieces);
    let start = pieces.first()?;
    (pieces.len() > 1 && (start.starts_with("./") || start.starts_with("../"))).then_some(pieces)
}

fn collect_pieces(expr: &Expr, pieces: &mut Vec<String>) {
    let push = |pieces: &mut Vec<String>, text: &str| {
        if let Some(last) = pieces.last_mut() {
            last.push_str(text);
        }
    };
    match expr {
        Expr::Lit(Lit::Str(text)) => push(pieces, text.value.as_str().unwrap_or_default()),
        Expr::Paren(paren) => collect_pieces(&paren.expr, pieces),
        Expr::Bin(binary) if binary.op == BinaryOp::Add => {
            collect_pieces(&binary.left, pieces);
            collect_pieces(&binary.right, pieces);
        }
        Expr::Tpl(template) => {
            for (index, quasi) in template.quasis.iter().enumerate() {
                push(pieces, quasi.cooked.as_ref().and_then(|text| text.as_str()).unwrap_or_default());
                if let Some(inner) = template.exprs.get(index) {
                    collect_pieces(inner, pieces);
                }
            }
        }
        _ => pieces.push(String::new()),
    }
}

/// An identifier for a symbol in generated code.
pub(crate) fn symbol_ident(symbol: u32) -> Ident {
    Ident::new(marker(Slot::Name(symbol)).into(), DUMMY_SP, SyntaxContext::empty())
}
