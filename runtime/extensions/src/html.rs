//! HTMLRewriter, by lol_html.
//!
//! Handlers of user code may be asynchronous, but the parser is not. So each transformation has a thread of its own while it
//! lasts. The thread stops at every token that a handler wants and waits for the changes. `js/html_rewriter.js` drives it
//! with one op: each step hands over bytes, the end, or the changes to the last token, and returns the next thing that
//! happens. The threads do not belong to the worker's pool, in which names are looked up, and their number is limited. A
//! handler that never ends holds up only its own transformation.

mod parser;

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use deno_core::{AsyncRefCell, JsBuffer, OpState, RcRef, Resource, ResourceId, ToJsBuffer, op2, v8};
use deno_error::JsErrorBox;
use partyrun_limits::{Charge, Limits};
use tokio::sync::mpsc;

use crate::memory::{self, RoomMemory};
use parser::{Change, Command, Handler, Happening, Talk, Wanted, parse};

/// The stack of a parser's thread.
const STACK_BYTES: usize = 512 * 1024;

// The parsers of the process.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

// The transformations of an isolate that have begun and not ended.
#[derive(Clone, Default)]
struct Unfinished(Rc<()>);

/// A transformation counts as so much of its room's memory, beside what its parser holds: a thread and a parser.
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
    wanted: Vec<Handler>,
    unfinished: &Unfinished,
    memory: Option<&RoomMemory>,
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
    let held = RefCell::new(memory.map(|memory| memory.charge_anyway(0)));
    let tell = move |bytes| {
        if let Some(held) = &mut *held.borrow_mut() {
            held.set(bytes);
        }
    };
    let body = move || {
        let _until_the_end = (place, charge);
        parse(talk, &wanted, bytes_max, tell);
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
    parser::selector(selector).map(drop).map_err(JsErrorBox::type_error)
}

#[op2]
#[smi]
pub(crate) fn op_html_start(
    isolate: &mut v8::Isolate,
    state: &mut OpState,
    #[serde] wanted: Vec<Wanted>,
) -> Result<ResourceId, JsErrorBox> {
    let parsed = parser::handlers(wanted).map_err(JsErrorBox::type_error)?;
    let (commands, to_parser) = mpsc::channel(1);
    let (from_parser, happenings) = mpsc::channel(1);
    let talk = Talk { commands: to_parser, happenings: from_parser };
    if !state.has::<Unfinished>() {
        state.put(Unfinished::default());
    }
    let unfinished = state.borrow::<Unfinished>().clone();
    let charge = memory::take(isolate, state, TRANSFORMATION_BYTES)?;
    let memory = state.try_borrow::<RoomMemory>();
    start(state.borrow::<Limits>(), talk, parsed, &unfinished, memory, charge)?;
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
) -> Result<Happening<ToJsBuffer>, JsErrorBox> {
    let over = || JsErrorBox::type_error("The transformation is over.");
    let transformation: Rc<Transformation> =
        state.borrow().resource_table.get(resource).map_err(JsErrorBox::from_err)?;
    let length = match (&bytes, &changes) {
        (Some(bytes), _) => bytes.len(),
        (None, Some(changes)) => changes.iter().map(Change::bytes).sum(),
        (None, None) => 0,
    };
    // The parser has the copy until it answers.
    let _copy = memory::take_here(&state.borrow(), length)?;
    let command = match (bytes, changes) {
        (Some(bytes), _) => Command::Write(bytes.to_vec()),
        (None, Some(changes)) => Command::Changes(changes),
        (None, None) => Command::End,
    };
    transformation.commands.send(command).await.map_err(|_| over())?;
    let mut happenings = RcRef::map(&transformation, |it| &it.happenings).borrow_mut().await;
    Ok(happenings.recv().await.ok_or_else(over)?.with(ToJsBuffer::from))
}
