//! Scanning: takes the transformed tree of one module apart into the parts, symbols, imports and exports of its record.
//! Import and export statements disappear here; what they said is kept in the tables.

use rustc_hash::FxHashSet;
use swc_common::{Span, SyntaxContext};
use swc_ecma_ast::{
    BindingIdent, ClassDecl, Decl, DefaultDecl, ExportSpecifier, Expr, FnDecl, Ident, ImportSpecifier,
    Module, ModuleDecl, ModuleExportName, ModuleItem, Pat, Program, Stmt, VarDecl, VarDeclKind,
    VarDeclarator,
};
use swc_ecma_transforms_base::{fixer::fixer, hygiene::hygiene};
use swc_ecma_utils::find_pat_ids;
use swc_ecma_visit::{Visit, VisitMutWith, VisitWith, noop_visit_type};

use crate::capture::has_captures;
use crate::diagnostic::Problems;
use crate::hoist::lift_vars;
use crate::marker::is_marker;
use crate::print::Printer;
use crate::purity::Purity;
use crate::record::{
    Binding, Export, Import, ImportKind, ImportName, ModuleForm, ModuleRecord, Part, PartKind, Slot, Text,
    chain,
};
use crate::rewrite::{Rewriter, Scope, symbol_ident};

/// What `transform` hands over.
pub(crate) struct Scan<'a> {
    pub(crate) form: ModuleForm,
    pub(crate) top_level_await: bool,
    pub(crate) unresolved: SyntaxContext,
    pub(crate) printer: &'a Printer,
    pub(crate) purity: Purity<'a>,
}

/// A statement on its way to becoming a part.
struct Piece {
    item: ModuleItem,
    declares: Vec<u32>,
    pure: bool,
    anonymous: bool,
}

struct Scanner<'a> {
    scan: &'a Scan<'a>,
    scope: Scope,
    exports: Vec<Export>,
    stars: Vec<u32>,
    statics: Vec<u32>,
}

/// Makes the record of a module.
pub(crate) fn scan(mut program: Program, scan: &Scan<'_>) -> Result<ModuleRecord, Problems> {
    let scanner = Scanner {
        scan,
        scope: Scope::default(),
        exports: Vec::new(),
        stars: Vec::new(),
        statics: Vec::new(),
    };
    let body = match &mut program {
        Program::Module(module) => std::mem::take(&mut module.body),
        Program::Script(script) => {
            std::mem::take(&mut script.body).into_iter().map(ModuleItem::Stmt).collect()
        }
    };
    // CommonJS code with `import` statements, as old compilers made it, needs the tables of an ES module.
    let has_imports = body.iter().any(ModuleItem::is_module_decl);
    if scan.form == ModuleForm::CommonJs && !has_imports {
        scanner.common_js(body)
    } else {
        scanner.module(body)
    }
}

impl Scanner<'_> {
    fn offset(&self, span: Span) -> u32 {
        span.lo.0.saturating_sub(self.scan.printer.start.0)
    }

    /// A CommonJS module keeps its names: they stay inside its wrapper. Only its `require` calls are slots.
    fn common_js(mut self, body: Vec<ModuleItem>) -> Result<ModuleRecord, Problems> {
        let mut program = Program::Module(Module { body, ..Default::default() });
        let global_names = free_names(&program, self.scan.unresolved);
        self.rewrite(&mut program, true);
        self.separate(&mut program);
        program.visit_mut_with(&mut fixer(None));
        let inner_names = inner_names(&program);
        let Program::Module(module) = program else { return Err(vec![]) };
        let code = self.scan.printer.print(module.body).map_err(|error| vec![(0, error.to_string())])?;
        let part = self.part(PartKind::Statement, code, Vec::new(), false);
        Ok(self.record(vec![part], inner_names, global_names))
    }

    fn module(mut self, body: Vec<ModuleItem>) -> Result<ModuleRecord, Problems> {
        let mut pieces = Vec::with_capacity(body.len());
        for item in body {
            self.item(item, &mut pieces);
        }
        let pieces: Vec<_> = pieces.into_iter().map(|item| self.piece(item)).collect();
        let mut program = Program::Module(Module::default());
        let global_names;
        {
            let Program::Module(module) = &mut program else { return Err(vec![]) };
            let mut described = Vec::with_capacity(pieces.len());
            for piece in pieces {
                described.push((piece.declares, piece.pure, piece.anonymous));
                module.body.push(piece.item);
            }
            global_names = free_names(&program, self.scan.unresolved);
            let meta = self.rewrite(&mut program, self.scan.form == ModuleForm::CommonJs);
            self.separate(&mut program);
            program.visit_mut_with(&mut fixer(None));
            let inner_names = inner_names(&program);
            let Program::Module(module) = program else { return Err(vec![]) };
            let mut parts = self.import_parts();
            parts.extend(meta.map(|symbol| self.meta_part(symbol)));
            for (item, (declares, pure, anonymous)) in module.body.into_iter().zip(described) {
                let part = self.print(item, declares, pure).map_err(|error| vec![(0, error.to_string())])?;
                parts.push(Part { anonymous, ..part });
            }
            Ok(self.record(parts, inner_names, global_names))
        }
    }

    /// Names that a transform made become names of their own. What a person wrote has them already.
    fn separate(&self, program: &mut Program) {
        // Renaming takes time that grows with the square of how often a name is used.
        if has_captures(program, self.scan.unresolved) {
            program.visit_mut_with(&mut hygiene());
        }
    }

    fn rewrite(&mut self, program: &mut Program, common_js: bool) -> Option<u32> {
        let mut rewriter = Rewriter {
            scope: &mut self.scope,
            unresolved: self.scan.unresolved,
            start: self.scan.printer.start.0,
            common_js,
            meta: None,
            this_depth: 0,
            try_depth: 0,
        };
        program.visit_mut_with(&mut rewriter);
        rewriter.meta
    }

    fn record(self, parts: Vec<Part>, inner_names: Vec<String>, global_names: Vec<String>) -> ModuleRecord {
        ModuleRecord {
            form: self.scan.form,
            imports: self.scope.imports,
            symbols: self.scope.symbols,
            exports: self.exports,
            stars: self.stars,
            parts,
            inner_names,
            global_names,
            top_level_await: self.scan.top_level_await,
            needs_page: false,
            required: Vec::new(),
            asset: None,
        }
    }

    fn part(&self, kind: PartKind, mut code: Text, declares: Vec<u32>, pure: bool) -> Part {
        let Text { text, slots, .. } = &mut code;
        for (offset, slot) in slots {
            // The linker replaces the properties too, so that they must stand there as expected.
            if let Slot::Object(symbol) = *slot
                && let (root, properties) = chain(&self.scope.symbols, symbol)
                && !reads(text.get(*offset as usize..).unwrap_or_default(), &properties)
            {
                *slot = Slot::Name(root);
            }
        }
        let mut uses = FxHashSet::default();
        let mut imports = FxHashSet::default();
        for (_, slot) in &code.slots {
            match slot {
                Slot::Name(symbol) | Slot::Callee(symbol) | Slot::Object(symbol) => uses.insert(*symbol),
                Slot::Require(import) | Slot::Dynamic(import) => imports.insert(*import),
                Slot::Url | Slot::Asset => false,
            };
        }
        let sorted = |set: FxHashSet<u32>| {
            let mut list: Vec<_> = set.into_iter().collect();
            list.sort_unstable();
            list
        };
        Part { kind, code, declares, uses: sorted(uses), imports: sorted(imports), anonymous: false, pure }
    }

    fn print(&self, item: ModuleItem, declares: Vec<u32>, pure: bool) -> std::io::Result<Part> {
        let kind = match &item {
            ModuleItem::Stmt(Stmt::Decl(Decl::Var(_))) => PartKind::Var,
            ModuleItem::Stmt(Stmt::Decl(Decl::Class(_))) => PartKind::Class,
            ModuleItem::Stmt(Stmt::Decl(Decl::Fn(_))) => PartKind::Function,
            _ => PartKind::Statement,
        };
        let code = match kind {
            PartKind::Var => self.scan.printer.print_declarators(item)?,
            _ => self.scan.printer.print(vec![item])?,
        };
        Ok(self.part(kind, code, declares, pure))
    }

    fn import_parts(&self) -> Vec<Part> {
        let statics = self.statics.iter();
        statics
            .map(|import| self.part(PartKind::Import(*import), Text::default(), Vec::new(), false))
            .collect()
    }

    fn meta_part(&self, symbol: u32) -> Part {
        let text = " = __pk_meta()".to_string();
        let slots = vec![(0, Slot::Name(symbol)), (13, Slot::Url)];
        self.part(PartKind::Var, Text { text, slots, mappings: Vec::new() }, vec![symbol], true)
    }

    /// Purity is decided before the names are rewritten, declarations are collected at the same time.
    fn piece(&mut self, mut item: ModuleItem) -> Piece {
        let pure = self.scan.purity.item(&item);
        let mut declares = Vec::new();
        let mut anonymous = false;
        if let ModuleItem::Stmt(stmt) = &mut item {
            match stmt {
                Stmt::Decl(Decl::Fn(function)) => declares.push(self.scope.declare(&function.ident)),
                Stmt::Decl(Decl::Class(class)) => declares.push(self.scope.declare(&class.ident)),
                Stmt::Decl(Decl::Var(var)) => {
                    var.kind = VarDeclKind::Var;
                    anonymous = is_anonymous(var);
                    let ids: Vec<Ident> = find_pat_ids(&var.decls);
                    declares.extend(ids.iter().map(|id| self.scope.declare(id)));
                }
                _ => {}
            }
        }
        Piece { item, declares, pure, anonymous }
    }

    fn item(&mut self, item: ModuleItem, out: &mut Vec<ModuleItem>) {
        match item {
            ModuleItem::Stmt(Stmt::Empty(_)) => {}
            ModuleItem::Stmt(Stmt::Decl(decl)) => self.declaration(decl, out),
            ModuleItem::Stmt(mut stmt) => {
                let names = lift_vars(&mut stmt);
                if !names.is_empty() {
                    out.push(ModuleItem::Stmt(Stmt::Decl(Decl::Var(Box::new(VarDecl {
                        kind: VarDeclKind::Var,
                        decls: names,
                        ..Default::default()
                    })))));
                }
                out.push(ModuleItem::Stmt(stmt));
            }
            ModuleItem::ModuleDecl(decl) => self.module_decl(decl, out),
        }
    }

    /// One part per declarator, so that each can be left out alone.
    fn declaration(&mut self, decl: Decl, out: &mut Vec<ModuleItem>) {
        match decl {
            Decl::Var(var) if var.decls.len() > 1 => {
                let VarDecl { span, kind, decls, .. } = *var;
                for declarator in decls {
                    let span = if declarator.span.is_dummy() { span } else { declarator.span };
                    let single = VarDecl { span, kind, decls: vec![declarator], ..Default::default() };
                    out.push(ModuleItem::Stmt(Stmt::Decl(Decl::Var(Box::new(single)))));
                }
            }
            Decl::TsInterface(_) | Decl::TsTypeAlias(_) | Decl::TsEnum(_) | Decl::TsModule(_) => {}
            other => out.push(ModuleItem::Stmt(Stmt::Decl(other))),
        }
    }

    fn module_decl(&mut self, decl: ModuleDecl, out: &mut Vec<ModuleItem>) {
        match decl {
            ModuleDecl::Import(import) => {
                let index = self.static_import(&import.src, import.span);
                for specifier in &import.specifiers {
                    let name = match specifier {
                        ImportSpecifier::Default(_) => ImportName::Named("default".into()),
                        ImportSpecifier::Namespace(_) => ImportName::Namespace,
                        ImportSpecifier::Named(named) => ImportName::Named(match &named.imported {
                            Some(name) => export_name(name),
                            None => named.local.sym.to_string(),
                        }),
                    };
                    self.scope.import(specifier.local(), index, name);
                }
            }
            ModuleDecl::ExportDecl(export) => {
                let ids: Vec<Ident> = match &export.decl {
                    Decl::Class(class) => vec![class.ident.clone()],
                    Decl::Fn(function) => vec![function.ident.clone()],
                    Decl::Var(var) => find_pat_ids(&var.decls),
                    _ => Vec::new(),
                };
                for id in ids {
                    let symbol = self.scope.declare(&id);
                    self.exports.push(Export { name: id.sym.to_string(), symbol });
                }
                self.declaration(export.decl, out);
            }
            ModuleDecl::ExportNamed(export) => self.export_named(export),
            ModuleDecl::ExportDefaultDecl(export) => self.export_default(export.decl, out),
            ModuleDecl::ExportDefaultExpr(export) => {
                let ident = self.default_ident();
                let name = Pat::Ident(BindingIdent { id: ident, type_ann: None });
                let declarator =
                    VarDeclarator { span: export.span, name, init: Some(export.expr), definite: false };
                let var = VarDecl {
                    span: export.span,
                    kind: VarDeclKind::Var,
                    decls: vec![declarator],
                    ..Default::default()
                };
                out.push(ModuleItem::Stmt(Stmt::Decl(Decl::Var(Box::new(var)))));
            }
            ModuleDecl::ExportAll(export) => {
                let index = self.static_import(&export.src, export.span);
                self.stars.push(index);
            }
            ModuleDecl::TsImportEquals(_)
            | ModuleDecl::TsExportAssignment(_)
            | ModuleDecl::TsNamespaceExport(_) => {}
        }
    }

    fn export_named(&mut self, export: swc_ecma_ast::NamedExport) {
        let import = export.src.as_ref().map(|src| self.static_import(src, export.span));
        for specifier in export.specifiers {
            let (name, symbol) = match specifier {
                ExportSpecifier::Named(named) => {
                    let original = export_name(&named.orig);
                    let name = named.exported.as_ref().map_or_else(|| original.clone(), export_name);
                    let symbol = match (import, &named.orig) {
                        (Some(import), _) => {
                            let imported = ImportName::Named(original.clone());
                            self.scope.add(&original, Binding::Imported { import, name: imported })
                        }
                        (None, ModuleExportName::Ident(ident)) => self.scope.declare(ident),
                        (None, ModuleExportName::Str(_)) => continue,
                    };
                    (name, symbol)
                }
                ExportSpecifier::Namespace(namespace) => {
                    let Some(import) = import else { continue };
                    let name = export_name(&namespace.name);
                    let binding = Binding::Imported { import, name: ImportName::Namespace };
                    let symbol = self.scope.add(&name, binding);
                    (name, symbol)
                }
                ExportSpecifier::Default(default) => {
                    let Some(import) = import else { continue };
                    let imported = ImportName::Named("default".into());
                    let symbol =
                        self.scope.add(&default.exported.sym, Binding::Imported { import, name: imported });
                    (default.exported.sym.to_string(), symbol)
                }
            };
            self.exports.push(Export { name, symbol });
        }
    }

    fn export_default(&mut self, decl: DefaultDecl, out: &mut Vec<ModuleItem>) {
        let stmt = match decl {
            DefaultDecl::Class(class) => {
                let ident = self.named_default(class.ident);
                Decl::Class(ClassDecl { ident, declare: false, class: class.class })
            }
            DefaultDecl::Fn(function) => {
                let ident = self.named_default(function.ident);
                Decl::Fn(FnDecl { ident, declare: false, function: function.function })
            }
            DefaultDecl::TsInterfaceDecl(_) => return,
        };
        out.push(ModuleItem::Stmt(Stmt::Decl(stmt)));
    }

    fn named_default(&mut self, ident: Option<Ident>) -> Ident {
        match ident {
            Some(ident) => {
                let symbol = self.scope.declare(&ident);
                self.exports.push(Export { name: "default".into(), symbol });
                ident
            }
            None => self.default_ident(),
        }
    }

    /// The binding of an anonymous default export; it already carries its marker.
    fn default_ident(&mut self) -> Ident {
        let symbol = self.scope.add("default", Binding::Local);
        self.exports.push(Export { name: "default".into(), symbol });
        let ident = symbol_ident(symbol);
        self.scope.ids.insert(ident.to_id(), symbol);
        ident
    }

    fn static_import(&mut self, src: &swc_ecma_ast::Str, span: Span) -> u32 {
        let index = self.scope.specifier(Import {
            specifier: src.value.to_string_lossy().into_owned(),
            kind: ImportKind::Static,
            guarded: false,
            start: if src.span.is_dummy() { self.offset(span) } else { self.offset(src.span) },
            pattern: None,
        });
        self.statics.push(index);
        index
    }
}

/// Whether a text begins with these properties.
fn reads(mut text: &str, properties: &[(&str, u32)]) -> bool {
    properties.iter().all(|(name, _)| {
        let rest = text.strip_prefix('.').and_then(|text| text.strip_prefix(name));
        let whole = rest.is_some_and(|rest| {
            !rest.starts_with(|next: char| {
                next == '_' || next == '$' || next == '\\' || next.is_alphanumeric()
            })
        });
        text = rest.unwrap_or_default();
        whole
    })
}

/// Whether the only declarator names the function or class that is its value.
fn is_anonymous(var: &VarDecl) -> bool {
    let [VarDeclarator { name: Pat::Ident(_), init: Some(init), .. }] = var.decls.as_slice() else {
        return false;
    };
    match &**init {
        Expr::Arrow(_) => true,
        Expr::Fn(function) => function.ident.is_none(),
        Expr::Class(class) => class.ident.is_none(),
        _ => false,
    }
}

fn export_name(name: &ModuleExportName) -> String {
    match name {
        ModuleExportName::Ident(ident) => ident.sym.to_string(),
        ModuleExportName::Str(text) => text.value.to_string_lossy().into_owned(),
    }
}

/// Names that no scope of the module binds.
pub(crate) fn free_names(program: &Program, unresolved: SyntaxContext) -> Vec<String> {
    struct Free {
        unresolved: SyntaxContext,
        names: FxHashSet<swc_atoms::Atom>,
    }
    impl Visit for Free {
        noop_visit_type!();
        fn visit_ident(&mut self, ident: &Ident) {
            if ident.ctxt == self.unresolved {
                self.names.insert(ident.sym.clone());
            }
        }
    }
    let mut free = Free { unresolved, names: FxHashSet::default() };
    program.visit_with(&mut free);
    let mut names: Vec<String> = free.names.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    names
}

/// All names that are left after the module scope's own have become markers.
fn inner_names(program: &Program) -> Vec<String> {
    struct Inner(FxHashSet<swc_atoms::Atom>);
    impl Visit for Inner {
        noop_visit_type!();
        fn visit_ident(&mut self, ident: &Ident) {
            if !is_marker(&ident.sym) {
                self.0.insert(ident.sym.clone());
            }
        }
    }
    let mut inner = Inner(FxHashSet::default());
    program.visit_with(&mut inner);
    let mut names: Vec<String> = inner.0.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    names
}
