//! HTMLRewriter, by lol_html.
//!
//! Handlers of user code may be asynchronous, the parser is not: each transformation has a thread of its own while it lasts,
//! which stops at every token that a handler wants and waits for what shall change. `js/html_rewriter.js` drives it with one
//! op: each step hands over bytes, the end, or the changes to the last token, and answers with the next thing that happens.
//! The threads are none of the worker's pool, in which names are looked up, and there are so many at most: a handler that
//! never ends holds up nothing but its own transformation.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use deno_core::{AsyncRefCell, JsBuffer, OpState, RcRef, Resource, ResourceId, ToJsBuffer, op2, v8};
use deno_error::JsErrorBox;
use lol_html::html_content::{Comment, ContentType, Doctype, DocumentEnd, Element, EndTag, TextChunk};
use lol_html::{
    DocumentContentHandlers, ElementContentHandlers, HandlerResult, HtmlRewriter, MemorySettings, OutputSink,
    Selector, Settings,
};
use partyrun_limits::{Charge, Limits};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::memory;

/// A handler object of user code: which tokens it wants, and where.
#[derive(Deserialize)]
pub(crate) struct Wanted {
    /// `None` for a handler of the whole document.
    selector: Option<String>,
    element: bool,
    comments: bool,
    text: bool,
    doctype: bool,
    end: bool,
}

/// Something that a handler wants to have changed.
#[derive(Deserialize)]
pub(crate) struct Change {
    what: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    html: bool,
}

enum Command {
    Write(Vec<u8>),
    End,
    Changes(Vec<Change>),
}

/// What happens next.
#[derive(Default, Serialize)]
pub(crate) struct Happening {
    /// `input`, `done`, `error`, or the token's kind.
    kind: &'static str,
    /// Of `input` and `done`: what came out. Of `error`: the message, as `name`.
    output: Option<ToJsBuffer>,
    /// The handler's number, or that of `onEndTag`.
    handler: usize,
    name: String,
    text: String,
    /// Names and values in turn.
    attributes: Vec<String>,
    public_id: Option<String>,
    system_id: Option<String>,
    /// The last chunk of a text, or an element that cannot have content.
    flag: bool,
}

type Output = Arc<Mutex<Vec<u8>>>;

struct Sink(Output);

impl OutputSink for Sink {
    fn handle_chunk(&mut self, chunk: &[u8]) {
        if let Ok(mut output) = self.0.lock() {
            output.extend_from_slice(chunk);
        }
    }
}

// The parser's end of both channels.
struct Talk {
    commands: mpsc::Receiver<Command>,
    happenings: mpsc::Sender<Happening>,
}

// Handlers are called one at a time, by the thread that also owns this.
type Shared = Rc<RefCell<Talk>>;

fn ask(talk: &Shared, happening: Happening) -> Result<Vec<Change>, Box<dyn std::error::Error + Send + Sync>> {
    let mut talk = talk.borrow_mut();
    talk.happenings.blocking_send(happening).map_err(|_| "nobody waits for the transformation")?;
    match talk.commands.blocking_recv() {
        Some(Command::Changes(changes)) => Ok(changes),
        _ => Err("the transformation was given up".into()),
    }
}

fn content(change: &Change) -> ContentType {
    if change.html { ContentType::Html } else { ContentType::Text }
}

fn on_element(talk: &Shared, handler: usize, element: &mut Element<'_, '_>) -> HandlerResult {
    let mut attributes = Vec::new();
    for attribute in element.attributes() {
        attributes.push(attribute.name());
        attributes.push(attribute.value());
    }
    let changes = ask(
        talk,
        Happening {
            kind: "element",
            handler,
            name: element.tag_name_preserve_case(),
            text: element.namespace_uri().to_string(),
            attributes,
            flag: !element.can_have_content(),
            ..Happening::default()
        },
    )?;
    for change in changes {
        let (text, kind) = (&change.text, content(&change));
        match change.what.as_str() {
            "before" => element.before(text, kind),
            "after" => element.after(text, kind),
            "prepend" => element.prepend(text, kind),
            "append" => element.append(text, kind),
            "replace" => element.replace(text, kind),
            "setInnerContent" => element.set_inner_content(text, kind),
            "remove" => element.remove(),
            "removeAndKeepContent" => element.remove_and_keep_content(),
            "setAttribute" => element.set_attribute(text, &change.value)?,
            "removeAttribute" => element.remove_attribute(text),
            "tagName" => element.set_tag_name(text)?,
            "onEndTag" => {
                let (talk, number) = (talk.clone(), text.parse().unwrap_or(0));
                element.on_end_tag(Box::new(move |end: &mut EndTag<'_>| on_end_tag(&talk, number, end)))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn on_end_tag(talk: &Shared, handler: usize, end: &mut EndTag<'_>) -> HandlerResult {
    let name = end.name_preserve_case();
    for change in ask(talk, Happening { kind: "endTag", handler, name, ..Happening::default() })? {
        match change.what.as_str() {
            "before" => end.before(&change.text, content(&change)),
            "after" => end.after(&change.text, content(&change)),
            "remove" => end.remove(),
            "tagName" => end.set_name_str(change.text),
            _ => {}
        }
    }
    Ok(())
}

fn on_comment(talk: &Shared, handler: usize, comment: &mut Comment<'_>) -> HandlerResult {
    let text = comment.text();
    for change in ask(talk, Happening { kind: "comments", handler, text, ..Happening::default() })? {
        match change.what.as_str() {
            "before" => comment.before(&change.text, content(&change)),
            "after" => comment.after(&change.text, content(&change)),
            "replace" => comment.replace(&change.text, content(&change)),
            "remove" => comment.remove(),
            "text" => comment.set_text(&change.text)?,
            _ => {}
        }
    }
    Ok(())
}

fn on_text(talk: &Shared, handler: usize, chunk: &mut TextChunk<'_>) -> HandlerResult {
    let (text, flag) = (chunk.as_str().to_string(), chunk.last_in_text_node());
    for change in ask(talk, Happening { kind: "text", handler, text, flag, ..Happening::default() })? {
        match change.what.as_str() {
            "before" => chunk.before(&change.text, content(&change)),
            "after" => chunk.after(&change.text, content(&change)),
            "replace" => chunk.replace(&change.text, content(&change)),
            "remove" => chunk.remove(),
            _ => {}
        }
    }
    Ok(())
}

fn on_doctype(talk: &Shared, handler: usize, doctype: &Doctype<'_>) -> HandlerResult {
    ask(
        talk,
        Happening {
            kind: "doctype",
            handler,
            name: doctype.name().unwrap_or_default(),
            public_id: doctype.public_id(),
            system_id: doctype.system_id(),
            ..Happening::default()
        },
    )?;
    Ok(())
}

fn on_end(talk: &Shared, handler: usize, end: &mut DocumentEnd<'_>) -> HandlerResult {
    for change in ask(talk, Happening { kind: "end", handler, ..Happening::default() })? {
        if change.what == "append" {
            end.append(&change.text, content(&change));
        }
    }
    Ok(())
}

// What the parser holds back while it looks for the end of a token may have `bytes_max` bytes.
fn settings<'a>(talk: &Shared, wanted: &[(Wanted, Option<Selector>)], bytes_max: usize) -> Settings<'a, 'a> {
    let memory = MemorySettings::new().with_max_allowed_memory_usage(bytes_max);
    let mut settings = Settings::new().with_memory_settings(memory);
    for (number, (wanted, selector)) in wanted.iter().enumerate() {
        let talk = || talk.clone();
        if let Some(selector) = selector {
            let mut handlers = ElementContentHandlers::default();
            if wanted.element {
                let talk = talk();
                handlers = handlers.element(move |el: &mut Element<'_, '_>| on_element(&talk, number, el));
            }
            if wanted.comments {
                let talk = talk();
                handlers = handlers.comments(move |it: &mut Comment<'_>| on_comment(&talk, number, it));
            }
            if wanted.text {
                let talk = talk();
                handlers = handlers.text(move |it: &mut TextChunk<'_>| on_text(&talk, number, it));
            }
            settings = settings.append_element_content_handler((Cow::Owned(selector.clone()), handlers));
            continue;
        }
        let mut handlers = DocumentContentHandlers::default();
        if wanted.doctype {
            let talk = talk();
            handlers = handlers.doctype(move |it: &mut Doctype<'_>| on_doctype(&talk, number, it));
        }
        if wanted.comments {
            let talk = talk();
            handlers = handlers.comments(move |it: &mut Comment<'_>| on_comment(&talk, number, it));
        }
        if wanted.text {
            let talk = talk();
            handlers = handlers.text(move |it: &mut TextChunk<'_>| on_text(&talk, number, it));
        }
        if wanted.end {
            let talk = talk();
            handlers = handlers.end(move |it: &mut DocumentEnd<'_>| on_end(&talk, number, it));
        }
        settings = settings.append_document_content_handler(handlers);
    }
    settings
}

// Runs on a thread of its own until the document ends, an error, or nobody listens any more.
fn parse(talk: Talk, wanted: &[(Wanted, Option<Selector>)], bytes_max: usize) {
    let talk = Rc::new(RefCell::new(talk));
    let output = Output::default();
    let taken = || output.lock().map(|mut output| std::mem::take(&mut *output)).unwrap_or_default();
    let mut rewriter = Some(HtmlRewriter::new(settings(&talk, wanted, bytes_max), Sink(output.clone())));
    loop {
        let command = talk.borrow_mut().commands.blocking_recv();
        let result = match (command, &mut rewriter) {
            (Some(Command::Write(bytes)), Some(rewriter)) => rewriter.write(&bytes),
            (Some(Command::End), rewriter) => rewriter.take().map_or(Ok(()), HtmlRewriter::end),
            (Some(Command::Changes(_)), _) => continue,
            _ => return,
        };
        let kind = if rewriter.is_some() { "input" } else { "done" };
        let happening = match result {
            Ok(()) => Happening { kind, output: Some(taken().into()), ..Happening::default() },
            Err(error) => Happening { kind: "error", name: error.to_string(), ..Happening::default() },
        };
        let last = happening.kind != "input";
        if talk.borrow().happenings.blocking_send(happening).is_err() || last {
            return;
        }
    }
}

/// The stack of a parser's thread.
const STACK_BYTES: usize = 512 * 1024;

// The parsers of the process.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

// The transformations of an isolate that have begun and not ended.
#[derive(Clone, Default)]
struct Unfinished(Rc<()>);

/// A transformation counts as so much of its room's memory: a thread, a parser, and what the parser holds back.
const TRANSFORMATION_BYTES: usize = 1 << 20;

/// A parser's place among those of the process.
struct Place;

impl Place {
    fn take(max: usize) -> Option<Self> {
        let place = (RUNNING.fetch_add(1, Ordering::Relaxed), Self);
        (place.0 < max).then_some(place.1)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

// Starts a parser's thread, if there may be one more.
fn start(
    limits: &Limits,
    talk: Talk,
    wanted: Vec<(Wanted, Option<Selector>)>,
    unfinished: &Unfinished,
    charge: Option<Charge>,
) -> Result<(), JsErrorBox> {
    let too_many = |what: &str, max: usize, name: &str| {
        JsErrorBox::type_error(format!(
            "HTMLRewriter: {what} has {max} transformations that are not finished, and there may be no more ({name}). \
             Read or cancel their bodies."
        ))
    };
    // Beside those of transformations there are the isolate's own reference and this one.
    let max = limits.html_rewriters_per_room_max;
    if Rc::strong_count(&unfinished.0) >= max.saturating_add(2) {
        return Err(too_many("this room", max, "html_rewriters_per_room_max"));
    }
    let max = limits.html_rewriters_max;
    let place = Place::take(max).ok_or_else(|| too_many("this server", max, "html_rewriters_max"))?;
    let bytes_max = limits.html_bytes_max;
    let body = move || {
        let _until_the_end = (place, charge);
        parse(talk, &wanted, bytes_max);
    };
    let thread = std::thread::Builder::new().name("html".to_string()).stack_size(STACK_BYTES).spawn(body);
    thread
        .map(drop)
        .map_err(|error| JsErrorBox::type_error(format!("HTMLRewriter: no thread can be started: {error}")))
}

struct Transformation {
    _unfinished: Unfinished,
    commands: mpsc::Sender<Command>,
    happenings: AsyncRefCell<mpsc::Receiver<Happening>>,
}

impl Resource for Transformation {
    fn name(&self) -> Cow<'_, str> {
        "transformation".into()
    }
}

// Refuses a selector that is none.
#[op2(fast)]
pub(crate) fn op_html_check(#[string] selector: &str) -> Result<(), JsErrorBox> {
    selector
        .parse::<Selector>()
        .map(drop)
        .map_err(|error| JsErrorBox::type_error(format!("Parser error: {error}")))
}

#[op2]
#[smi]
pub(crate) fn op_html_start(
    isolate: &mut v8::Isolate,
    state: &mut OpState,
    #[serde] wanted: Vec<Wanted>,
) -> Result<ResourceId, JsErrorBox> {
    let mut parsed = Vec::with_capacity(wanted.len());
    for each in wanted {
        let selector = each.selector.as_deref().map(str::parse::<Selector>).transpose();
        let selector = selector.map_err(|error| JsErrorBox::type_error(format!("Parser error: {error}")))?;
        parsed.push((each, selector));
    }
    let (commands, to_parser) = mpsc::channel(1);
    let (from_parser, happenings) = mpsc::channel(1);
    let talk = Talk { commands: to_parser, happenings: from_parser };
    if !state.has::<Unfinished>() {
        state.put(Unfinished::default());
    }
    let unfinished = state.borrow::<Unfinished>().clone();
    let charge = memory::take(isolate, state, TRANSFORMATION_BYTES)?;
    start(state.borrow::<Limits>(), talk, parsed, &unfinished, charge)?;
    let happenings = AsyncRefCell::new(happenings);
    Ok(state.resource_table.add(Transformation { _unfinished: unfinished, commands, happenings }))
}

// One step: `bytes` are more input, `changes` answer the last token, neither is the end of the input.
#[op2]
#[serde]
pub(crate) async fn op_html_step(
    state: Rc<RefCell<OpState>>,
    #[smi] resource: ResourceId,
    #[buffer] bytes: Option<JsBuffer>,
    #[serde] changes: Option<Vec<Change>>,
) -> Result<Happening, JsErrorBox> {
    let over = || JsErrorBox::type_error("The transformation is over.");
    let transformation: Rc<Transformation> =
        state.borrow().resource_table.get(resource).map_err(JsErrorBox::from_err)?;
    let command = match (bytes, changes) {
        (Some(bytes), _) => Command::Write(bytes.to_vec()),
        (None, Some(changes)) => Command::Changes(changes),
        (None, None) => Command::End,
    };
    transformation.commands.send(command).await.map_err(|_| over())?;
    let mut happenings = RcRef::map(&transformation, |it| &it.happenings).borrow_mut().await;
    happenings.recv().await.ok_or_else(over)
}
