//! Namespaces of several blocks: what one block exports is a name in the others too. swc compiles each block alone, so
//! that such a name becomes a property of the namespace here, before the types are gone.

use rustc_hash::{FxHashMap, FxHashSet};
use swc_atoms::Atom;
use swc_common::SyntaxContext;
use swc_ecma_ast::{
    AssignPat, AssignPatProp, Decl, Expr, Ident, IdentName, KeyValuePatProp, KeyValueProp, MemberExpr,
    MemberProp, ModuleDecl, ModuleItem, ObjectPatProp, Pat, Program, Prop, PropName, SimpleAssignTarget,
    Stmt, TsEnumDecl, TsEnumMemberId, TsModuleDecl, TsModuleName, TsNamespaceBody, TsNamespaceDecl,
};
use swc_ecma_utils::find_pat_ids;
use swc_ecma_visit::{VisitMut, VisitMutWith, noop_visit_mut_type};

/// The outermost name with its scope, and the names below it: inner blocks have scopes of their own.
type Path = Vec<(Atom, SyntaxContext)>;

/// Makes the names of other blocks properties.
pub(crate) fn connect(program: &mut Program, unresolved: SyntaxContext) {
    let mut exports = Exports::default();
    match &*program {
        Program::Module(module) => module.body.iter().for_each(|item| exports.item(item, &mut Vec::new())),
        Program::Script(script) => script.body.iter().for_each(|stmt| exports.stmt(stmt, &mut Vec::new())),
    }
    if exports.0.values().any(|(blocks, _)| *blocks > 1) {
        program.visit_mut_with(&mut Connect { exports, unresolved, frames: Vec::new(), members: Vec::new() });
    }
}

fn below(path: &mut Path, ident: &Ident) {
    let context = if path.is_empty() { ident.ctxt } else { SyntaxContext::empty() };
    path.push((ident.sym.clone(), context));
}

/// The number of blocks and the exported values, by the path of their namespace.
#[derive(Default)]
struct Exports(FxHashMap<Path, (usize, FxHashSet<Atom>)>);

impl Exports {
    fn item(&mut self, item: &ModuleItem, path: &mut Path) {
        match item {
            ModuleItem::ModuleDecl(ModuleDecl::ExportDecl(export)) => self.decl(&export.decl, true, path),
            ModuleItem::ModuleDecl(ModuleDecl::TsImportEquals(import)) if import.is_export => {
                self.add(path, &import.id);
            }
            ModuleItem::Stmt(stmt) => self.stmt(stmt, path),
            ModuleItem::ModuleDecl(_) => {}
        }
    }

    fn stmt(&mut self, stmt: &Stmt, path: &mut Path) {
        if let Stmt::Decl(decl) = stmt {
            self.decl(decl, false, path);
        }
    }

    fn decl(&mut self, decl: &Decl, is_export: bool, path: &mut Path) {
        if is_export {
            match decl {
                Decl::Class(class) => self.add(path, &class.ident),
                Decl::Fn(function) => self.add(path, &function.ident),
                Decl::TsEnum(declared) => self.add(path, &declared.id),
                Decl::Var(var) => {
                    find_pat_ids::<_, Ident>(&var.decls).iter().for_each(|id| self.add(path, id));
                }
                Decl::TsModule(module) if !module.declare => {
                    let TsModuleName::Ident(id) = &module.id else { return };
                    self.add(path, id);
                }
                _ => {}
            }
        }
        if let Decl::TsModule(module) = decl
            && let TsModuleName::Ident(id) = &module.id
            && let Some(body) = &module.body
            && !module.declare
            && (is_export || path.is_empty())
        {
            self.body(id, body, path);
        }
    }

    fn body(&mut self, id: &Ident, body: &TsNamespaceBody, path: &mut Path) {
        below(path, id);
        self.0.entry(path.clone()).or_default().0 += 1;
        match body {
            TsNamespaceBody::TsModuleBlock(block) => block.body.iter().for_each(|item| self.item(item, path)),
            TsNamespaceBody::TsNamespaceDecl(inner) => {
                self.add(path, &inner.id);
                self.body(&inner.id, &inner.body, path);
            }
        }
        path.pop();
    }

    fn add(&mut self, path: &Path, id: &Ident) {
        if !path.is_empty() {
            self.0.entry(path.clone()).or_default().1.insert(id.sym.clone());
        }
    }
}

struct Connect {
    exports: Exports,
    unresolved: SyntaxContext,
    /// The namespaces around this place.
    frames: Vec<Ident>,
    /// The members of the enum around this place: their names come first.
    members: Vec<Atom>,
}

impl Connect {
    /// `N.name` for a name that another block of `N` exports.
    fn property(&self, ident: &Ident) -> Option<Expr> {
        if self.frames.is_empty() || self.members.contains(&ident.sym) {
            return None;
        }
        for depth in (0..self.frames.len()).rev() {
            let around = self.frames.get(..=depth)?;
            let is_outside =
                ident.ctxt == self.unresolved || around.iter().any(|frame| frame.ctxt == ident.ctxt);
            // It is bound by this block, or in it.
            if !is_outside {
                return None;
            }
            let mut path = Vec::new();
            around.iter().for_each(|frame| below(&mut path, frame));
            if self.exports.0.get(&path).is_some_and(|(_, names)| names.contains(&ident.sym)) {
                let prop = MemberProp::Ident(IdentName::new(ident.sym.clone(), ident.span));
                let obj = Box::new(Expr::Ident(around.last()?.clone()));
                return Some(Expr::Member(MemberExpr { span: ident.span, obj, prop }));
            }
        }
        None
    }
}

impl VisitMut for Connect {
    noop_visit_mut_type!();

    fn visit_mut_expr(&mut self, expr: &mut Expr) {
        match expr {
            Expr::Ident(ident) => {
                if let Some(property) = self.property(ident) {
                    *expr = property;
                }
            }
            _ => stacker::maybe_grow(64 * 1024, 1024 * 1024, || expr.visit_mut_children_with(self)),
        }
    }

    fn visit_mut_ts_module_decl(&mut self, module: &mut TsModuleDecl) {
        if let TsModuleName::Ident(id) = &module.id {
            self.frames.push(id.clone());
            module.body.visit_mut_with(self);
            self.frames.pop();
        }
    }

    fn visit_mut_ts_namespace_decl(&mut self, inner: &mut TsNamespaceDecl) {
        self.frames.push(inner.id.clone());
        inner.body.visit_mut_with(self);
        self.frames.pop();
    }

    fn visit_mut_ts_enum_decl(&mut self, declared: &mut TsEnumDecl) {
        let names = declared.members.iter().filter_map(|member| match &member.id {
            TsEnumMemberId::Ident(name) => Some(name.sym.clone()),
            TsEnumMemberId::Str(_) => None,
        });
        self.members = names.collect();
        declared.visit_mut_children_with(self);
        self.members.clear();
    }

    fn visit_mut_prop(&mut self, prop: &mut Prop) {
        if let Prop::Shorthand(ident) = prop
            && let Some(property) = self.property(ident)
        {
            let key = PropName::Ident(IdentName::new(ident.sym.clone(), ident.span));
            *prop = Prop::KeyValue(KeyValueProp { key, value: Box::new(property) });
        }
        prop.visit_mut_children_with(self);
    }

    fn visit_mut_pat(&mut self, pattern: &mut Pat) {
        if let Pat::Ident(name) = pattern
            && let Some(property) = self.property(&name.id)
        {
            *pattern = Pat::Expr(Box::new(property));
        }
        pattern.visit_mut_children_with(self);
    }

    fn visit_mut_object_pat_prop(&mut self, prop: &mut ObjectPatProp) {
        if let ObjectPatProp::Assign(AssignPatProp { span, key, value }) = prop
            && let Some(property) = self.property(&key.id)
        {
            let name = PropName::Ident(IdentName::new(key.id.sym.clone(), key.id.span));
            let target = Box::new(Pat::Expr(Box::new(property)));
            let value = match value.take() {
                Some(right) => Box::new(Pat::Assign(AssignPat { span: *span, left: target, right })),
                None => target,
            };
            *prop = ObjectPatProp::KeyValue(KeyValuePatProp { key: name, value });
        }
        prop.visit_mut_children_with(self);
    }

    fn visit_mut_simple_assign_target(&mut self, target: &mut SimpleAssignTarget) {
        if let SimpleAssignTarget::Ident(name) = target
            && let Some(Expr::Member(member)) = self.property(&name.id)
        {
            *target = SimpleAssignTarget::Member(member);
        }
        target.visit_mut_children_with(self);
    }
}
