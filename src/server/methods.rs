//! Which calls go to whom: to a method's handler, or to those who have requested its calls.

use super::handled::Handled;
use super::run_queue::RunQueue;
use crate::call::{CallCore, MessageRules, NewCall, Outcome};
use crate::cq::PendingOp;
use crate::service::{self, MethodConfig};
use crate::status::Status;
use crate::sync::{AtomicBool, Mutex, Ordering};
use slab::Slab;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::mem;
use std::sync::Arc;

/// What a registered method's calls come with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// Nothing but their head: the application receives all messages.
    None,
    /// Their only message, so that a method with one request message takes one event less.
    OnlyMessage,
}

/// A method that was registered with a server's builder
/// ([`Builder::register`](super::Builder::register) and its neighbours).
///
/// Calls of it are asked for with
/// [`Server::request_registered_call`](super::Server::request_registered_call). It displays as its
/// name.
///
/// ```
/// let mut builder = turnstile::Server::builder();
/// let method = builder.register_unary("/helloworld.Greeter/SayHello");
/// assert_eq!(method.name(), "/helloworld.Greeter/SayHello");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    index: usize,
    name: Arc<str>,
}

impl Method {
    pub(super) fn new(index: usize, name: &str) -> Self {
        Self { index, name: Arc::from(name) }
    }

    /// The full name: `/package.Service/Method`.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }
}

/// A registered method, as the builder knows it.
#[derive(Clone, Debug)]
pub(super) struct Registered {
    pub(super) method: Method,
    pub(super) payload: Payload,
    /// What may follow `application/grpc+`; empty for anything.
    pub(super) subtype: &'static str,
    pub(super) config: MethodConfig,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A server's methods.
pub(super) struct Methods {
    /// The index in `all` of each method that is registered or has a handler. A tree: clients choose
    /// what is looked up, and a hash that they cannot aim at costs more than a few comparisons.
    by_name: BTreeMap<Arc<str>, usize>,
    /// The first is for every other method.
    all: Vec<MethodState>,
    /// Somebody wants calls of methods that are not registered.
    takes_any: AtomicBool,
    max_waiting: usize,
    /// Calls whose first message has not come; `None` once closed. A leaf lock.
    arriving: Mutex<Option<Slab<Arc<CallCore>>>>,
}

struct MethodState {
    payload: Payload,
    /// What may follow `application/grpc+`; empty for anything.
    subtype: &'static str,
    rules: MessageRules,
    taker: Taker,
}

/// Who takes a method's calls.
enum Taker {
    /// A handler, on a thread in `run`.
    Handler(Arc<Handled>),
    /// Those who request them. Locked before a call's state. Operations complete and calls are
    /// cancelled without it.
    Requests(Mutex<Calls>),
}

impl MethodState {
    fn requested(payload: Payload, subtype: &'static str, rules: MessageRules) -> Self {
        Self { payload, subtype, rules, taker: Taker::Requests(Mutex::default()) }
    }

    fn handled(method: service::Method, rules: MessageRules, max_waiting: usize) -> Self {
        let payload = match method.kind().has_one_request() {
            true => Payload::OnlyMessage,
            false => Payload::None,
        };
        let (subtype, rules) = (method.subtype(), method.config().rules(rules));
        let taker = Taker::Handler(Handled::new(method, max_waiting));
        Self { payload, subtype, rules, taker }
    }

    fn requests(&self) -> Option<&Mutex<Calls>> {
        match &self.taker {
            Taker::Requests(calls) => Some(calls),
            Taker::Handler(_) => None,
        }
    }
}

/// Requests and calls of one method; at most one of the two queues is not empty.
#[derive(Default)]
struct Calls {
    requests: VecDeque<PendingOp<Outcome>>,
    waiting: VecDeque<NewCall>,
    is_closed: bool,
}

impl Calls {
    /// Makes room among `max` calls that wait: takes out those that have ended.
    fn take_ended(&mut self, max: usize) -> VecDeque<NewCall> {
        if self.waiting.len() < max {
            return VecDeque::new();
        }
        let (ended, waiting) = self.waiting.drain(..).partition(|call| call.owner.core().is_over());
        self.waiting = waiting;
        ended
    }
}

impl Methods {
    /// The index for methods that are not registered.
    pub(super) const ANY: usize = 0;

    /// `rules` are the server's.
    pub(super) fn new(
        registered: Vec<Registered>,
        handled: Vec<service::Method>,
        fallback: Option<service::Method>,
        rules: MessageRules,
        max_waiting: usize,
    ) -> Self {
        // With no method at all, it is those of any method that will be requested.
        let takes_any = registered.is_empty() && handled.is_empty() || fallback.is_some();
        let handler = |method| MethodState::handled(method, rules, max_waiting);
        let any = match fallback {
            Some(method) => handler(method),
            None => MethodState::requested(Payload::None, "", rules),
        };
        let (mut all, mut by_name) = (vec![any], BTreeMap::new());
        for Registered { method, payload, subtype, config } in registered {
            by_name.insert(method.name, all.len());
            all.push(MethodState::requested(payload, subtype, config.rules(rules)));
        }
        for method in handled {
            by_name.insert(method.path().clone(), all.len());
            all.push(handler(method));
        }
        let arriving = Mutex::new(Some(Slab::new()));
        Self { by_name, all, takes_any: AtomicBool::new(takes_any), max_waiting, arriving }
    }

    pub(super) fn knows(&self, method: &Method) -> bool {
        self.by_name.get(&method.name) == Some(&method.index)
    }

    /// Where calls of the method `name` go; `None` if nobody wants them.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        let registered = self.by_name.get(name).copied();
        registered.or_else(|| self.takes_any.load(Ordering::Acquire).then_some(Self::ANY))
    }

    /// Whether a handler takes the calls of a method.
    pub(super) fn is_handled(&self, method: usize) -> bool {
        matches!(self.all[method].taker, Taker::Handler(_))
    }

    /// What must follow `application/grpc+` in requests of a method, if anything does and they say
    /// this instead.
    pub(super) fn other_subtype(&self, method: usize, subtype: &str) -> Option<&'static str> {
        let known = self.all[method].subtype;
        (!known.is_empty() && known != subtype).then_some(known)
    }

    /// What the messages of a method may be.
    pub(super) fn rules(&self, method: usize) -> MessageRules {
        self.all[method].rules
    }

    pub(super) fn payload(&self, method: usize) -> Payload {
        self.all[method].payload
    }

    /// Somebody asks for a call: gets one that waits, or waits for one.
    pub(super) fn request(&self, method: usize, request: PendingOp<Outcome>) {
        // Calls that a fallback handler takes are not to be had.
        let Some(calls_of_method) = self.all[method].requests() else {
            return request.complete(false, Outcome::default());
        };
        if method == Self::ANY {
            self.takes_any.store(true, Ordering::Release);
        }
        loop {
            let mut calls = calls_of_method.lock();
            if calls.is_closed {
                drop(calls);
                return request.complete(false, Outcome::default());
            }
            let Some(call) = calls.waiting.pop_front() else {
                calls.requests.push_back(request);
                return;
            };
            drop(calls);
            // One whose client has gone is of no use to anybody.
            if !call.owner.core().is_over() {
                call.owner.core().watch(false);
                return hand_over(call, request);
            }
        }
    }

    /// A call comes: it goes to its handler or to who has asked for one, or waits.
    pub(super) fn deliver(&self, method: usize, call: NewCall, run_queue: &Arc<RunQueue>) {
        match &self.all[method].taker {
            Taker::Handler(handled) => run_queue.handle(handled, call),
            Taker::Requests(calls) => self.offer(calls, call),
        }
    }

    /// Gives a call to who has asked for one, or lets it wait.
    fn offer(&self, calls_of_method: &Mutex<Calls>, call: NewCall) {
        let mut calls = calls_of_method.lock();
        while let Some(request) = calls.requests.pop_front() {
            // A queue that the application has dropped has nobody to serve the call.
            if request.is_wanted() {
                drop(calls);
                return hand_over(call, request);
            }
            drop(calls);
            drop(request);
            calls = calls_of_method.lock();
        }
        let ended = calls.take_ended(self.max_waiting);
        let refusal = if calls.is_closed {
            Status::unavailable("the server is shutting down")
        } else if calls.waiting.len() >= self.max_waiting {
            Status::resource_exhausted("too many calls wait for this server to take them")
        } else {
            let core = call.owner.core().clone();
            calls.waiting.push_back(call);
            drop(calls);
            drop(ended);
            return core.watch(true);
        };
        drop(calls);
        drop(ended);
        call.owner.core().cancel(refusal);
    }

    /// Remembers a call until its first message has come; `None` if that is too late.
    pub(super) fn insert_arriving(&self, call: Arc<CallCore>) -> Option<usize> {
        self.arriving.lock().as_mut().map(|arriving| arriving.insert(call))
    }

    /// The first message has come, or will not.
    pub(super) fn remove_arriving(&self, id: usize) {
        let removed = self.arriving.lock().as_mut().and_then(|arriving| arriving.try_remove(id));
        drop(removed);
    }

    /// Ends all requests, and all calls that wait for one; no more of either are kept.
    pub(super) fn close(&self) {
        let arriving = self.arriving.lock().take();
        for (_, call) in arriving.into_iter().flatten() {
            call.cancel(Status::unavailable("the server is shutting down"));
        }
        for calls in self.all.iter().filter_map(MethodState::requests) {
            let closed = Calls { is_closed: true, ..Calls::default() };
            let Calls { requests, waiting, .. } = mem::replace(&mut *calls.lock(), closed);
            // Dropping a request ends it.
            drop(requests);
            for call in waiting {
                call.owner.core().cancel(Status::unavailable("the server is shutting down"));
            }
        }
    }
}

/// A call goes to who has asked for one.
fn hand_over(call: NewCall, request: PendingOp<Outcome>) {
    call.owner.core().wait_with(&request);
    request.complete(true, call.into());
}
