//! One call's stream on an HTTP/2 connection, at the client's end.

use super::ClientTransport;
use super::calls::{Begun, Start};
use super::why::{self, Fate};
use crate::compression::Encodings;
use crate::status::Status;
use crate::transport::h2::messages::{Input, Sender};
use crate::transport::h2::payload::Payload;
use crate::transport::h2::response::{read_head, read_trailers};
use crate::transport::{Answer, ClientStream, Ended, Message, MessageStream};
use h2::Reason;
use h2::client::ResponseFuture;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake as _, ready};

pub(super) struct H2ClientStream {
    transport: Arc<ClientTransport>,
    way: Way,
    /// The server's messages, from its answer on.
    input: Option<Input>,
    answer: Option<Answer>,
    ended: Option<End>,
    /// How much the connection had written before this call began.
    written_before: u64,
    /// What replies may be compressed with.
    accepts: Encodings,
    max_message_size: usize,
}

/// How far a call is.
enum Way {
    /// It waits for a place, and what it sends with it.
    Waits {
        id: u64,
        message: Option<Payload>,
        /// The message is the last.
        is_last: bool,
        is_half_closed: bool,
    },
    Open(Open),
    /// The connection is lost, and will say why.
    Lost,
    /// h2 has no part in it any more.
    Over,
}

/// A stream of h2's.
struct Open {
    output: Sender,
    is_half_closed: bool,
    awaits: Awaited,
    _place: Place,
}

/// What comes next from the server.
enum Awaited {
    Head(ResponseFuture),
    Messages,
    Trailers,
}

/// How the call ended.
struct End {
    ended: Ended,
    /// The server has ended it with a status: every message before that has come.
    is_servers: bool,
    is_told: bool,
}

/// One of the calls that a server takes at once. Dropping it makes room for another.
struct Place(Arc<ClientTransport>);

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.end.calls.leave() {
            self.0.wake_by_ref();
        }
    }
}

impl Open {
    fn new(begun: Begun, transport: &Arc<ClientTransport>) -> Self {
        Self {
            output: Sender::new(begun.output),
            is_half_closed: false,
            awaits: Awaited::Head(begun.response),
            _place: Place(transport.clone()),
        }
    }

    fn half_close(&mut self) -> Result<(), h2::Error> {
        self.is_half_closed = true;
        self.output.half_close()
    }
}

impl H2ClientStream {
    /// `written_before` is from before the `start`.
    pub(super) fn new(
        transport: &Arc<ClientTransport>,
        start: Start,
        written_before: u64,
        accepts: Encodings,
    ) -> Self {
        let mut stream = Self {
            transport: transport.clone(),
            way: Way::Over,
            input: None,
            answer: None,
            ended: None,
            written_before,
            accepts,
            max_message_size: transport.end.config.max_message_size,
        };
        match start {
            Start::Begun(begun) => stream.way = Way::Open(Open::new(begun, transport)),
            Start::Waits(id) => {
                stream.way =
                    Way::Waits { id, message: None, is_last: false, is_half_closed: false };
            }
            Start::Refused(status) => stream.end_unsent(status),
        }
        stream
    }

    /// A call that cannot be written down.
    pub(super) fn failed(transport: &Arc<ClientTransport>, status: Status) -> Self {
        let start = Start::Refused(status);
        let mut stream = Self::new(transport, start, 0, Encodings::default());
        stream.ended.iter_mut().for_each(|end| end.ended.unprocessed = None);
        stream
    }

    fn end_unsent(&mut self, status: Status) {
        self.end(Ended::not_sent(status), false, None);
    }

    /// The call ends. h2 lets go of the stream, which is reset if it is not over for both sides.
    fn end(&mut self, ended: Ended, is_servers: bool, reset: Option<Reason>) {
        if let Way::Open(mut open) = mem::replace(&mut self.way, Way::Over)
            && let Some(reason) = reset
        {
            open.output.reset(reason);
        }
        self.input.iter_mut().for_each(Input::close);
        self.ended.get_or_insert(End { ended, is_servers, is_told: false });
    }

    /// The server has ended the call with this status.
    fn end_by_server(&mut self, status: Status) {
        // It may have answered before all was sent; or refused the call, and gives no window for what
        // h2 still has of it: there that would keep its place for ever. A reset of what has left is none.
        let is_early = match &self.way {
            Way::Open(open) if open.is_half_closed => !status.is_ok() && open.output.may_be_stuck(),
            Way::Open(_) => true,
            Way::Waits { .. } | Way::Lost | Way::Over => false,
        };
        let ended = Ended::processed(status);
        self.end(ended, true, is_early.then_some(Reason::NO_ERROR));
    }

    /// What came is wrong.
    fn end_by_fault(&mut self, status: Status) {
        self.ended = None;
        self.end(Ended::processed(status), false, Some(Reason::CANCEL));
    }

    fn fail(&mut self, error: h2::Error) {
        let ClientTransport { peer, traffic, .. } = &*self.transport;
        match why::fate_of(error, peer, traffic.goaway()) {
            Fate::Ended(ended) => self.end(ended, false, None),
            Fate::Lost => {
                self.input.iter_mut().for_each(Input::close);
                self.way = Way::Lost;
            }
            Fate::Broken(ended) => {
                self.transport.fail();
                self.end(ended, false, None);
            }
        }
    }

    /// Takes everything in that has come, and registers for more. Ready when the call is over.
    fn advance(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.way {
                Way::Waits { id, .. } => {
                    let settled = self.transport.end.calls.poll_settled(*id, context);
                    match ready!(settled) {
                        Ok(begun) => self.begin(begun),
                        Err(status) => self.end_unsent(status),
                    }
                }
                Way::Open(open) => match &mut open.awaits {
                    Awaited::Head(response) => {
                        let response = ready!(Pin::new(response).poll(context));
                        self.on_response(response);
                    }
                    Awaited::Messages => {
                        let Some(input) = &mut self.input else { return Poll::Pending };
                        match ready!(input.take_in(context)) {
                            Ok(()) => open.awaits = Awaited::Trailers,
                            Err(error) => self.fail(error),
                        }
                    }
                    Awaited::Trailers => {
                        let Some(input) = &mut self.input else { return Poll::Pending };
                        match ready!(input.poll_trailers(context)) {
                            Ok(trailers) => {
                                let max = self.transport.end.config.max_metadata_size;
                                let status = read_trailers(trailers, max, &self.transport.peer);
                                self.end_by_server(status);
                            }
                            Err(error) => self.fail(error),
                        }
                    }
                },
                Way::Lost => {
                    let status = ready!(self.transport.end.calls.poll_end(context));
                    let is_unseen = self.transport.traffic.written() == self.written_before;
                    let ended =
                        if is_unseen { Ended::lost(status) } else { Ended::processed(status) };
                    self.end(ended, false, None);
                }
                Way::Over => return Poll::Ready(()),
            }
        }
    }

    /// A call that waited has got its place.
    fn begin(&mut self, begun: Begun) {
        let mut open = Open::new(begun, &self.transport);
        if let Way::Waits { message, is_last, is_half_closed, .. } = &mut self.way {
            message.take().into_iter().for_each(|message| open.output.begin(message));
            if *is_last {
                open.output.begun_last();
            }
            if *is_half_closed && let Err(error) = open.half_close() {
                // The server may have ended it already, which is read next.
                tracing::debug!(%error, "a call has ended before it was sent");
            }
        }
        self.way = Way::Open(open);
    }

    fn on_response(&mut self, response: Result<http::Response<h2::RecvStream>, h2::Error>) {
        let response = match response {
            Ok(response) => response,
            Err(error) => return self.fail(error),
        };
        let (head, body) = response.into_parts();
        let is_last = body.is_end_stream();
        let max_metadata_size = self.transport.end.config.max_metadata_size;
        match read_head(head, is_last, self.accepts, max_metadata_size, &self.transport.peer) {
            Ok(answer) => {
                self.answer = Some(answer);
                self.input = Some(Input::new(body, self.max_message_size));
                if let Way::Open(open) = &mut self.way {
                    open.awaits = Awaited::Messages;
                }
            }
            Err(status) if is_last => self.end_by_server(status),
            Err(status) => self.end_by_fault(status),
        }
    }

    /// Why nothing more can be sent.
    fn unsent(&self) -> Status {
        match &self.ended {
            Some(end) if !end.ended.status.is_ok() => end.ended.status.clone(),
            Some(_) => {
                Status::cancelled("the server has ended the call, and takes no more messages")
            }
            None => Status::unavailable("the call is ending: the server takes no more messages"),
        }
    }
}

impl MessageStream for H2ClientStream {
    fn set_max_message_size(&mut self, bytes: usize) {
        self.max_message_size = bytes;
        self.input.iter_mut().for_each(|input| input.set_max_message_size(bytes));
    }

    fn take_in(&mut self, context: &mut Context<'_>) {
        let _ = self.advance(context);
    }

    fn begin_message(&mut self, message: Message) -> Result<(), Status> {
        let payload = Payload::new(message).map_err(|error| error.status())?;
        match &mut self.way {
            Way::Waits { message, .. } => *message = Some(payload),
            Way::Open(open) => open.output.begin(payload),
            // Sending it fails.
            Way::Lost | Way::Over => {}
        }
        Ok(())
    }

    fn poll_send_message(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        if matches!(self.way, Way::Waits { .. }) {
            let _ = self.advance(context);
        }
        match &mut self.way {
            Way::Waits { .. } => Poll::Pending,
            Way::Open(open) => {
                let sent = ready!(open.output.poll_send(context));
                open.is_half_closed |= open.output.has_ended();
                Poll::Ready(sent.map_err(|_| {
                    // The cause has come already, in most cases.
                    let _ = self.advance(context);
                    self.unsent()
                }))
            }
            Way::Lost | Way::Over => Poll::Ready(Err(self.unsent())),
        }
    }

    fn poll_message(
        &mut self,
        _context: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, Status>> {
        // `take_in` has registered for more.
        let (next, finished) = match &mut self.input {
            Some(input) => (input.next(), input.finish()),
            None => (Ok(None), Ok(())),
        };
        let error = match (next, &self.ended) {
            (Ok(Some(message)), _) => return Poll::Ready(Ok(Some(message))),
            (Ok(None), None) => return Poll::Pending,
            (Ok(None), Some(end)) if !end.is_servers => {
                return Poll::Ready(Err(end.ended.status.clone()));
            }
            // An error comes without the rest of a message.
            (Ok(None), Some(end)) => match finished {
                Err(error) if end.ended.status.is_ok() => error,
                _ => return Poll::Ready(Ok(None)),
            },
            (Err(error), _) => error,
        };
        let status = why::of_message(&error, &self.transport.peer);
        self.end_by_fault(status.clone());
        Poll::Ready(Err(status))
    }
}

impl ClientStream for H2ClientStream {
    fn begun_last(&mut self) {
        match &mut self.way {
            Way::Waits { is_last, .. } => *is_last = true,
            Way::Open(open) => open.output.begun_last(),
            Way::Lost | Way::Over => {}
        }
    }

    fn half_close(&mut self) -> Result<(), Status> {
        let result = match &mut self.way {
            Way::Waits { is_half_closed, .. } => {
                *is_half_closed = true;
                Ok(())
            }
            Way::Open(open) => open.half_close().map_err(drop),
            Way::Lost | Way::Over => Err(()),
        };
        result.map_err(|()| self.unsent())
    }

    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Option<Answer>> {
        let is_over = self.advance(context).is_ready();
        match self.answer.take() {
            None if !is_over => Poll::Pending,
            answer => Poll::Ready(answer),
        }
    }

    fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        ready!(self.advance(context));
        match &mut self.ended {
            Some(end) => {
                end.is_told = true;
                Poll::Ready(end.ended.clone())
            }
            // What is over has ended.
            None => Poll::Pending,
        }
    }

    fn waits_for(&self) -> Option<String> {
        match &self.way {
            Way::Waits { .. } => Some(why::place(&self.transport.peer)),
            Way::Open(_) | Way::Lost => Some(why::end(&self.transport.peer)),
            Way::Over => None,
        }
    }

    fn cancel(&mut self, status: Status) {
        if self.ended.as_ref().is_some_and(|end| end.is_told || !end.ended.status.is_ok()) {
            return;
        }
        self.give_up();
        self.input = None;
        self.end_by_fault(status);
    }
}

impl H2ClientStream {
    /// A call that waits does so no more.
    fn give_up(&mut self) {
        if let Way::Waits { id, .. } = self.way
            && let Some(begun) = self.transport.end.calls.give_up(id)
        {
            self.way = Way::Open(Open::new(begun, &self.transport));
        }
    }
}

impl Drop for H2ClientStream {
    fn drop(&mut self) {
        self.give_up();
        if let Way::Open(open) = &mut self.way {
            open.output.reset(Reason::CANCEL);
        }
    }
}
