//! Captures: whether some name of a transformed tree would be bound by another declaration than it means, as names that
//! a transform made can be. Only then names have to change. The tree is looked through once; what was found is played
//! through a second time with what is bound at each place. When in doubt the answer is yes.

use rustc_hash::FxHashMap;
use swc_atoms::Atom;
use swc_common::SyntaxContext;
use swc_ecma_ast::{
    ArrowExpr, BlockStmt, BreakStmt, CatchClause, Class, ClassExpr, Constructor, ContinueStmt, Expr, FnExpr,
    ForInStmt, ForOfStmt, ForStmt, Function, GetterProp, Ident, LabeledStmt, Program, SetterProp,
    StaticBlock, Stmt, SwitchStmt, VarDecl, VarDeclKind, VarDeclarator,
};
use swc_ecma_visit::{Visit, VisitWith, noop_visit_type};

/// Whether names have to change before the contexts of the names are forgotten.
pub(crate) fn has_captures(program: &Program, unresolved: SyntaxContext) -> bool {
    let mut survey = Survey::new(unresolved);
    program.visit_with(&mut survey);
    survey.replay()
}

/// What happens on the way through the tree.
enum Event {
    Enter(u32),
    Leave(u32),
    Use(u32),
}

/// A part of the tree in which declarations can be.
struct Scope {
    parent: u32,
    depth: u32,
    /// `var` declares here, not further out.
    is_function: bool,
}

/// What a name means; the same name can mean several things.
struct Meaning {
    name: u32,
    /// The innermost scope around every place where it stands: its declaration's, or one further out.
    /// A name that is bound nowhere has none.
    home: Option<u32>,
}

struct Survey {
    unresolved: SyntaxContext,
    names: FxHashMap<Atom, u32>,
    ids: FxHashMap<(u32, SyntaxContext), u32>,
    meanings: Vec<Meaning>,
    scopes: Vec<Scope>,
    events: Vec<Event>,
    scope: u32,
    in_var: bool,
}

impl Survey {
    fn new(unresolved: SyntaxContext) -> Self {
        Self {
            unresolved,
            names: FxHashMap::default(),
            ids: FxHashMap::default(),
            meanings: Vec::new(),
            scopes: vec![Scope { parent: 0, depth: 0, is_function: true }],
            events: vec![Event::Enter(0)],
            scope: 0,
            in_var: false,
        }
    }

    fn inside(&mut self, is_function: bool, visit: impl FnOnce(&mut Self)) {
        let (parent, in_var) = (self.scope, std::mem::take(&mut self.in_var));
        let depth = self.depth(parent) + 1;
        self.scope = self.scopes.len() as u32;
        self.scopes.push(Scope { parent, depth, is_function });
        self.events.push(Event::Enter(self.scope));
        visit(self);
        self.events.push(Event::Leave(self.scope));
        (self.scope, self.in_var) = (parent, in_var);
    }

    fn depth(&self, scope: u32) -> u32 {
        self.scopes.get(scope as usize).map_or(0, |scope| scope.depth)
    }

    fn parent(&self, scope: u32) -> u32 {
        self.scopes.get(scope as usize).map_or(0, |scope| scope.parent)
    }

    /// The innermost scope around both.
    fn around(&self, mut one: u32, mut other: u32) -> u32 {
        while one != other {
            if self.depth(one) < self.depth(other) {
                other = self.parent(other);
            } else {
                one = self.parent(one);
            }
        }
        one
    }

    fn function(&self) -> u32 {
        let mut scope = self.scope;
        while self.scopes.get(scope as usize).is_some_and(|scope| !scope.is_function) {
            scope = self.parent(scope);
        }
        scope
    }

    /// Whether anything stands where another meaning of its name is bound.
    fn replay(mut self) -> bool {
        self.events.push(Event::Leave(0));
        let mut homes: Vec<Vec<u32>> = self.scopes.iter().map(|_| Vec::new()).collect();
        for (number, meaning) in (0u32..).zip(&self.meanings) {
            if let Some(home) = meaning.home.and_then(|home| homes.get_mut(home as usize)) {
                home.push(number);
            }
        }
        let mut bound: Vec<Vec<u32>> = self.names.iter().map(|_| Vec::new()).collect();
        let name =
            |number: u32| self.meanings.get(number as usize).map_or(0, |meaning| meaning.name as usize);
        for event in &self.events {
            match event {
                Event::Enter(scope) => {
                    let here = homes.get(*scope as usize).map(Vec::as_slice).unwrap_or_default();
                    for number in here {
                        let Some(bound) = bound.get_mut(name(*number)) else { return true };
                        let home = |number: &u32| {
                            self.meanings.get(*number as usize).and_then(|meaning| meaning.home)
                        };
                        if bound.last().and_then(home) == Some(*scope) {
                            return true;
                        }
                        bound.push(*number);
                    }
                }
                Event::Leave(scope) => {
                    for number in homes.get(*scope as usize).into_iter().flatten() {
                        if let Some(bound) = bound.get_mut(name(*number)) {
                            bound.pop();
                        }
                    }
                }
                Event::Use(number) => {
                    let is_bound =
                        self.meanings.get(*number as usize).is_some_and(|meaning| meaning.home.is_some());
                    let bound = bound.get(name(*number)).and_then(|bound| bound.last());
                    if bound != is_bound.then_some(number) {
                        return true;
                    }
                }
            }
        }
        false
    }
}

impl Visit for Survey {
    noop_visit_type!();

    fn visit_ident(&mut self, ident: &Ident) {
        // Bound by every function, and nobody can declare it.
        if ident.sym == *"arguments" {
            return;
        }
        let scope = if self.in_var { self.function() } else { self.scope };
        let next = self.names.len() as u32;
        let name = *self.names.entry(ident.sym.clone()).or_insert(next);
        let next = self.meanings.len() as u32;
        let number = *self.ids.entry((name, ident.ctxt)).or_insert(next);
        if number == next {
            let home = (ident.ctxt != self.unresolved).then_some(scope);
            self.meanings.push(Meaning { name, home });
        } else if let Some(home) = self.meanings.get(number as usize).and_then(|meaning| meaning.home) {
            let home = self.around(home, scope);
            if let Some(meaning) = self.meanings.get_mut(number as usize) {
                meaning.home = Some(home);
            }
        }
        self.events.push(Event::Use(number));
    }

    fn visit_var_declarator(&mut self, declarator: &VarDeclarator) {
        declarator.name.visit_with(self);
        let in_var = std::mem::take(&mut self.in_var);
        declarator.init.visit_with(self);
        self.in_var = in_var;
    }

    fn visit_var_decl(&mut self, var: &VarDecl) {
        let in_var = std::mem::replace(&mut self.in_var, var.kind == VarDeclKind::Var);
        var.decls.visit_with(self);
        self.in_var = in_var;
    }

    fn visit_expr(&mut self, expr: &Expr) {
        stacker::maybe_grow(64 * 1024, 1024 * 1024, || expr.visit_children_with(self));
    }

    fn visit_stmt(&mut self, stmt: &Stmt) {
        stacker::maybe_grow(64 * 1024, 1024 * 1024, || stmt.visit_children_with(self));
    }

    // Labels are no variables.
    fn visit_labeled_stmt(&mut self, labeled: &LabeledStmt) {
        labeled.body.visit_with(self);
    }

    fn visit_break_stmt(&mut self, _: &BreakStmt) {}

    fn visit_continue_stmt(&mut self, _: &ContinueStmt) {}

    // The name of an expression is bound inside of it, that of a declaration outside.
    fn visit_fn_expr(&mut self, expr: &FnExpr) {
        self.inside(false, |this| expr.visit_children_with(this));
    }

    fn visit_class_expr(&mut self, expr: &ClassExpr) {
        self.inside(false, |this| expr.visit_children_with(this));
    }

    fn visit_function(&mut self, node: &Function) {
        self.inside(true, |this| node.visit_children_with(this));
    }

    fn visit_constructor(&mut self, node: &Constructor) {
        self.inside(true, |this| node.visit_children_with(this));
    }

    fn visit_arrow_expr(&mut self, node: &ArrowExpr) {
        self.inside(true, |this| node.visit_children_with(this));
    }

    fn visit_getter_prop(&mut self, node: &GetterProp) {
        self.inside(true, |this| node.visit_children_with(this));
    }

    fn visit_setter_prop(&mut self, node: &SetterProp) {
        self.inside(true, |this| node.visit_children_with(this));
    }

    fn visit_static_block(&mut self, node: &StaticBlock) {
        self.inside(true, |this| node.visit_children_with(this));
    }

    fn visit_class(&mut self, node: &Class) {
        self.inside(false, |this| node.visit_children_with(this));
    }

    fn visit_block_stmt(&mut self, node: &BlockStmt) {
        self.inside(false, |this| node.visit_children_with(this));
    }

    fn visit_catch_clause(&mut self, node: &CatchClause) {
        self.inside(false, |this| node.visit_children_with(this));
    }

    fn visit_for_stmt(&mut self, node: &ForStmt) {
        self.inside(false, |this| node.visit_children_with(this));
    }

    fn visit_for_in_stmt(&mut self, node: &ForInStmt) {
        self.inside(false, |this| node.visit_children_with(this));
    }

    fn visit_for_of_stmt(&mut self, node: &ForOfStmt) {
        self.inside(false, |this| node.visit_children_with(this));
    }

    fn visit_switch_stmt(&mut self, node: &SwitchStmt) {
        self.inside(false, |this| node.visit_children_with(this));
    }
}
