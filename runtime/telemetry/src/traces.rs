//! Traces: spans of what happens, and where in a trace each is (W3C Trace Context).
//!
//! While nobody asked for traces, [`tracer`] answers `None` after one look at a flag, and nothing else is done. What is not
//! sampled has no span either. A span ends when it is dropped, and goes into the queue of the exporter, which has a bound.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crate::queue::Queue;
use crate::sampler::Sampler;

/// A longer `tracestate` is left out (W3C Trace Context, 3.3.1.5).
const STATE_BYTES_MAX: usize = 512;

/// Where in a trace something is, as it is told to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    trace: u128,
    span: u64,
    sampled: bool,
    state: Cow<'static, str>,
}

// A number in hexadecimal digits, small letters only, as many of them as there must be.
fn hex(digits: Option<&str>, count: usize) -> Option<u128> {
    let digits = digits.filter(|digits| digits.len() == count)?;
    let is_hex = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
    digits.bytes().all(is_hex).then(|| u128::from_str_radix(digits, 16).ok()).flatten()
}

impl Place {
    /// What the two header fields say; none where they say nothing that is valid.
    pub fn read(parent: &str, state: &str) -> Option<Self> {
        // Later versions may add fields.
        let mut fields = parent.trim().split('-');
        let version = hex(fields.next(), 2).filter(|version| *version != 0xff)?;
        let trace = hex(fields.next(), 32).filter(|trace| *trace != 0)?;
        let span = u64::try_from(hex(fields.next(), 16)?).ok().filter(|span| *span != 0)?;
        let flags = hex(fields.next(), 2)?;
        if version == 0 && fields.next().is_some() {
            return None;
        }
        let is_member = |member: &str| member.split_once('=').is_some_and(|(key, _)| !key.trim().is_empty());
        let is_state = state.len() <= STATE_BYTES_MAX
            && state.bytes().all(|byte| matches!(byte, b' '..=b'~'))
            && state.split(',').all(is_member);
        let state = if is_state { Cow::Owned(state.to_string()) } else { Cow::Borrowed("") };
        Some(Self { trace, span, sampled: flags & 1 == 1, state })
    }

    /// What [`Place::text`] wrote.
    pub fn of_text(text: &str) -> Option<Self> {
        let (parent, state) = text.split_once('\n').unwrap_or((text, ""));
        Self::read(parent, state)
    }

    /// The field `traceparent`.
    pub fn parent(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }

    /// The field `tracestate`; empty if there is none.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// Both fields as one text: the second behind a line feed, if there is one.
    pub fn text(&self) -> String {
        if self.state.is_empty() { self.parent() } else { format!("{}\n{}", self.parent(), self.state) }
    }

    /// Whether spans of the trace are kept.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The trace's id, in hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The span's id, in hexadecimal digits.
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span)
    }
}

/// Who waits for what a span is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Somebody outside asked this server.
    Server,
    /// This server asks somebody.
    Client,
    /// Neither.
    Internal,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u16> for Attribute {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

/// Begins spans.
#[derive(Debug)]
pub struct Tracer {
    sampler: Sampler,
    ended: Queue<Ended>,
}

static IS_TRACING: AtomicBool = AtomicBool::new(false);
static TRACER: OnceLock<Tracer> = OnceLock::new();

/// The tracer, if somebody asked for traces.
#[inline]
pub fn tracer() -> Option<&'static Tracer> {
    if IS_TRACING.load(Ordering::Relaxed) { TRACER.get() } else { None }
}

pub(crate) fn start(sampler: Sampler, ended: Queue<Ended>) {
    if TRACER.set(Tracer { sampler, ended }).is_ok() {
        IS_TRACING.store(true, Ordering::Relaxed);
    }
}

pub(crate) fn end() {
    IS_TRACING.store(false, Ordering::Relaxed);
}

thread_local! {
    // Zero before the first use.
    static RANDOM: Cell<u64> = const { Cell::new(0) };
    static HERE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

// SplitMix64: ids need to be different, not to be secret.
#[inline]
fn random() -> u64 {
    let mut state = RANDOM.get();
    if state == 0 {
        state = seed();
    }
    state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    RANDOM.set(state);
    let mut mixed = state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    // Zero is no id.
    (mixed ^ (mixed >> 31)).max(1)
}

// A trace's id with these lower bits, which decide whether it is kept.
fn trace_id(low: u64) -> u128 {
    u128::from(random()) << 64 | u128::from(low)
}

impl Tracer {
    /// A span that begins now; none where it is not sampled. `name` is asked for only if it is.
    #[inline]
    pub fn begin<N: Into<Cow<'static, str>>>(
        &'static self,
        side: Side,
        parent: Option<&Place>,
        name: impl FnOnce() -> N,
    ) -> Option<Span> {
        // Of what is not kept, which is most, nothing but this is done.
        let low = parent.map_or_else(random, |parent| parent.trace as u64);
        let is_kept = self.sampler.keeps(parent.map(Place::is_sampled), low.into());
        is_kept.then(|| self.kept(side, parent, low, name().into()))
    }

    fn kept(&'static self, side: Side, parent: Option<&Place>, low: u64, name: Cow<'static, str>) -> Span {
        let trace = parent.map_or_else(|| trace_id(low), |parent| parent.trace);
        let state = parent.map_or(Cow::Borrowed(""), |parent| parent.state.clone());
        let ended = Ended {
            place: Place { trace, span: random(), sampled: true, state },
            parent: parent.map(Place::span_id),
            side,
            name,
            from: SystemTime::now(),
            to: SystemTime::UNIX_EPOCH,
            attributes: Vec::new(),
            failure: None,
        };
        Span { tracer: self, ended: Some(Box::new(ended)) }
    }

    /// A place in a trace that nobody keeps: whoever is asked must not begin one of its own.
    pub fn unsampled(&self) -> Place {
        Place { trace: trace_id(random()), span: random(), sampled: false, state: Cow::Borrowed("") }
    }

    /// The same place in a trace that this server does not keep.
    pub fn dropped(&self, place: &Place) -> Place {
        Place { sampled: false, ..place.clone() }
    }
}

/// A span that has ended, as it is exported.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) place: Place,
    pub(crate) parent: Option<String>,
    pub(crate) side: Side,
    pub(crate) name: Cow<'static, str>,
    pub(crate) from: SystemTime,
    pub(crate) to: SystemTime,
    pub(crate) attributes: Vec<(&'static str, Attribute)>,
    pub(crate) failure: Option<&'static str>,
}

/// Something that happens, from its beginning until this is dropped.
#[derive(Debug)]
pub struct Span {
    tracer: &'static Tracer,
    ended: Option<Box<Ended>>,
}

impl Span {
    /// Adds an attribute.
    pub fn set(&mut self, key: &'static str, value: impl Into<Attribute>) {
        if let Some(ended) = &mut self.ended {
            ended.attributes.push((key, value.into()));
        }
    }

    /// The status of the answer. One that means that this side failed makes the span a failed one.
    pub fn answered(&mut self, status: u16) {
        self.set("http.response.status_code", status);
        let failed_from = match self.ended.as_ref().map(|ended| ended.side) {
            Some(Side::Client) => 400,
            _ => 500,
        };
        if status >= failed_from {
            self.fail("");
        }
    }

    /// It failed.
    pub fn fail(&mut self, why: &'static str) {
        if let Some(ended) = &mut self.ended {
            ended.failure = Some(why);
        }
    }

    /// Where in the trace it is.
    pub fn place(&self) -> Option<Place> {
        self.ended.as_ref().map(|ended| ended.place.clone())
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(mut ended) = self.ended.take() {
            ended.to = SystemTime::now();
            self.tracer.ended.put(*ended);
        }
    }
}

/// Does `work`; lines of log that it writes belong to this place.
pub fn within<T>(place: Option<Place>, work: impl FnOnce() -> T) -> T {
    if place.is_none() {
        return work();
    }
    let before = HERE.replace(place);
    let result = work();
    HERE.set(before);
    result
}

/// Where in a trace a line of log belongs that is written now.
pub fn here() -> Option<Place> {
    if !IS_TRACING.load(Ordering::Relaxed) {
        return None;
    }
    HERE.with_borrow(Clone::clone)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn places_are_read_and_written_as_the_standard_says() {
        let place = Place::read(PARENT, "").unwrap();
        assert!(place.is_sampled());
        assert_eq!((place.parent().as_str(), place.state()), (PARENT, ""));
        assert_eq!(place.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(place.span_id(), "b7ad6b7169203331");
        let place = Place::read(PARENT, "vendor=opaque,other=1").unwrap();
        assert_eq!(place.state(), "vendor=opaque,other=1");
        assert_eq!(Place::of_text(&place.text()), Some(place));
        let unsampled = Place::read(&PARENT.replace("-01", "-00"), "").unwrap();
        assert!(!unsampled.is_sampled() && unsampled.parent().ends_with("-00"));
    }

    #[test]
    fn what_is_no_place_is_none() {
        let zeros = PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
        let long = "x".repeat(100_000);
        for parent in
            ["", "00", "00-1-2-3", &zeros, &PARENT.to_uppercase(), &PARENT.replace("00-0", "ff-0"), &long]
        {
            assert_eq!(Place::read(parent, ""), None, "{parent:.60}");
        }
        // A bad state does not take the parent with it.
        assert!(Place::read(PARENT, "no state at all").is_some());
    }

    #[test]
    fn without_a_tracer_nothing_is_anywhere() {
        assert!(tracer().is_none());
        within(Place::read(PARENT, ""), || assert_eq!(here(), None));
    }
}
