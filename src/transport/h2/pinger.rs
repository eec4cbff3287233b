//! The PINGs of the keepalive.

use h2::{Ping, PingPong};
use std::task::{Context, Waker};

/// Sends the PINGs of the keepalive.
#[derive(Default)]
pub(super) struct Pinger(Option<PingPong>);

impl Pinger {
    /// Sends one with the next write, unless one is on its way already. Says whether it does. `take`
    /// takes h2's handle, once.
    pub(super) fn ping(&mut self, take: impl FnOnce() -> Option<PingPong>) -> bool {
        // Not before it is needed, since h2 looks at it with each poll from then on.
        if self.0.is_none() {
            self.0 = take();
        }
        let Some(pings) = &mut self.0 else { return false };
        // Whatever comes is a sign of life, so nobody waits for this answer; but h2 wants it to be
        // taken before it sends another. If there is none yet, neither is there another PING.
        let _ = pings.poll_pong(&mut Context::from_waker(Waker::noop()));
        let sent = pings.send_ping(Ping::opaque());
        if let Err(error) = &sent {
            tracing::debug!(%error, "no PING is sent: the one before has no answer");
        }
        sent.is_ok()
    }
}
