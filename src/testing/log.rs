//! A subscriber that writes down events and spans, for tests of what is logged.

use std::fmt::{self, Write as _};
use std::sync::{Arc, LazyLock, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{self, DefaultGuard};
use tracing::{Dispatch, Event, Metadata, Subscriber};

/// What was logged under some targets, a line for each event, span, and entry of a span.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Writes down what this thread logs under targets that begin so, until the guard is dropped.
    pub(crate) fn of_this_thread(target: &'static str) -> (Self, DefaultGuard) {
        /// Enables nothing, and is there: while there is one subscriber only, tracing asks the
        /// thread that meets an event first whether anybody wants it, and keeps that for all.
        static ANOTHER: LazyLock<Dispatch> =
            LazyLock::new(|| Dispatch::new(Log::default().subscriber("nothing")));
        LazyLock::force(&ANOTHER);
        let log = Self::default();
        let guard = subscriber::set_default(log.subscriber(target));
        (log, guard)
    }

    /// Writes into this log what is logged under targets that begin so.
    pub(crate) fn subscriber(&self, target: &'static str) -> impl Subscriber + Send + Sync + use<> {
        Recorder { log: self.clone(), target, spans: Mutex::default() }
    }

    /// The lines since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn push(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

struct Recorder {
    log: Log,
    target: &'static str,
    /// The names of all spans. A leaf lock.
    spans: Mutex<Vec<&'static str>>,
}

impl Recorder {
    fn name(&self, id: &Id) -> &'static str {
        self.spans.lock().unwrap()[usize::try_from(id.into_u64()).unwrap() - 1]
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with(self.target)
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let name = attributes.metadata().name();
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        self.log.push(format!("span {name}{}", fields.0));
        let mut spans = self.spans.lock().unwrap();
        spans.push(name);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        self.log.push(format!("{} {}{}", metadata.level(), metadata.target(), fields.0));
    }

    fn enter(&self, span: &Id) {
        self.log.push(format!("enter {}", self.name(span)));
    }

    fn exit(&self, span: &Id) {
        self.log.push(format!("exit {}", self.name(span)));
    }
}

/// ` name=value` for each field, except that a duration's value is not told.
#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "duration" => write!(self.0, " duration"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
