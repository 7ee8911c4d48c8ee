//! Our JavaScript (`js/`) calls nothing that user code can replace: no global, no method or getter of a built-in prototype,
//! no iterator of arrays, nothing that `Symbol.species` chooses. What it needs of the language it takes from `primordials`
//! and from scripts of deno_web.
//!
//! How: each script is parsed with the bundler's parser and its scopes are resolved, so that a global is told from a name of
//! the script. A method is told by its name and by what it is called on: objects that the scripts made have methods of their
//! own. Where user code is called on purpose, because it gave the object, a comment says so on the line or on the one above:
//! `// user code: WHY`. Where the rule cannot see that an object is ours, it is `// own: WHY`. A comment without need fails.
//!
//! The same reading tells whether an op that reaches outside is called behind the output gate (`afterWrites` of
//! js/29_output_gate.js).
//!
//! What reading cannot tell, and what is therefore not refused: texts of objects in templates, setters that user code gives
//! to indices of `Array.prototype`, `length` of typed arrays, and the `constructor` that `await` reads of a promise.

#![allow(clippy::unwrap_used, reason = "a helper of tests that panics has failed its test")]

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use swc_common::{
    BytePos, FileName, GLOBALS, Globals, Mark, SourceFile, SourceMap, Spanned, SyntaxContext, sync::Lrc,
};
use swc_ecma_ast::{
    ArrayPat, ArrowExpr, ArrowFunctionBody, AwaitExpr, BinExpr, BinaryOp, CallExpr, Callee, ClassDecl,
    ClassMember, EsVersion, Expr, ExprOrSpread, FnDecl, ForInStmt, ForOfStmt, Function, GetterProp, Id,
    Ident, MemberExpr, MemberProp, NewExpr, ObjectLit, ObjectPat, ObjectPatProp, OptCall, OptChainBase,
    OptChainExpr, Pass, Pat, Program, Prop, PropName, PropOrSpread, Regex, ReturnStmt, SetterProp,
    VarDeclarator, YieldExpr,
};
use swc_ecma_parser::{Syntax, parse_file_as_program};
use swc_ecma_transforms_base::resolver;
use swc_ecma_visit::{Visit, VisitWith};

/// Methods of built-in classes and of the platform's.
const METHODS: &str = "abort add addEventListener all allSettled any append apply arrayBuffer assign at bind bytes call cancel \
    catch charAt charCodeAt clear clone close codePointAt concat copyWithin create decode defineProperty delete deref \
    dispatchEvent encode encodeInto endsWith enqueue entries error every exec fill filter finally find findIndex findLast \
    findLastIndex flat flatMap forEach formData freeze from fromEntries get getAll getReader getSetCookie getTime getWriter \
    grow has hasOwnProperty includes indexOf isPrototypeOf isView join json keys lastIndexOf localeCompare log map match \
    matchAll next normalize now of padEnd padStart parse pipeThrough pipeTo pop postMessage preventDefault \
    propertyIsEnumerable push race raw read reduce reduceRight register reject releaseLock removeEventListener repeat replace \
    replaceAll resize resolve respond return reverse search set shift slice some sort splice split startsWith \
    stopImmediatePropagation stopPropagation stringify subarray substr substring tee test text then throw throwIfAborted \
    toFixed toISOString toJSON toLocaleString toLowerCase toPrecision toReversed toSorted toSpliced toString toUTCString \
    toUpperCase toWellFormed trim trimEnd trimStart unregister unshift valueOf values warn with write";

/// Getters of built-in prototypes and of the platform's classes.
const GETTERS: &str = "aborted bodyUsed buffer byobRequest byteLength byteOffset desiredSize headers hostname href pathname \
    searchParams signal status statusText webSocket";

/// Primordials that read `constructor[Symbol.species]` of what they are called on.
const SPECIES: &str = "ArrayBufferPrototypeSlice ArrayPrototypeConcat ArrayPrototypeFilter ArrayPrototypeFlat \
    ArrayPrototypeFlatMap ArrayPrototypeMap ArrayPrototypeSlice ArrayPrototypeSplice TypedArrayPrototypeFilter \
    TypedArrayPrototypeMap TypedArrayPrototypeSlice TypedArrayPrototypeSubarray";

/// Classes whose methods look each other up; each has a form named Safe... that does not.
const UNSAFE: &str = "FinalizationRegistry Map RegExp Set WeakMap WeakRef WeakSet";

/// Names that are no globals, or that nobody can replace.
const FIXED: &str = "Infinity NaN __bootstrap arguments globalThis undefined";

fn is_in(list: &str, name: &str) -> bool {
    list.split(' ').any(|one| one == name)
}

/// What a name of a script stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Origin {
    /// Something that the scripts made, or that they load from each other.
    Own,
    /// A map or set that user code cannot reach into.
    Safe,
    /// A built-in class or function, as it was when the isolate was made.
    Primordial,
    /// What an op answered: an object without getters, whose fields may be texts and lists.
    Answer,
    /// A field of what one of our functions answered: only itself may be called.
    Part,
}

#[derive(Default)]
struct Names {
    origins: HashMap<Id, Origin>,
    /// Objects that inherit nothing.
    bare: HashSet<Id>,
    /// Functions that answer a promise.
    promising: HashSet<Id>,
}

impl Names {
    fn of(&self, name: &Ident) -> Option<Origin> {
        self.origins.get(&name.to_id()).copied()
    }

    /// What the value of an expression is, as far as it can be seen.
    fn origin(&self, value: &Expr) -> Option<Origin> {
        match value {
            Expr::Ident(name) if &*name.sym == "__bootstrap" => Some(Origin::Own),
            Expr::Ident(name) => self.of(name),
            Expr::This(_) | Expr::Object(_) | Expr::Class(_) | Expr::Arrow(_) | Expr::Fn(_) => {
                Some(Origin::Own)
            }
            Expr::SuperProp(_) => Some(Origin::Own),
            Expr::Paren(inner) => self.origin(&inner.expr),
            Expr::New(new) => match &*new.callee {
                Expr::Ident(class) if class.sym.starts_with("Safe") => Some(Origin::Safe),
                Expr::Ident(class) => self.of(class).filter(|origin| *origin == Origin::Own),
                _ => None,
            },
            Expr::Member(member) => self.member(member),
            Expr::Await(inner) => self.origin(&inner.arg).filter(|origin| *origin == Origin::Answer),
            Expr::Call(call) => match &**call.callee.as_expr()? {
                Expr::Member(member) if is_named(&member.prop, "loadExtScript") => {
                    // What user code gets of Node's library, it can change.
                    let loaded = call.args.first()?.expr.as_lit()?.as_str()?;
                    (!loaded.value.to_string_lossy().starts_with("ext:deno_node/")).then_some(Origin::Own)
                }
                callee => self.answer(callee),
            },
            _ => None,
        }
    }

    /// What a call answers, as far as it is known.
    fn answer(&self, callee: &Expr) -> Option<Origin> {
        let is_op = |name: &str| name.starts_with("op_");
        match callee {
            // What is behind a Request or a Response has no getters either.
            Expr::Ident(name) if is_op(&name.sym) || name.sym.starts_with("toInner") => Some(Origin::Answer),
            Expr::Ident(name) => self.of(name).filter(|origin| *origin == Origin::Own).map(|_| Origin::Part),
            Expr::Member(member) => match member.prop.as_ident() {
                Some(name) if is_op(&name.sym) => Some(Origin::Answer),
                _ => None,
            },
            _ => None,
        }
    }

    fn member(&self, member: &MemberExpr) -> Option<Origin> {
        if is_named(&member.prop, "primordials") {
            return Some(Origin::Primordial);
        }
        // What a constructor has put into its object may be anything.
        if member.obj.is_this() {
            return None;
        }
        self.origin(&member.obj)
            .filter(|origin| *origin == Origin::Own && !is_named(&member.prop, "prototype"))
    }

    fn bind(&mut self, pattern: &Pat, origin: Origin) {
        match pattern {
            Pat::Ident(name) => {
                self.origins.insert(name.to_id(), origin);
            }
            Pat::Object(object) => self.bind_fields(object, origin),
            _ => {}
        }
    }

    fn bind_fields(&mut self, object: &ObjectPat, origin: Origin) {
        for field in &object.props {
            match field {
                ObjectPatProp::Assign(field) => {
                    let origin = if &*field.key.sym == "primordials" { Origin::Primordial } else { origin };
                    self.origins.insert(field.key.to_id(), origin);
                }
                ObjectPatProp::KeyValue(field) => self.bind(&field.value, origin),
                ObjectPatProp::Rest(_) => {}
            }
        }
    }
}

/// Reads which names a script gives to what. Twice, because functions use what is declared below them.
impl Visit for Names {
    fn visit_var_declarator(&mut self, declared: &VarDeclarator) {
        declared.visit_children_with(self);
        let Some(value) = declared.init.as_deref() else { return };
        if let (Pat::Ident(name), Expr::Arrow(ArrowExpr { is_async: true, .. })) = (&declared.name, value) {
            self.promising.insert(name.to_id());
        }
        match self.origin(value) {
            // Nothing is known of what our functions answer, but that their own functions may be in it.
            Some(Origin::Part) if declared.name.is_ident() => {}
            Some(origin) => self.bind(&declared.name, origin),
            None => {}
        }
        if let (Pat::Ident(name), Expr::Object(object)) = (&declared.name, value)
            && !inherits(object)
        {
            self.bare.insert(name.to_id());
        }
    }

    fn visit_fn_decl(&mut self, declared: &FnDecl) {
        if declared.function.is_async {
            self.promising.insert(declared.ident.to_id());
        }
        self.origins.insert(declared.ident.to_id(), Origin::Own);
        declared.visit_children_with(self);
    }

    fn visit_class_decl(&mut self, declared: &ClassDecl) {
        self.origins.insert(declared.ident.to_id(), Origin::Own);
        declared.visit_children_with(self);
    }
}

fn is_named(property: &MemberProp, name: &str) -> bool {
    property.as_ident().is_some_and(|found| &*found.sym == name)
}

/// Looks for what the rule refuses.
struct Rule<'a> {
    names: &'a Names,
    unresolved: SyntaxContext,
    /// Whether the script's own statements run while the snapshot is made, before there is any user code.
    is_early: bool,
    /// How many functions are around what is looked at.
    depth: usize,
    /// Whether the innermost of them is an async one.
    is_async: bool,
    found: Vec<(BytePos, String)>,
}

impl Rule<'_> {
    fn find(&mut self, at: BytePos, what: String) {
        self.found.push((at, what));
    }

    /// Of what is safe before there is user code.
    fn find_late(&mut self, at: BytePos, what: String) {
        if !(self.is_early && self.depth <= 1) {
            self.find(at, what);
        }
    }

    fn inside(&mut self, is_async: bool, visit: impl FnOnce(&mut Self)) {
        let outside = std::mem::replace(&mut self.is_async, is_async);
        self.depth += 1;
        visit(self);
        self.depth -= 1;
        self.is_async = outside;
    }

    fn returned(&mut self, value: &Expr) {
        if let Expr::Call(call) = value
            && let Some(Expr::Ident(name)) = call.callee.as_expr().map(|callee| &**callee)
            && self.is_async
            && self.names.promising.contains(&name.to_id())
        {
            self.find(
                name.span.lo,
                "returns a promise, whose `then` user code has: `return await`".to_owned(),
            );
        }
    }

    fn is_own(&self, value: &Expr) -> bool {
        value.is_super_prop() || matches!(self.names.origin(value), Some(Origin::Own | Origin::Safe))
    }

    fn is_answer(&self, value: &Expr) -> bool {
        self.names.origin(value) == Some(Origin::Answer)
    }

    fn called(&mut self, member: &MemberExpr) {
        let Some(name) = member.prop.as_ident() else { return };
        let at = name.span.lo;
        if is_in(METHODS, &name.sym) && !self.is_own(&member.obj) {
            self.find_late(at, format!("calls the method `{}`", name.sym));
        }
    }

    fn spread(&mut self, given: &[ExprOrSpread]) {
        for one in given {
            if let Some(dots) = one.spread.filter(|_| !self.is_safe(&one.expr)) {
                self.find_late(
                    dots.lo,
                    "spreads by the iterator of user code: `ReflectApply`, a loop".to_owned(),
                );
            }
        }
    }

    fn is_safe(&self, value: &Expr) -> bool {
        self.names.origin(value) == Some(Origin::Safe)
    }

    // Whether what is waited for is a promise that our code made.
    fn is_own_promise(&self, value: &Expr) -> bool {
        match value {
            Expr::Call(call) => match &call.callee {
                Callee::Expr(callee) => match &**callee {
                    Expr::Member(member) => self.is_own(&member.obj),
                    Expr::Ident(name) => match self.names.of(name) {
                        Some(Origin::Primordial) => name.sym.contains("Promise"),
                        origin => origin.is_some(),
                    },
                    _ => false,
                },
                _ => false,
            },
            Expr::New(_) => true,
            Expr::Await(inner) => self.is_own_promise(&inner.arg),
            Expr::Paren(inner) => self.is_own_promise(&inner.expr),
            _ => false,
        }
    }

    fn primordial(&mut self, name: &Ident, arguments: &[ExprOrSpread]) {
        if is_in(SPECIES, &name.sym) {
            self.find_late(name.span.lo, format!("`{}` makes what `Symbol.species` says: a loop", name.sym));
        }
        let defines = ["ObjectDefineProperty", "ReflectDefineProperty"].contains(&&*name.sym);
        if let Some(descriptor) = arguments.get(2).and_then(|given| given.expr.as_object())
            && defines
            && inherits(descriptor)
        {
            self.find_late(descriptor.span.lo, "a descriptor without `__proto__: null`".to_owned());
        }
    }
}

/// Whether an object literal has a prototype.
fn inherits(object: &ObjectLit) -> bool {
    match object.props.first() {
        Some(PropOrSpread::Prop(first)) => match &**first {
            Prop::KeyValue(first) => !matches!(&first.key, PropName::Ident(key) if &*key.sym == "__proto__"),
            _ => true,
        },
        // Made of one that has none.
        Some(PropOrSpread::Spread(_)) => false,
        None => true,
    }
}

impl Visit for Rule<'_> {
    fn visit_ident(&mut self, name: &Ident) {
        if name.ctxt == self.unresolved && !is_in(FIXED, &name.sym) {
            self.find_late(name.span.lo, format!("uses the global `{}`", name.sym));
        }
    }

    fn visit_function(&mut self, function: &Function) {
        self.inside(function.is_async, |rule| function.visit_children_with(rule));
    }

    fn visit_return_stmt(&mut self, statement: &ReturnStmt) {
        if let Some(value) = &statement.arg {
            self.returned(value);
        }
        statement.visit_children_with(self);
    }

    fn visit_arrow_expr(&mut self, function: &ArrowExpr) {
        self.inside(function.is_async, |rule| {
            if let ArrowFunctionBody::Expr(value) = &*function.body {
                rule.returned(value);
            }
            function.visit_children_with(rule);
        });
    }

    fn visit_getter_prop(&mut self, getter: &GetterProp) {
        self.inside(false, |rule| getter.visit_children_with(rule));
    }

    fn visit_setter_prop(&mut self, setter: &SetterProp) {
        self.inside(false, |rule| setter.visit_children_with(rule));
    }

    fn visit_class_member(&mut self, member: &ClassMember) {
        self.inside(false, |rule| member.visit_children_with(rule));
    }

    fn visit_call_expr(&mut self, call: &CallExpr) {
        if let Callee::Expr(callee) = &call.callee {
            match &**callee {
                Expr::Member(member) => self.called(member),
                Expr::OptChain(OptChainExpr { base, .. }) => {
                    if let OptChainBase::Member(member) = &**base {
                        self.called(member);
                    }
                }
                Expr::Ident(name) => self.primordial(name, &call.args),
                _ => {}
            }
        }
        self.spread(&call.args);
        call.visit_children_with(self);
    }

    fn visit_opt_call(&mut self, call: &OptCall) {
        match &*call.callee {
            Expr::Member(member) => self.called(member),
            Expr::OptChain(OptChainExpr { base, .. }) => {
                if let OptChainBase::Member(member) = &**base {
                    self.called(member);
                }
            }
            _ => {}
        }
        self.spread(&call.args);
        call.visit_children_with(self);
    }

    fn visit_new_expr(&mut self, new: &NewExpr) {
        if let Expr::Ident(name) = &*new.callee
            && is_in(UNSAFE, &name.sym)
        {
            self.find(name.span.lo, format!("makes a `{0}`: `Safe{0}`", name.sym));
        }
        self.spread(new.args.as_deref().unwrap_or_default());
        new.visit_children_with(self);
    }

    fn visit_array_lit(&mut self, array: &swc_ecma_ast::ArrayLit) {
        for one in array.elems.iter().flatten() {
            self.spread(std::slice::from_ref(one));
        }
        array.visit_children_with(self);
    }

    fn visit_array_pat(&mut self, pattern: &ArrayPat) {
        self.find_late(
            pattern.span.lo,
            "takes a list apart by the iterator of user code: `{ 0: a, 1: b }`".to_owned(),
        );
        pattern.visit_children_with(self);
    }

    fn visit_for_of_stmt(&mut self, statement: &ForOfStmt) {
        if !self.is_safe(&statement.right) {
            self.find_late(
                statement.span.lo,
                "walks by the iterator of user code: count, or a Safe...Iterator".to_owned(),
            );
        }
        statement.visit_children_with(self);
    }

    fn visit_for_in_stmt(&mut self, statement: &ForInStmt) {
        let is_bare = match &*statement.right {
            Expr::Object(object) => !inherits(object),
            Expr::Ident(name) => self.names.bare.contains(&name.to_id()),
            _ => false,
        };
        if !is_bare {
            self.find_late(
                statement.span.lo,
                "walks what user code may have added to the prototype, too".to_owned(),
            );
        }
        statement.visit_children_with(self);
    }

    fn visit_yield_expr(&mut self, expression: &YieldExpr) {
        if expression.delegate {
            self.find_late(expression.span.lo, "yields by the iterator of user code".to_owned());
        }
        expression.visit_children_with(self);
    }

    fn visit_regex(&mut self, expression: &Regex) {
        self.find(
            expression.span.lo,
            "a regular expression with user code's methods: `SafeRegExp`".to_owned(),
        );
    }

    fn visit_await_expr(&mut self, expression: &AwaitExpr) {
        if !self.is_own_promise(&expression.arg) {
            self.find_late(expression.span.lo, "waits for what may be a thenable of user code".to_owned());
        }
        expression.visit_children_with(self);
    }

    fn visit_bin_expr(&mut self, expression: &BinExpr) {
        if expression.op == BinaryOp::InstanceOf {
            let what = "`instanceof` asks `Symbol.hasInstance`: `ObjectPrototypeIsPrototypeOf`";
            self.find_late(expression.right.span().lo, what.to_owned());
        }
        expression.visit_children_with(self);
    }

    fn visit_member_expr(&mut self, member: &MemberExpr) {
        if let Some(name) = member.prop.as_ident() {
            if is_in(GETTERS, &name.sym) && !self.is_own(&member.obj) && !self.is_answer(&member.obj) {
                self.find_late(name.span.lo, format!("reads `{}`, a getter of user code", name.sym));
            }
            if let Some(holder) = member.obj.as_member()
                && is_named(&holder.prop, "prototype")
                && !is_in("prototype constructor", &name.sym)
            {
                self.find_late(name.span.lo, format!("reads `{}` of a prototype", name.sym));
            }
        }
        member.visit_children_with(self);
    }
}

/// The scripts that are ours: not the copies of Node's library, and not what makes them.
fn scripts() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../js");
    let mut scripts = Vec::new();
    for (folder, prefix) in [(folder.clone(), ""), (folder.join("node"), "node/")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.ends_with(".js") && !name.ends_with(".generated.js") {
                scripts.push((format!("{prefix}{name}"), std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    scripts.sort();
    scripts
}

const MARKS: [&str; 2] = ["// user code: ", "// own: "];

/// What a script does against the rule, as (line, what), but for what a comment allows; and comments that allow nothing.
fn violations(name: &str, source: &str) -> Vec<String> {
    GLOBALS.set(&Globals::new(), || {
        let map: Lrc<SourceMap> = Lrc::default();
        let file = map.new_source_file(FileName::Anon.into(), source.to_owned());
        let parsed =
            parse_file_as_program(&file, Syntax::default(), EsVersion::EsNext, None, &mut Vec::new());
        let mut program = parsed.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let (unresolved, top) = (Mark::new(), Mark::new());
        resolver(unresolved, top, false).process(&mut program);
        let is_early = name.starts_with(|first: char| first.is_ascii_digit()) && name != "99_fast.js";
        let found = found(&program, SyntaxContext::empty().apply_mark(unresolved), is_early);
        report(name, &file, &found, &MARKS)
    })
}

fn found(program: &Program, unresolved: SyntaxContext, is_early: bool) -> Vec<(BytePos, String)> {
    let mut names = Names::default();
    program.visit_with(&mut names);
    program.visit_with(&mut names);
    let mut rule = Rule { names: &names, unresolved, is_early, depth: 0, is_async: false, found: Vec::new() };
    program.visit_with(&mut rule);
    rule.found
}

fn report(name: &str, file: &SourceFile, found: &[(BytePos, String)], marks: &[&str]) -> Vec<String> {
    let lines: Vec<&str> = file.src.lines().collect();
    let is_marked = |line: usize| marks.iter().any(|mark| lines[line].contains(mark));
    let mut used = BTreeSet::new();
    let mut violations = Vec::new();
    for (at, what) in found {
        let line = file.lookup_line(*at).unwrap_or_default();
        let above = line.checked_sub(1).filter(|above| lines[*above].trim_start().starts_with("//"));
        match [Some(line), above].into_iter().flatten().find(|line| is_marked(*line)) {
            Some(mark) => {
                used.insert(mark);
            }
            None => violations.push(format!("js/{name}:{}: {what}", line + 1)),
        }
    }
    for line in (0..lines.len()).filter(|line| is_marked(*line) && !used.contains(line)) {
        violations.push(format!("js/{name}:{}: the comment allows nothing", line + 1));
    }
    violations
}

#[test]
fn our_javascript_calls_nothing_that_user_code_can_replace() {
    let scripts = scripts();
    assert!(scripts.len() > 40, "{} scripts", scripts.len());
    let violations: Vec<String> =
        scripts.iter().flat_map(|(name, source)| violations(name, source)).collect();
    assert!(violations.is_empty(), "\n{}\n{} places\n", violations.join("\n"), violations.len());
}

/// Ops and functions of deno_core by which something leaves a room and that do not wait in the host: they are called behind
/// `afterWrites`.
const LEAVES: &str = "op_cache_delete op_cache_put op_fetch_send op_node_net_connect op_node_net_secure shutdown write writeAll";

/// Ops by which something leaves a room, when its writes are durable: the host holds it back.
const HELD_BY_HOST: &str = "op_binding_call op_broadcast_binary op_broadcast_text op_connection_accept op_edge_accept \
    op_edge_forward op_edge_open op_edge_pass op_edge_refuse op_edge_relay op_party_fetch op_response_bytes \
    op_response_reason op_response_reject op_response_static op_response_stream op_socket_close op_socket_connect \
    op_socket_send_binary op_socket_send_text";

/// Ops by which nothing leaves a room: it only asks, writes its own storage, computes, or tells its log.
const STAYS: &str = "op_aes_gcm op_answer_bound op_assets_fetch op_broadcast_skip op_bundle_binary op_bundle_wasm op_cache_match \
    op_clock_moved op_clock_offset op_trace_begin op_trace_console op_trace_end \
    op_connection_attach op_connection_list op_connection_tags op_console_write op_edge_wait op_html_check op_html_start \
    op_html_step op_is_ascii op_is_utf8 op_lane_call op_lane_enter op_memory_hold op_memory_release op_node_brotli_decoder \
    op_node_brotli_encoder op_node_brotli_write op_node_buffer_compare op_node_buffer_compare_offset op_node_crc32 \
    op_node_encoding_slice op_node_get_own_non_index_properties op_node_idna_domain_to_ascii op_node_idna_domain_to_unicode \
    op_node_mark_untransferable op_node_punycode_decode op_node_punycode_encode op_node_transcode op_node_zlib_create \
    op_node_zlib_message op_node_zlib_params op_node_zlib_reset op_node_zlib_write op_party_url op_request_coded \
    op_room_alarm_done op_room_hibernates op_room_hold op_room_reset op_room_started op_socket_buffered op_socket_forget \
    op_storage_begin op_storage_check_count op_storage_commit op_storage_delete op_storage_delete_alarm op_storage_delete_all \
    op_storage_delete_many op_storage_get op_storage_get_alarm op_storage_get_many op_storage_list op_storage_pending \
    op_storage_presses op_storage_put op_storage_put_many op_storage_rollback op_storage_set_alarm op_storage_sync \
    op_value_clone op_value_deserialize op_value_serialize";

/// Looks for calls by which something leaves a room past its output gate.
#[derive(Default)]
struct Leaving {
    /// How many calls of `afterWrites` are around what is looked at.
    gates: usize,
    found: Vec<(BytePos, String)>,
}

impl Visit for Leaving {
    fn visit_call_expr(&mut self, call: &CallExpr) {
        let name = match &call.callee {
            Callee::Expr(callee) => match &**callee {
                Expr::Ident(name) => {
                    Some(&*name.sym).filter(|name| name.starts_with("op_") || *name == "afterWrites")
                }
                // `write` of anything else is another function.
                Expr::Member(MemberExpr { obj, prop: MemberProp::Ident(name), .. })
                    if name.sym.starts_with("op_")
                        || obj.as_ident().is_some_and(|core| &*core.sym == "core") =>
                {
                    Some(&*name.sym)
                }
                _ => None,
            },
            _ => None,
        };
        if let Some(name) = name.filter(|name| self.gates == 0 && is_in(LEAVES, name)) {
            self.found.push((call.span.lo, format!("calls `{name}` past the output gate: `afterWrites`")));
        }
        let gate = usize::from(name == Some("afterWrites"));
        self.gates += gate;
        call.visit_children_with(self);
        self.gates -= gate;
    }
}

#[test]
fn what_leaves_a_room_passes_its_output_gate() {
    let mut violations = Vec::new();
    for (name, source) in scripts() {
        GLOBALS.set(&Globals::new(), || {
            let map: Lrc<SourceMap> = Lrc::default();
            let file = map.new_source_file(FileName::Anon.into(), source.clone());
            let parsed =
                parse_file_as_program(&file, Syntax::default(), EsVersion::EsNext, None, &mut Vec::new());
            let mut leaving = Leaving::default();
            parsed.unwrap().visit_with(&mut leaving);
            violations.extend(report(&name, &file, &leaving.found, &[]));
        });
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn every_op_is_known_to_leave_or_to_stay() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../extensions/src");
    let listed = |file: &str, begin: &str| {
        let text = std::fs::read_to_string(sources.join(file)).unwrap();
        let list = text.split_once(begin).unwrap_or_else(|| panic!("{file} has no `{begin}`")).1;
        let list = list.split_once(']').unwrap().0;
        let words = list.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(|word| word.starts_with("op_")).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let mut ops = listed("lib.rs", "ops = [");
    ops.extend(listed("node/table.rs", "extend(["));
    assert!(ops.len() > 80, "{ops:?}");
    let known = |name: &str| is_in(LEAVES, name) || is_in(HELD_BY_HOST, name) || is_in(STAYS, name);
    let unknown: Vec<&String> = ops.iter().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "Say in this file whether something leaves a room by {unknown:?}.");
}

#[test]
fn each_kind_of_violation_is_found() {
    let kinds = [
        ("new URL(x);", "global `URL`"),
        ("x.then(y);", "method `then`"),
        ("x?.includes(y);", "method `includes`"),
        ("x.byteLength;", "`byteLength`, a getter"),
        ("for (const z of x) z;", "walks by the iterator"),
        ("for (const z in x) z;", "walks what user code may have added"),
        ("f(...x);", "spreads"),
        ("const [z] = x;", "takes a list apart"),
        ("new Map();", "makes a `Map`"),
        ("ArrayPrototypeSlice(x);", "`Symbol.species`"),
        ("ObjectDefineProperty(x, y, { value: 1 });", "descriptor"),
        ("x instanceof f;", "`instanceof`"),
        ("async () => await x;", "thenable"),
        ("async function a() { return b(); } async function b() {}", "returns a promise"),
        ("/x/;", "regular expression"),
        ("A.prototype.m;", "of a prototype"),
        ("// own: nothing.\nf(x);", "allows nothing"),
    ];
    for (statement, wanted) in kinds {
        let source = format!(
            "(function () {{ const {{ core, primordials }} = __bootstrap;
            const {{ ArrayPrototypeSlice, Map, ObjectDefineProperty, SafeMap }} = primordials; class A {{}}
            function f(x, y) {{\n{statement}\n}}\nconst own = new SafeMap(); own.get(f); for (const y of own) core.close(y); }})();"
        );
        let found = violations("late.js", &source);
        assert!(found.len() == 1 && found[0].contains(wanted), "{statement}: {found:?}");
    }
    let allowed = "(function () {\n// user code: its promise.\nreturn (x) => x.then();\n})();";
    assert_eq!(violations("late.js", allowed), Vec::<String>::new());
}
