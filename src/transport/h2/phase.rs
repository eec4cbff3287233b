//! The life of a connection, from its preface to its last GOAWAY.
//!
//! ```text
//!             preface         go_away           refuse
//!   HANDSHAKE -------> OPEN ---------> DRAINING --------> OVERDUE
//!       |                \________________|_______________/    \
//!       | go_away, abort                  | abort               | finish
//!       v                                 v                     v
//!     CLOSED <------------------------ ABORTING             FINISHING
//! ```
//! h2 closes a connection that drains by itself, after its last stream. One that h2 has closed, and
//! that was not aborted, is LINGERING before it is CLOSED.

use super::io::Io;
use super::linger::Lingering;
use super::payload::Payload;
use crate::iomgr::Endpoint;
use h2::Reason;
use h2::server::{Connection, Handshake};
use std::mem;

/// Where a connection is in its life.
pub(super) enum Phase {
    Handshake(Handshake<Io, Payload>),
    Open(Connection<Io, Payload>),
    /// The first GOAWAY is out; the PING behind it may or may not be answered.
    Draining(Connection<Io, Payload>),
    /// The client has not answered the PING in time: what is new is refused, and the connection
    /// ends with its last stream.
    Overdue(Connection<Io, Payload>),
    /// The last GOAWAY is on its way, behind all that there was to say.
    Finishing(Connection<Io, Payload>),
    /// The last GOAWAY is on its way, and streams have been cut off.
    Aborting(Connection<Io, Payload>),
    /// Everything has been said; the client is to close. h2 has no part in this.
    Lingering(Lingering),
    Closed,
}

impl Phase {
    /// Sends the first GOAWAY, with a PING that asks whether it has come. Says whether it begins
    /// to drain now.
    pub(super) fn go_away(&mut self) -> bool {
        let (next, begins) = match mem::replace(self, Self::Closed) {
            Self::Open(mut connection) => {
                connection.graceful_shutdown();
                (Self::Draining(connection), true)
            }
            // No call can be on it.
            Self::Handshake(_) => (Self::Closed, false),
            other => (other, false),
        };
        *self = next;
        begins
    }

    /// Does not wait for the PING's answer any more.
    pub(super) fn refuse(&mut self) {
        *self = match mem::replace(self, Self::Closed) {
            Self::Draining(connection) => Self::Overdue(connection),
            other => other,
        };
    }

    /// Ends every stream, and sends the GOAWAY that says so. Says whether it is to leave now.
    pub(super) fn abort(&mut self, reason: Reason) -> bool {
        let (next, begins) = match mem::replace(self, Self::Closed) {
            Self::Open(mut connection)
            | Self::Draining(mut connection)
            | Self::Overdue(mut connection) => {
                connection.abrupt_shutdown(reason);
                (Self::Aborting(connection), true)
            }
            // Its GOAWAY and its timeout are on their way.
            Self::Finishing(connection) => (Self::Aborting(connection), false),
            Self::Handshake(_) | Self::Lingering(_) => (Self::Closed, false),
            other => (other, false),
        };
        *self = next;
        begins
    }

    /// Ends a connection that is overdue and has no stream. Says whether it is to end now.
    pub(super) fn finish(&mut self) -> bool {
        let (next, begins) = match mem::replace(self, Self::Closed) {
            Self::Overdue(mut connection) => {
                connection.abrupt_shutdown(Reason::NO_ERROR);
                (Self::Finishing(connection), true)
            }
            other => (other, false),
        };
        *self = next;
        begins
    }

    /// h2 has ended without an error, and given its endpoint back. Says whether the client is
    /// waited for.
    pub(super) fn end(&mut self, endpoint: Option<Box<dyn Endpoint>>) -> bool {
        let is_aborted = matches!(self, Self::Aborting(_));
        *self = match endpoint {
            Some(endpoint) if !is_aborted => Self::Lingering(Lingering::new(endpoint)),
            _ => Self::Closed,
        };
        matches!(self, Self::Lingering(_))
    }

    /// The connection, and whether it takes no new streams.
    pub(super) fn connection(&mut self) -> Option<(&mut Connection<Io, Payload>, bool)> {
        match self {
            Self::Open(connection) | Self::Draining(connection) => Some((connection, false)),
            Self::Overdue(connection)
            | Self::Finishing(connection)
            | Self::Aborting(connection) => Some((connection, true)),
            Self::Handshake(_) | Self::Lingering(_) | Self::Closed => None,
        }
    }

    pub(super) fn has_streams(&mut self) -> bool {
        self.connection().is_some_and(|(connection, _)| connection.has_streams())
    }

    pub(super) fn is_overdue(&self) -> bool {
        matches!(self, Self::Overdue(_))
    }
}
