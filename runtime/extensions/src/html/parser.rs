//! A transformation without JavaScript: lol_html with handlers that ask, for each token, what shall change, and wait for the
//! answer. It knows nothing of V8, so that it can be tried by itself (`fuzz/`).

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use lol_html::errors::RewritingError;
use lol_html::html_content::{Comment, ContentType, Doctype, DocumentEnd, Element, EndTag, TextChunk};
use lol_html::{
    DocumentContentHandlers, ElementContentHandlers, HandlerResult, HtmlRewriter, MemorySettings, OutputSink,
    Selector, Settings,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

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

impl Change {
    /// What its texts take.
    #[allow(dead_code, reason = "the fuzz target that has this file as well does not count")]
    pub(crate) fn bytes(&self) -> usize {
        self.text.len() + self.value.len()
    }
}

/// What the parser is told.
pub(crate) enum Command {
    /// More of the document.
    Write(Vec<u8>),
    /// The document's end.
    End,
    /// What changes at the token that it told of last.
    Changes(Vec<Change>),
}

/// What happens next, with bytes in the form that the reader wants.
#[derive(Default, Serialize)]
pub(crate) struct Happening<Bytes = Vec<u8>> {
    /// `input`, `done`, `error`, or the token's kind.
    pub(crate) kind: &'static str,
    /// Of `input` and `done`: what came out. Of `error`: the message, as `name`.
    pub(crate) output: Option<Bytes>,
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

impl<Bytes> Happening<Bytes> {
    /// The same with other bytes.
    pub(crate) fn with<Others>(self, change: impl FnOnce(Bytes) -> Others) -> Happening<Others> {
        let Self { kind, output, handler, name, text, attributes, public_id, system_id, flag } = self;
        let output = output.map(change);
        Happening { kind, output, handler, name, text, attributes, public_id, system_id, flag }
    }
}

/// What the parser holds of a document: what came out and was not taken yet, and a token that has not ended.
struct Holding {
    output: RefCell<Vec<u8>>,
    unfinished: Cell<usize>,
    tell: Box<dyn Fn(usize)>,
}

impl Holding {
    fn tell(&self) {
        (self.tell)(self.output.borrow().len() + self.unfinished.get());
    }

    fn take(&self) -> Vec<u8> {
        let output = self.output.take();
        self.tell();
        output
    }

    // So much was written. Where something came out, a token has ended in it.
    fn note_written(&self, length: usize, bytes_max: usize) {
        let before = if self.output.borrow().is_empty() { self.unfinished.get() } else { 0 };
        self.unfinished.set((before + length).min(bytes_max));
    }
}

struct Sink(Rc<Holding>);

impl OutputSink for Sink {
    fn handle_chunk(&mut self, chunk: &[u8]) {
        self.0.output.borrow_mut().extend_from_slice(chunk);
        self.0.tell();
    }
}

/// The parser's end of both channels.
pub(crate) struct Talk {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) happenings: mpsc::Sender<Happening>,
}

/// A handler's tokens, and where it wants them.
pub(crate) type Handler = (Wanted, Option<Selector>);

/// Reads the selectors of handlers.
pub(crate) fn handlers(wanted: Vec<Wanted>) -> Result<Vec<Handler>, String> {
    let mut parsed = Vec::with_capacity(wanted.len());
    for each in wanted {
        let selector = each.selector.as_deref().map(selector).transpose()?;
        parsed.push((each, selector));
    }
    Ok(parsed)
}

/// Reads a selector.
pub(crate) fn selector(text: &str) -> Result<Selector, String> {
    text.parse().map_err(|error| format!("Parser error: {error}"))
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
fn settings<'a>(talk: &Shared, wanted: &[Handler], bytes_max: usize) -> Settings<'a, 'a> {
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

/// Runs on a thread of its own until the document ends, an error, or nobody listens any more. What the parser holds back may
/// have `bytes_max` bytes.
///
/// Whenever that changes, `tell` hears how many bytes are held.
pub(crate) fn parse(talk: Talk, wanted: &[Handler], bytes_max: usize, tell: impl Fn(usize) + 'static) {
    let talk = Rc::new(RefCell::new(talk));
    let holding =
        Rc::new(Holding { output: RefCell::default(), unfinished: Cell::new(0), tell: Box::new(tell) });
    let mut rewriter = Some(HtmlRewriter::new(settings(&talk, wanted, bytes_max), Sink(holding.clone())));
    loop {
        let command = talk.borrow_mut().commands.blocking_recv();
        let result = match (command, &mut rewriter) {
            (Some(Command::Write(bytes)), Some(rewriter)) => {
                let written = rewriter.write(&bytes);
                holding.note_written(bytes.len(), bytes_max);
                written
            }
            (Some(Command::End), rewriter) => rewriter.take().map_or(Ok(()), HtmlRewriter::end),
            (Some(Command::Changes(_)), _) => continue,
            _ => return,
        };
        let kind = if rewriter.is_some() { "input" } else { "done" };
        let happening = match result {
            Ok(()) => Happening { kind, output: Some(holding.take()), ..Happening::default() },
            Err(error) => {
                let limit = match error {
                    RewritingError::MemoryLimitExceeded(_) => {
                        format!(" (limit `html_bytes_max`: {bytes_max} bytes)")
                    }
                    _ => String::new(),
                };
                Happening { kind: "error", name: format!("{error}{limit}"), ..Happening::default() }
            }
        };
        let last = happening.kind != "input";
        if talk.borrow().happenings.blocking_send(happening).is_err() || last {
            return;
        }
    }
}
